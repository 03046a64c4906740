"""One trainer in a process of its own, for `train-speed`: ours, or TRL's SFTTrainer with PEFT.

    python train_worker.py NAME TASK.json

TASK holds the model file, the plan, the items of every step, the threads and how many steps at the
beginning are not timed. Both sides load the model with the same code, wrap it with the same LoRA
from the same seed, and get the same items in the same order. One JSON line last: `seconds` of the
clock, `cpu_seconds` of the processor, `tokens` of the timed steps (those of the items, padding
never counted) and `answers` of them, `losses` (a mean over every ten steps), `megabytes` at the
highest, `padded` (tokens computed a step).

Ways to run TRL:

* `trl`: batches padded to the longest item, as its first steps show it
* `trl-padding-free`: the batch flattened into one row, with a mask that keeps items apart
* `trl-packing`: items packed into rows of a batch's tokens beforehand, one row a step; so its steps
  hold other items than the others', as many tokens
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

TEN = 10
MLP = ["gate_proj", "up_proj", "down_proj"]
BETAS, DECAY = (0.9, 0.99), 0.01


class Watch:
    """Remembers when each step ended."""

    def __init__(self, untimed: int) -> None:
        self.untimed, self.count, self.began, self.ended = untimed, 0, 0.0, 0.0
        self.cpu_began = self.cpu_ended = 0.0

    def step(self) -> None:
        self.count += 1
        self.ended, self.cpu_ended = time.perf_counter(), time.process_time()
        if self.count == self.untimed:
            self.began, self.cpu_began = self.ended, self.cpu_ended


def ours(task: dict[str, Any]) -> dict[str, Any]:
    """The loop of a night, as it is."""
    import torch

    from nightschool.models.base import load_torch
    from nightschool.records import Plan
    from nightschool.train import loop
    from nightschool.train.batches import Schedule
    from nightschool.train.items import Item
    from nightschool.train.recipes import recipe

    torch.set_num_threads(task["threads"])
    base = load_torch(Path(task["model"]))
    plan = Plan(**task["plan"])
    items = tuple(Item(tuple(ids), answer) for ids, answer in task["items"])
    schedule = Schedule(items, (), plan.batch_size, 0.0, plan.seed)
    model = recipe("lora").build(base.model, plan)
    watch = Watch(task["untimed"])
    with tempfile.TemporaryDirectory() as folder:
        done = loop.train(
            model, schedule, plan, Path(folder) / "c",
            report=lambda *_: watch.step(), check=lambda: None,
        )  # fmt: skip
    losses = [
        sum(done.losses[i : i + TEN]) / TEN for i in range(0, len(done.losses) - TEN + 1, TEN)
    ]
    steps = [schedule.at(step)[0] for step in range(watch.untimed, watch.count)]
    return {
        "version": version("nightschool"),
        "seconds": watch.ended - watch.began,
        "cpu_seconds": watch.cpu_ended - watch.cpu_began,
        "tokens": sum(len(item.ids) for step in steps for item in step),
        "answers": sum(len(item.ids) - item.answer for step in steps for item in step),
        "losses": losses,
        "steps": watch.count,
    }


def trl(task: dict[str, Any], way: str) -> dict[str, Any]:
    """SFTTrainer on the same items, answers only; everything it offers that costs time is off."""
    import peft
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from nightschool.models.base import load_torch
    from nightschool.records import Plan
    from nightschool.train.batches import Schedule
    from nightschool.train.items import Item
    from nightschool.train.loop import _shape

    torch.set_num_threads(task["threads"])
    base = load_torch(Path(task["model"]))
    plan = Plan(**task["plan"])
    items = tuple(Item(tuple(ids), answer) for ids, answer in task["items"])
    schedule = Schedule(items, (), plan.batch_size, 0.0, plan.seed)
    total = schedule.steps_for(plan.passes)
    ordered = [item for step in range(total) for item in schedule.at(step)[0]]
    rows = [
        {
            "input_ids": list(item.ids),
            "labels": [-100] * item.answer + list(item.ids[item.answer :]),
        }
        for item in ordered
    ]
    a_step = round(sum(len(item.ids) for item in ordered) / total)
    if way == "trl-packing":
        rows = packed(rows, a_step)
        total = len(rows)
    torch.manual_seed(plan.seed)
    lora = peft.LoraConfig(r=plan.rank, lora_alpha=plan.alpha, target_modules=MLP,
                           lora_dropout=0.0, bias="none", task_type="CAUSAL_LM")  # fmt: skip
    model = peft.get_peft_model(base.model, lora)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=plan.learning_rate, betas=BETAS, weight_decay=DECAY, fused=True
    )
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _shape(step / total))
    watch = Watch(task["untimed"])
    computed = [0]

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            watch.step()

    class Counting(SFTTrainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, *given: Any, **named: Any) -> Any:
            computed[0] += inputs["input_ids"].numel()
            return super().compute_loss(model, inputs, *given, **named)

    with tempfile.TemporaryDirectory() as folder:
        trainer = Counting(
            model=model,
            args=SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=1 if way == "trl-packing" else plan.batch_size,
                max_steps=total,
                max_length=None,
                padding_free=way != "trl",
                dataset_kwargs={"skip_prepare_dataset": True},
                train_sampling_strategy="sequential",
                max_grad_norm=1.0,
                gradient_checkpointing=False,
                bf16=False,
                use_cpu=True,
                logging_steps=TEN,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=base.tokenizer,
            optimizers=(optimizer, rates),
            callbacks=[Clock()],
        )
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    timed = rows[watch.untimed * (1 if way == "trl-packing" else plan.batch_size) :]
    return {
        "version": version("trl"),
        "seconds": watch.ended - watch.began,
        "cpu_seconds": watch.cpu_ended - watch.cpu_began,
        "tokens": sum(len(row["input_ids"]) for row in timed),
        "answers": sum(label != -100 for row in timed for label in row["labels"]),
        "losses": losses,
        "steps": watch.count,
        "padded": computed[0] / max(watch.count, 1),
    }


def packed(rows: list[dict[str, Any]], length: int) -> list[dict[str, Any]]:
    """Whole items one behind the other until `length` is reached, as TRL's packing lays them out
    (which would sort them by length first, and so practise in another order)."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if not found or sum(found[-1]["seq_lengths"]) >= length:
            found.append({"input_ids": [], "labels": [], "seq_lengths": []})
        found[-1]["input_ids"] += row["input_ids"]
        found[-1]["labels"] += row["labels"]
        found[-1]["seq_lengths"].append(len(row["input_ids"]))
    return found


def main() -> None:
    warnings.filterwarnings("ignore")
    name, task = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    found = ours(task) if name == "ours" else trl(task, name)
    found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
