"""Where `rollback` would go, without going there."""

from __future__ import annotations

from nightschool.registry.pointer import Pointer
from nightschool.store import versions as rows
from nightschool.store.db import Store


def previous(present: Pointer, store: Store) -> int | None:
    """The version that `rollback` would serve (0 = the base); None when there is none.

    Its files are not opened: `rollback` itself passes over a damaged one.
    """
    for number in reversed(present.history):
        if number == present.version:
            continue
        version = rows.version(store, number) if number else None
        if not number:
            return 0
        if version is None or version.status not in ("promoted", "retired"):
            continue
        if version.base_sha == present.base_sha:
            return number
    return 0 if present.version else None
