"""PEFT LoRA → a GGUF adapter that llama.cpp loads, exactly.

Facts this rests on (llama.cpp's own converter, commit 0b03ada): one `adapter.lora.alpha` for the
whole file, the run-time scale is alpha / rank; tensors are named after the base's GGUF names with
`.lora_a` / `.lora_b`. Two things are ours: the row permutation that llama.cpp applies to q and k
of Llama-family bases is applied to the rows of B, and a tensor on another rank or scale is baked
into B, because the file has one alpha only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from nightschool.errors import TrainError

Matrix = npt.NDArray[np.float32]

_PARTS = re.compile(r"layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.(?:default\.)?weight$")
_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
_PERMUTED = ("llama", "mistral")


@dataclass(frozen=True, slots=True)
class Shape:
    """What the export must know of the base: GGUF architecture name, heads, key/value heads."""

    architecture: str
    heads: int
    kv_heads: int


def matrices(model: Any) -> dict[tuple[int, str], tuple[Matrix, Matrix]]:
    """`(layer, projection) → (A [r, in], B [out, r])` of a PeftModel, with the scale baked into B.

    Raises TrainError on a tensor that a plain LoRA file cannot carry.
    """
    halves: dict[tuple[int, str, str], Matrix] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        found = _PARTS.search(name)
        if found is None:
            raise TrainError(
                f"{name} cannot be exported to a llama.cpp adapter.",
                "Use a recipe that trains plain LoRA matrices.",
            )
        halves[int(found[1]), found[2], found[3]] = parameter.detach().float().cpu().numpy()
    scale = float(model.peft_config["default"].lora_alpha) / float(model.peft_config["default"].r)
    return {
        (layer, part): (a, halves[layer, part, "B"] * scale)
        for (layer, part, half), a in sorted(halves.items())
        if half == "A"
    }


def write_gguf(
    path: Path, pairs: dict[tuple[int, str], tuple[Matrix, Matrix]], shape: Shape
) -> None:
    """Write the adapter file. Every tensor gets alpha = its rank, so the run-time scale is 1.

    Raises TrainError when ranks differ between tensors (llama.cpp divides one alpha by each
    tensor's own rank), on NaN or infinity, and when the disk is full.
    """
    ranks = {a.shape[0] for a, _ in pairs.values()}
    if len(ranks) != 1:
        raise TrainError(f"The adapter mixes ranks {sorted(ranks)}.", "Pad them to one rank.")
    rank = ranks.pop()
    writer = gguf.GGUFWriter(None, shape.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))
    for (layer, part), (a, b) in pairs.items():
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise TrainError(f"Layer {layer} {part} is not finite.", "Lower the learning rate.")
        if shape.architecture in _PERMUTED and part in ("q_proj", "k_proj"):
            b = permute(b, shape.heads if part == "q_proj" else shape.kv_heads)
        name = f"blk.{layer}.{_NAMES[part]}.weight"
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a, dtype=np.float32))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b, dtype=np.float32))
    try:
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except OSError as error:
        raise TrainError(
            f"Cannot write the adapter: {error.strerror or error}.", "Free some space."
        ) from error
    finally:
        writer.close()


def permute(rows: Matrix, heads: int) -> Matrix:
    """Reorder output rows as llama.cpp stores rotary halves: [h, 2, d/2, …] → [h, d/2, 2, …]."""
    return (
        rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
        .swapaxes(1, 2)
        .reshape(rows.shape)
    )
