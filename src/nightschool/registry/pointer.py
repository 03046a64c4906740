"""The one file that says which version is served: `current.json` in the home.

Version 0 is the base model without an adapter; it is always reachable. The pointer belongs to one
base model: read for another base, it counts as version 0 (adapters fit only their own base).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from nightschool.errors import StoreError
from nightschool.paths import Home
from nightschool.store.atomic import write_bytes


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is served: `directory` is relative to the home, empty for the base.

    `scale` multiplies the adapter (llama.cpp's user scale); `history` holds the numbers served
    before this one, newest last, which is where rollback goes. `left` is the version that a
    rollback left; its status follows (see `versions.finish_rollback`).
    """

    version: int = 0
    base_sha: str = ""
    scale: float = 1.0
    directory: str = ""
    history: tuple[int, ...] = ()
    left: int = 0


def read(home: Home) -> Pointer:
    """The current pointer; the base when nothing was promoted yet. Raises StoreError if damaged."""
    try:
        raw = json.loads(home.pointer.read_text(encoding="utf-8"))
        if raw.get("check", _check(raw)) != _check(raw):
            raise ValueError("its check sum is another")
        return Pointer(
            version=int(raw["version"]),
            base_sha=str(raw["base_sha"]),
            scale=float(raw["scale"]),
            directory=str(raw["directory"]),
            history=tuple(int(number) for number in raw["history"]),
            left=int(raw.get("left", 0)),
        )
    except FileNotFoundError:
        return Pointer()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{home.pointer} is damaged: {error}.",
            "Run `nightschool use 0` to serve the base model, or `nightschool doctor`.",
        ) from error


def write(home: Home, pointer: Pointer) -> None:
    """Replace the pointer atomically."""
    facts = asdict(pointer)
    write_bytes(home.pointer, json.dumps(facts | {"check": _check(facts)}, indent=1).encode())


def _check(facts: dict[str, Any]) -> str:
    """Tells a file that rotted from one that we wrote; one without it is of an older version."""
    kept = {name: value for name, value in facts.items() if name != "check"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
