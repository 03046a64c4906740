"""When a changed file may be read: it was quiet for a while, and looks the same as before."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nightschool.sources.files import resolve

LATEST_S = 10.0
"""A file that is touched again and again, but does not grow, waits no longer than this."""
GROWING_S = 60.0
"""A file that grows all the time is read after this anyway."""
MANY = 2000
"""More paths than this in one root are not followed one by one: the root is compared whole."""

Look = tuple[int, int] | None


@dataclass
class _Entry:
    first: float
    since: float
    look: Look


@dataclass
class Settler:
    """Collects hints and says which paths have come to rest. Not thread-safe.

    `settle_s` is the quiet time; `look(root id, path)` gives size and time, or None when gone.
    """

    settle_s: float
    look: Callable[[int, str], Look]
    monotonic: Callable[[], float]
    _entries: dict[tuple[int, str], _Entry] = field(default_factory=dict)
    _whole: set[int] = field(default_factory=set)

    def hint(self, root_id: int, path: str) -> None:
        """Something happened to a path; an empty path means the whole root."""
        now = self.monotonic()
        if root_id in self._whole:
            path = ""
        entry = self._entries.get((root_id, path))
        if entry is not None:
            # Looked at again: the first event of a save comes before its content.
            entry.since, entry.look = now, self.look(root_id, path)
            return
        if path and self.waiting(root_id) >= MANY:
            self._collapse(root_id)
            path = ""
        self._entries[(root_id, path)] = _Entry(now, now, self.look(root_id, path))

    def due(self) -> tuple[dict[int, set[str]], float | None]:
        """Settled paths by root, and the seconds until it is worth asking again."""
        now = self.monotonic()
        ready: dict[int, set[str]] = {}
        soonest: float | None = None
        for (root_id, path), entry in list(self._entries.items()):
            quiet = now - entry.since >= self.settle_s
            if quiet or now - entry.first >= LATEST_S:
                look = self.look(root_id, path)
                same = look == entry.look
                if same or now - entry.first >= GROWING_S:
                    ready.setdefault(root_id, set()).add(path)
                    del self._entries[(root_id, path)]
                    if not path:
                        self._whole.discard(root_id)
                    continue
                entry.look, entry.since = look, now
            wait = min(entry.since + self.settle_s, max(entry.first + LATEST_S, now + 0.5)) - now
            soonest = wait if soonest is None else min(soonest, wait)
        return ready, None if soonest is None else max(soonest, 0.02)

    def waiting(self, root_id: int | None = None) -> int:
        """How many paths have not settled yet."""
        return sum(1 for owner, _ in self._entries if root_id in (None, owner))

    def paths(self) -> list[tuple[int, str]]:
        """The paths that have not settled yet."""
        return [key for key in self._entries if key[1]]

    def forget(self, root_id: int) -> None:
        """Drop all hints of a root that is watched no longer."""
        self._entries = {key: value for key, value in self._entries.items() if key[0] != root_id}
        self._whole.discard(root_id)

    def _collapse(self, root_id: int) -> None:
        self.forget(root_id)
        self._whole.add(root_id)


def look_at(folder: Path, key: str) -> Look:
    """Size and time of what is stored as `key`; folders always look the same."""
    path = resolve(folder, key) if key else folder
    if path is None:
        return None
    try:
        found = path.lstat()
    except OSError:
        return None
    return (0, 0) if stat.S_ISDIR(found.st_mode) else (found.st_size, found.st_mtime_ns)
