"""Whether the disk has room for a night: twice what it writes, or it does not begin."""

from __future__ import annotations

import shutil
from pathlib import Path

from nightschool.errors import StoreError

COPIES = 9
"""Of the adapter's size: a checkpoint is three (weights and two moments) and lies there twice while
it is exchanged; then two exported files, and the version's."""
UNKNOWN = 4_000_000
"""Bytes of a small model's adapter, before there was one; a large one's is a share of the model."""
SHARE = 1 / 32


def needed(model_bytes: int, adapter_bytes: int = 0) -> int:
    """Bytes that must be free; `adapter_bytes` of an earlier night's adapter, 0 for none."""
    adapter = adapter_bytes or UNKNOWN + int(model_bytes * SHARE)
    return 2 * COPIES * adapter


def require(folder: Path, model_bytes: int, adapter_bytes: int = 0) -> None:
    """Raises StoreError when the disk that holds `folder` has less than that."""
    need, free = needed(model_bytes, adapter_bytes), shutil.disk_usage(folder).free
    if free < need:
        raise StoreError(
            f"The disk that holds {folder} is too full for a night: it needs {need / 1e6:.0f} MB, "
            f"{free / 1e6:.0f} are free.",
            "Free some space and try again.",
        )
