"""The one file that says which version is served: `current.json` in the home.

Version 0 is the base model without an adapter; it is always reachable. The pointer belongs to one
base model: read for another base, it counts as version 0 (adapters fit only their own base).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from nightschool.errors import StoreError
from nightschool.paths import Home
from nightschool.registry.atomic import write_bytes


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is served: `directory` is relative to the home, empty for the base.

    `scale` multiplies the adapter (llama.cpp's user scale); `history` holds the numbers served
    before this one, newest last, which is where rollback goes.
    """

    version: int = 0
    base_sha: str = ""
    scale: float = 1.0
    directory: str = ""
    history: tuple[int, ...] = ()


def read(home: Home) -> Pointer:
    """The current pointer; the base when nothing was promoted yet. Raises StoreError if damaged."""
    try:
        raw = json.loads(home.pointer.read_text(encoding="utf-8"))
        return Pointer(
            version=int(raw["version"]),
            base_sha=str(raw["base_sha"]),
            scale=float(raw["scale"]),
            directory=str(raw["directory"]),
            history=tuple(int(number) for number in raw["history"]),
        )
    except FileNotFoundError:
        return Pointer()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{home.pointer} is damaged: {error}.",
            "Run `nightschool use 0` to serve the base model, or `nightschool doctor`.",
        ) from error


def write(home: Home, pointer: Pointer) -> None:
    """Replace the pointer atomically."""
    write_bytes(home.pointer, json.dumps(asdict(pointer), indent=1).encode())
