"""Check an adapter file before llama.cpp opens it: is it one, and is it for this base model."""

from __future__ import annotations

from pathlib import Path

from nightschool.errors import ModelError, NotFound
from nightschool.models.header import Header, read_header

REMEDY = "Roll back to another version, or learn again."


def check_adapter(path: Path, base: Header) -> Header:
    """The adapter's head. Raises ModelError when it is missing, damaged, foreign or misshapen.

    A LoRA pair of a weight `[in, out]` is `lora_a [in, r]` and `lora_b [r, out]` (GGUF order).
    """
    try:
        header = read_header(path)
    except NotFound as error:
        raise ModelError(f"The adapter {path} is missing.", REMEDY) from error
    if header.type != "adapter" or header.metadata.get("adapter.type") != "lora":
        raise ModelError(f"{path} is not a LoRA adapter.", REMEDY)
    if header.architecture != base.architecture:
        raise ModelError(
            f"{path} is for another base model ({header.architecture}, not {base.architecture}).",
            REMEDY,
        )
    if not isinstance(header.metadata.get("adapter.lora.alpha"), float):
        raise ModelError(f"{path} names no adapter.lora.alpha.", REMEDY)
    names = {name.rpartition(".lora_")[0] for name in header.tensors}
    if not names:
        raise ModelError(f"{path} holds no weights.", REMEDY)
    for name in names:
        down, up = header.tensors.get(f"{name}.lora_a"), header.tensors.get(f"{name}.lora_b")
        if down is None or up is None:
            raise ModelError(f"{path} lacks one half of {name or 'a tensor'}.", REMEDY)
        target = base.tensors.get(name)
        if target is None or len(target.shape) != 2:
            raise ModelError(f"{path} is for another base model (it changes {name}).", REMEDY)
        shapes = (*down.shape, *up.shape)
        wanted = (target.shape[0], down.shape[-1], down.shape[-1], target.shape[1])
        if len(down.shape) != 2 or len(up.shape) != 2 or shapes != wanted:
            raise ModelError(f"{path} is for another base model (shape of {name}).", REMEDY)
    return header
