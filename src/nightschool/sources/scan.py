"""Walk one watched folder: which files are there, and which parts could not be seen."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from nightschool.ports import Progress, silent
from nightschool.sources.files import portable
from nightschool.sources.ignore import Ignore
from nightschool.sources.kinds.folder import SOURCE as FOLDER
from nightschool.sources.kinds.source import Source

CACHE_TAG = "CACHEDIR.TAG"
"""The agreed mark of a folder that holds only what can be made again."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry that is not ignored. `place` is its path on the disk, whatever its encoding."""

    place: str
    size: int
    mtime_ns: int
    regular: bool

    @property
    def path(self) -> Path:
        """Made when it is asked for: of an unchanged file nobody asks."""
        return Path(self.place)


@dataclass
class Scan:
    """What a walk saw. `blind` are the stored paths that could not be listed or looked at."""

    found: dict[str, Found] = field(default_factory=dict)
    blind: set[str] = field(default_factory=set)

    def unseen(self, key: str) -> bool:
        """Whether `key` lies where the walk was blind, so that nothing is known of it."""
        return key in self.blind or any(
            not folder or key.startswith(f"{folder}/") for folder in self.blind
        )


@dataclass
class Walker:
    """Walks `root`, leaving out `excluded` folders (other roots inside it, our own home)."""

    root: Path
    excluded: Collection[tuple[int, int]] = ()
    progress: Progress = silent
    source: Source = FOLDER
    scan: Scan = field(default_factory=Scan)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def all(self) -> Scan:
        """The whole tree."""
        self._walk(self.root, "", Ignore())
        return self.scan

    def some(self, keys: Collection[str]) -> Scan:
        """Only these stored paths and what lies below them."""
        for key in sorted(keys):
            self._descend(key.split("/"))
        return self.scan

    def _descend(self, parts: list[str]) -> None:
        folder, key, ignore = self.root, "", Ignore()
        for index, part in enumerate(parts):
            listed = self._list(folder, key)
            if listed is None:
                return
            entry = next((item for item in listed if portable(item.name) == part), None)
            ignore = ignore.enter(folder, key, [item.name for item in listed])
            if entry is None or CACHE_TAG in (item.name for item in listed):
                return
            if index == len(parts) - 1:
                self._visit(entry, key, ignore)
                return
            key = f"{key}/{part}" if key else part
            if self._passes_folder(key, part, ignore) or not entry.is_dir(follow_symlinks=False):
                return
            if self._place(entry) in self.excluded:
                return
            folder = Path(entry.path)

    def _walk(self, folder: Path, key: str, ignore: Ignore) -> None:
        pending = [(folder, key, ignore)]
        while pending:
            here, at, above = pending.pop()
            listed = self._list(here, at)
            if listed is None:
                continue
            names = [entry.name for entry in listed]
            if CACHE_TAG in names:
                continue
            inside = above.enter(here, at, names)
            for entry in listed:
                below = self._visit(entry, at, inside, descend=False)
                if below is not None:
                    pending.append((Path(entry.path), below, inside))

    def _visit(
        self, entry: os.DirEntry[str], at: str, ignore: Ignore, *, descend: bool = True
    ) -> str | None:
        """Record one entry; give the stored path of a folder that is to be walked."""
        name = portable(entry.name)
        key = f"{at}/{name}" if at else name
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError:
            self._unseen(key, Path(entry.path))
            return None
        if stat.S_ISDIR(status.st_mode):
            if self._passes_folder(key, name, ignore) or not self._enter(entry):
                return None
            if not descend:
                return key
            self._walk(Path(entry.path), key, ignore)
            return None
        if key not in self.scan.found and not self._passes_file(key, name, ignore, status):
            self.scan.found[key] = self._found(entry.path, status)
            self.progress("scan", len(self.scan.found), 0)
        return None

    def _passes_folder(self, key: str, name: str, ignore: Ignore) -> bool:
        """Whether a folder is left out: by its source's rule, else by the usual ones."""
        verdict = self.source.folder(key)
        if verdict is None:
            return ignore.folder(key, name)
        return not verdict or ignore.listed(f"{key}/")

    def _passes_file(self, key: str, name: str, ignore: Ignore, status: os.stat_result) -> bool:
        verdict = self.source.file(key)
        if verdict is None:
            return ignore.file(key, name, status)
        return not verdict or ignore.listed(key)

    def _found(self, place: str, status: os.stat_result) -> Found:
        """A file with its companions: a change of a database's log is one of the database."""
        size, mtime_ns = status.st_size, status.st_mtime_ns
        for ending in self.source.beside:
            with contextlib.suppress(OSError):
                other = Path(place + ending).lstat()
                size, mtime_ns = size + other.st_size, max(mtime_ns, other.st_mtime_ns)
        return Found(place, size, mtime_ns, stat.S_ISREG(status.st_mode))

    def _list(self, folder: Path, key: str) -> list[os.DirEntry[str]] | None:
        try:
            with os.scandir(folder) as entries:
                # The plain spelling first: of two names with one stored form it is the one kept.
                return sorted(
                    entries, key=lambda item: (portable(item.name) != item.name, item.name)
                )
        except FileNotFoundError:
            return None
        except OSError:
            self._unseen(key, folder)
            return None

    def _unseen(self, key: str, path: Path) -> None:
        """What cannot be looked at is listed itself, so that the user sees why it is not found."""
        self.scan.blind.add(key)
        if key and not path.name.startswith("."):
            self.scan.found[key] = Found(str(path), 0, 0, False)

    def _place(self, entry: os.DirEntry[str]) -> tuple[int, int]:
        try:
            status = Path(entry.path).stat()
        except OSError:
            return (0, 0)
        return (status.st_dev, status.st_ino)

    def _enter(self, entry: os.DirEntry[str]) -> bool:
        """False for another root, and for a folder that was entered before (a loop of mounts)."""
        place = self._place(entry)
        if place in self.excluded or (place[1] and place in self._seen):
            return False
        self._seen.add(place)
        return True
