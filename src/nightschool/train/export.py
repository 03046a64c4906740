"""PEFT LoRA → a GGUF adapter that llama.cpp loads, exactly.

Facts this rests on (llama.cpp's own converter, commit 0b03ada): one `adapter.lora.alpha` for the
whole file, the run-time scale is alpha / rank; tensors are named after the base's GGUF names with
`.lora_a` / `.lora_b`. Two things are ours: the row permutation that llama.cpp applies to q and k
of Llama-family bases is applied to the rows of B, and a tensor on another rank or scale is baked
into B, because the file has one alpha only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from nightschool.errors import TrainError
from nightschool.train.adapt import adapted

Matrix = npt.NDArray[np.float32]
Matrices = dict[tuple[int, str], tuple[Matrix, Matrix]]
"""`(layer, projection) → (A [r, in], B [out, r])`, with the scale baked into B."""

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


def matrices(model: Any) -> Matrices:
    """The plain LoRA matrices of a PeftModel.

    Raises TrainError on a trained tensor that a plain LoRA file cannot carry.
    """
    found: Matrices = {}
    carried: set[int] = set()
    for place, module in adapted(model):
        a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
        carried |= {id(a), id(b)}
        scale = float(module.scaling["default"])
        found[place] = _float(a), _float(b) * scale
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in carried:
            raise TrainError(
                f"{name} cannot be exported to a llama.cpp adapter.",
                "Use a recipe that trains plain LoRA matrices.",
            )
    return dict(sorted(found.items()))


def _float(tensor: Any) -> Matrix:
    array: Matrix = tensor.detach().float().cpu().numpy()
    return array


def write_gguf(path: Path, pairs: Matrices, shape: Shape) -> None:
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


def read_gguf(path: Path, shape: Shape, scale: float = 1.0) -> Matrices:
    """The matrices of an adapter that `write_gguf` wrote, with `scale` and its own baked into B.

    Raises TrainError when the file holds something else.
    """
    reader = gguf.GGUFReader(str(path))
    alpha = reader.get_field(gguf.Keys.Adapter.LORA_ALPHA)
    places = {name: part for part, name in _NAMES.items()}
    halves: dict[tuple[int, str], dict[str, Matrix]] = {}
    for tensor in reader.tensors:
        words = tensor.name.split(".")  # blk.3.ffn_up.weight.lora_a
        if len(words) != 5 or words[0] != "blk" or words[2] not in places:
            raise TrainError(f"{path.name} holds {tensor.name}.", "Learn from the base again.")
        place = int(words[1]), places[words[2]]
        halves.setdefault(place, {})[words[4]] = np.array(tensor.data, dtype=np.float32)
    found: Matrices = {}
    for place, pair in sorted(halves.items()):
        a, b = pair["lora_a"], pair["lora_b"]
        if shape.architecture in _PERMUTED and place[1] in ("q_proj", "k_proj"):
            b = permute_back(b, shape.heads if place[1] == "q_proj" else shape.kv_heads)
        own = float(alpha.contents()) / a.shape[0] if alpha is not None else 1.0
        found[place] = a, b * np.float32(own * scale)
    return found


def rank_of(path: Path) -> int:
    """The rank of an adapter file."""
    tensors = gguf.GGUFReader(str(path)).tensors
    return next(int(t.data.shape[0]) for t in tensors if t.name.endswith(".lora_a"))


def warm(model: Any, start: Matrices) -> None:
    """Put the matrices of an earlier adapter into a fresh one, in place.

    Raises TrainError when a matrix has no place in it, or another rank.
    """
    places = dict(adapted(model))
    if unknown := set(start) - set(places):
        layer, part = sorted(unknown)[0]
        raise TrainError(
            f"The earlier adapter changes {part} of layer {layer}, this recipe does not.",
            "Use the recipe of the earlier night, or learn from the base.",
        )
    for place, (a, b) in start.items():
        module = places[place]
        ours = module.lora_A["default"].weight, module.lora_B["default"].weight
        if tuple(ours[0].shape) != a.shape or tuple(ours[1].shape) != b.shape:
            raise TrainError(
                f"The earlier adapter has rank {a.shape[0]}, this one {ours[0].shape[0]}.",
                "Use its rank, or learn from the base.",
            )
        ours[0].data.copy_(ours[0].new_tensor(a))
        ours[1].data.copy_(ours[1].new_tensor(b) / module.scaling["default"])


def permute_back(rows: Matrix, heads: int) -> Matrix:
    """The inverse of `permute`: [h, d/2, 2, …] → [h, 2, d/2, …]."""
    return (
        rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
        .swapaxes(1, 2)
        .reshape(rows.shape)
    )


def permute(rows: Matrix, heads: int) -> Matrix:
    """Reorder output rows as llama.cpp stores rotary halves: [h, 2, d/2, …] → [h, d/2, 2, …]."""
    return (
        rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
        .swapaxes(1, 2)
        .reshape(rows.shape)
    )
