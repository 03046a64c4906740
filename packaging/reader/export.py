"""Write the trained reader as it is shipped: `python export.py --weights RUN/final.safetensors`.

Writes to `--box`: `reader.safetensors` (LoRA in float16, head in float32), `reader.json` (settings,
hash) and the card `reader.md` (`card.md` with the figures). Without `--calibration` (what
`evaluate.py --out` wrote) the calibration is provisional. Reads our own checkpoints and PEFT's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "src")]

from nightschool.models.minilm import SOURCE_SHA256  # noqa: E402
from nightschool.models.reader_box import BOX, FORMAT, LAYERS, MATRICES, VERSION  # noqa: E402

PEFT = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attn_out": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
SETTINGS = {
    "rank": 32,
    "alpha": 64.0,
    "window": 256,
    "overlap": 64,
    "question": 64,
    "max_answer": 30,
    "slope": 0.5,
    "intercept": 0.0,
    "threshold": 0.5,
}


def shipped(weights: Path) -> dict[str, NDArray[Any]]:
    """Tensors by the shipped names."""
    old = load_file(weights)
    peft = "base_model.model.qa_outputs.weight" in old
    head = "base_model.model.qa_outputs" if peft else "head"
    out: dict[str, NDArray[Any]] = {
        "head.weight": old[f"{head}.weight"].astype(np.float32),
        "head.bias": old[f"{head}.bias"].astype(np.float32),
    }
    for layer in range(LAYERS):
        for name in MATRICES:
            for part in ("a", "b"):
                key = f"lora_{part}.{layer}_{name}"
                if peft:
                    key = f"base_model.model.bert.encoder.layer.{layer}.{PEFT[name]}"
                    key += f".lora_{part.upper()}.weight"
                out[f"layer.{layer}.{name}.{part}"] = old[key].astype(np.float16)
    return out


def write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def card(size: int, found: dict[str, Any]) -> str:
    """`card.md` with the figures filled in."""
    rows = ["| measure | value | 95 % | n |", "|---|---|---|---|"]
    for name, r in found.get("results", {}).items():
        interval = f"[{r['low']:.3f}, {r['high']:.3f}]"
        rows.append(f"| {name} | {r['value']:.3f} | {interval} | {r['n']} |")
    if len(rows) == 2:
        rows = ["Not measured: provisional weights."]
    text = (HERE / "card.md").read_text(encoding="utf-8")
    error = f"{found['calibration_error']:.3f}" if found else "not measured"
    for key, value in {
        "{megabytes}": f"{size / 1e6:.1f}", "{results}": "\n".join(rows), "{error}": error,
    }.items():  # fmt: skip
        text = text.replace(key, value)
    return text


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--weights", type=Path, required=True)
    ask.add_argument("--calibration", type=Path)
    ask.add_argument("--box", type=Path, default=BOX)
    args = ask.parse_args()
    settings: dict[str, Any] = dict(SETTINGS)
    results: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if args.calibration:
        found = json.loads(args.calibration.read_text())
        settings |= {key: found[key] for key in ("slope", "intercept", "threshold")}
        results = found.get("results", {})
    blob = save(shipped(args.weights))
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": hashlib.sha256(blob).hexdigest(),
        "encoder_sha256": SOURCE_SHA256,
        "settings": settings,
        "results": results,
    }
    args.box.mkdir(parents=True, exist_ok=True)
    write(args.box / "reader.safetensors", blob)
    (args.box / "reader.md").write_text(card(len(blob), found), encoding="utf-8")
    write(args.box / "reader.json", (json.dumps(facts, indent=2) + "\n").encode())
    print(f"{args.box / 'reader.safetensors'}: {len(blob) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
