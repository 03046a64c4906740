"""Watched folders on a stick: by their place on it, wherever it is mounted today.

While a session runs the database holds the paths of this host, since every query compares them;
when it ends they are turned back (`stick:../Notes`, `home:notes`), so that nothing of the host
stays. After a stick was pulled out, the next session turns the old host's paths first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from nightschool.store import state
from nightschool.store.db import Store

_PLACE = "stick_place"
_COLUMNS = (("root", "path"), ("run_document", "root_path"), ("forgotten", "root_path"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stick's folder and the home are on this host, as absolute paths."""

    disk: str
    home: str

    def portable(self, path: str) -> str:
        """The form that means the same on every host; a path outside the stick stays."""
        given, disk = Path(path), Path(self.disk)
        if given.is_relative_to(self.home):
            return f"home:{given.relative_to(self.home).as_posix()}"
        if given.is_relative_to(disk.parent):
            return f"stick:{Path(os.path.relpath(given, disk)).as_posix()}"
        return path

    def here(self, path: str) -> str:
        """The path on this host."""
        kind, _, inside = path.partition(":")
        base = {"home": self.home, "stick": self.disk}.get(kind)
        return path if base is None else os.path.normpath(Path(base, PurePosixPath(inside)))


def arrive(store: Store, place: Place) -> None:
    """Turn the stored places into this host's paths. Idempotent."""
    with store.transaction():
        before = state.get(store, _PLACE)
        if before is not None:
            _turn(store, Place(**before).portable)
        _turn(store, place.here)
        state.put(store, _PLACE, asdict(place))


def leave(store: Store) -> None:
    """Turn them back, so that the stick says nothing of this host. Idempotent."""
    with store.transaction():
        before = state.get(store, _PLACE)
        if before is not None:
            _turn(store, Place(**before).portable)
            state.put(store, _PLACE, None)


def _turn(store: Store, turned: Callable[[str], str]) -> None:
    for table, column in _COLUMNS:
        for path in store.column(f"SELECT DISTINCT {column} FROM {table}"):
            if (new := turned(path)) != path:
                store.db.execute(f"UPDATE {table} SET {column}=? WHERE {column}=?", (new, path))
