"""Read the head of a GGUF file: metadata and tensor table, never the weights.

Standard library only, so that the resident process can check a model before it starts an engine.
The file may be hostile: every count and length is bounded, every offset must lie inside the file.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from nightschool.errors import ModelError, NotFound

MAX_KEYS = 4096
MAX_TENSORS = 65_536
MAX_TEXT = 8 * 1024 * 1024
"""Longest string kept (chat templates reach some 20 kB)."""
MAX_ARRAY = 16_777_216
"""Most elements of one array (the largest vocabularies have about 300,000)."""

_SCALARS = {
    0: ("<B", 1),
    1: ("<b", 1),
    2: ("<H", 2),
    3: ("<h", 2),
    4: ("<I", 4),
    5: ("<i", 4),
    6: ("<f", 4),
    7: ("<?", 1),
    10: ("<Q", 8),
    11: ("<q", 8),
    12: ("<d", 8),
}
_STRING, _ARRAY = 8, 9

# ggml type → (name, weights a block, bytes a block)
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the tensor table: `shape` in GGUF order (fastest dimension first)."""

    name: str
    shape: tuple[int, ...]
    type: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself.

    `metadata` holds scalars and strings; an array is kept as its length, so that a vocabulary of
    150,000 words costs nothing.
    """

    path: Path
    version: int
    size: int
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def type(self) -> str:
        """`model` (also when the file does not say) or `adapter`."""
        return str(self.metadata.get("general.type", "model"))

    @property
    def parameters(self) -> int:
        """The number of weights, all tensors together."""
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    def number(self, key: str) -> int:
        """`ARCHITECTURE.key` as an integer, 0 when it is missing or no whole number."""
        return self.integer(f"{self.architecture}.{key}")

    def integer(self, key: str, default: int = 0) -> int:
        """A metadata value as an integer, `default` when it is missing or no whole number."""
        value = self.metadata.get(key, default)
        return value if isinstance(value, int) else default


def read_header(path: Path) -> Header:
    """Read and check the head of `path`.

    Raises NotFound when there is no such file, and ModelError when it is no GGUF, is truncated,
    or its tensor table points outside the file.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24 or file.read(4) != b"GGUF":
                raise _bad(path, "not a GGUF file", "Give the path of a .gguf model.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return _Parser(path, view, size).header()
    except IsADirectoryError as error:
        inside = sorted(file.name for file in path.glob("*.gguf"))[:5]
        raise NotFound(
            f"{path} is a folder, not a model file.",
            f"Name the file: {', '.join(inside)}." if inside else "Name a .gguf file.",
        ) from error
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no model file {path}.", "Check the path, or `nightschool model list`."
        ) from error
    except OSError as error:
        raise _bad(path, f"unreadable ({error})", "Check its permissions.") from error


def _bad(path: Path, why: str, remedy: str = "Download or copy the file again.") -> ModelError:
    return ModelError(f"{path} is {why}.", remedy)


class _Parser:
    """A cursor over the mapped file that never leaves it."""

    def __init__(self, path: Path, view: mmap.mmap, size: int) -> None:
        self.path, self.view, self.size, self.at = path, view, size, 4

    def header(self) -> Header:
        version = self.scalar(4)
        if version not in (2, 3):
            raise _bad(self.path, f"GGUF version {version}, which is unknown", "Convert it anew.")
        tensor_count, key_count = self.scalar(10), self.scalar(10)
        if tensor_count > MAX_TENSORS or key_count > MAX_KEYS:
            raise _bad(self.path, f"damaged ({tensor_count} tensors, {key_count} keys)")
        metadata: dict[str, Any] = {}
        for _ in range(key_count):
            key = self.text()
            metadata[key] = self.value(self.scalar(4))
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 65_536:
            raise _bad(self.path, f"damaged (alignment {alignment})")
        entries = [self.entry() for _ in range(tensor_count)]
        start = -(-self.at // alignment) * alignment
        for tensor, offset in entries:
            if offset % alignment:
                raise _bad(self.path, f"damaged (tensor {tensor.name} is not aligned)")
            if start + offset + tensor.bytes > self.size:
                raise _bad(self.path, f"truncated (tensor {tensor.name} ends outside the file)")
        tensors = {tensor.name: tensor for tensor, _ in entries}
        if len(tensors) != len(entries):
            raise _bad(self.path, "damaged (two tensors have the same name)")
        return Header(self.path, version, self.size, metadata, tensors)

    def take(self, count: int) -> int:
        """Move over `count` bytes; the position before."""
        at = self.at
        if count < 0 or at + count > self.size:
            raise _bad(self.path, "truncated (its header ends outside the file)")
        self.at = at + count
        return at

    def scalar(self, kind: int) -> Any:
        code, width = _SCALARS[kind]
        return struct.unpack_from(code, self.view, self.take(width))[0]

    def text(self) -> str:
        length = self.scalar(10)
        if length > MAX_TEXT:
            raise _bad(self.path, f"damaged (a text of {length} bytes)")
        at = self.take(length)
        return self.view[at : at + length].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        if kind not in _SCALARS:
            raise _bad(self.path, f"damaged (metadata type {kind})")
        return self.scalar(kind)

    def array(self) -> int:
        kind, length = self.scalar(4), self.scalar(10)
        if length > MAX_ARRAY:
            raise _bad(self.path, f"damaged (an array of {length} elements)")
        if kind in _SCALARS:
            self.take(_SCALARS[kind][1] * length)
        elif kind == _STRING:
            self.skip_texts(length)
        else:  # arrays of arrays: no model uses them, and they would allow unbounded nesting
            raise _bad(self.path, f"damaged (an array of type {kind})")
        return int(length)

    def skip_texts(self, count: int) -> None:
        """The hot loop for vocabularies: locals, and one check a text."""
        at, size, view, unpack = self.at, self.size, self.view, struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at + 8 > size:
                raise _bad(self.path, "truncated (its header ends outside the file)")
            at += 8 + unpack(view, at)[0]
        if at > size:
            raise _bad(self.path, "truncated (its header ends outside the file)")
        self.at = at

    def entry(self) -> tuple[Tensor, int]:
        name, dimensions = self.text(), self.scalar(4)
        if not 0 < dimensions <= 4:
            raise _bad(self.path, f"damaged (tensor {name} has {dimensions} dimensions)")
        shape = tuple(int(self.scalar(10)) for _ in range(dimensions))
        kind, offset = self.scalar(4), int(self.scalar(10))
        if kind not in TYPES:
            raise _bad(
                self.path,
                f"of a newer kind (tensor {name} has the unknown type {kind})",
                "Update Nightschool, or take another quantisation.",
            )
        label, block, width = TYPES[kind]
        if not all(shape) or shape[0] % block:
            raise _bad(self.path, f"damaged (tensor {name} has the shape {shape})")
        return Tensor(name, shape, label, prod(shape) // block * width), offset
