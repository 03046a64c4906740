"""Small random LoRA adapters as GGUF files, for tests that switch between them."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from nightschool.models.header import read_header


def write_lora(
    path: Path,
    base: Path,
    *,
    seed: int,
    strength: float = 0.05,
    rank: int = 4,
    architecture: str = "",
    kind: str = "adapter",
    widen: int = 0,
    part: str = "attn_q",
) -> Path:
    """A LoRA on `part` of every layer of `base`; the other arguments make it wrong on purpose."""
    header = read_header(base)
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), architecture or header.architecture)
    writer.add_type(kind)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))
    for layer in range(header.number("block_count")):
        name = f"blk.{layer}.{part}.weight"
        wide, tall = header.tensors[name].shape
        a = rng.normal(size=(rank, wide + widen)).astype(np.float32)
        b = (rng.normal(size=(tall, rank)) * strength).astype(np.float32)
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
