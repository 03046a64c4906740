"""Compare a watched folder with the store: the truth, whatever events were lost.

A file is unchanged when size and time are; otherwise its SHA-256 decides. A new file whose content
is that of one that is gone has moved. What could not be seen is never a deletion:

* a root that is missing, unreadable or no folder raises SourceError;
* so does a root that is another folder than last time (device and inode differ) and holds none of
  the files that were known: an empty mount point, or another stick in its place. A user who really
  emptied the folder kept its inode; one who made it anew removes and adds the root;
* files below a subfolder that cannot be listed stay as they are.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nightschool import config
from nightschool.errors import SourceError
from nightschool.ports import Progress, silent
from nightschool.records import Change, FileStatus, Kind, Root
from nightschool.sources import kinds
from nightschool.sources.files import TOO_LARGE, UNREADABLE, obstacle, resolve
from nightschool.sources.ignore import PATTERN_FILES
from nightschool.sources.scan import Found, Scan, Walker
from nightschool.store import documents, driver, state
from nightschool.store.db import Store
from nightschool.store.documents import KnownFile

_BLOCK = 1 << 20


def reconcile(
    store: Store,
    root: Root,
    files: config.Files,
    progress: Progress = silent,
    only: Collection[str] | None = None,
) -> list[Change]:
    """What differs between `root` on disk and in the store; with `only`, of these paths alone.

    `only` holds stored paths (POSIX, relative) of files or folders, gone ones too. Nothing is
    changed but the remembered size and time of files whose content is the same. Raises SourceError
    when the root cannot be seen whole enough to judge.
    """
    folder = Path(root.path)
    _need_stick(store)
    place = _place(folder, root)
    only = _widened(only)
    walker = Walker(folder, _foreign(store, root, place), progress, kinds.kind(root.source))
    scan = walker.all() if only is None else walker.some(only)
    if "" in scan.blind or _place(folder, root) != place:
        raise SourceError(
            f"The folder {root.path} could not be listed.", "Check that it is mounted and readable."
        )
    _need_stick(store)
    known = documents.known(store, root.id)
    _check_vanished(store, root, place, scan, known)
    comparison = _Comparison(store, root, files, scan, known, only)
    changes = comparison.changes(progress)
    state.put(store, _key(root), list(place))
    if only is None and not scan.blind:
        documents.seen(store, root.id)
    return changes


@dataclass
class _Comparison:
    store: Store
    root: Root
    files: config.Files
    scan: Scan
    known: dict[str, KnownFile]
    only: Collection[str] | None
    _by_size: dict[int, list[str]] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)

    def changes(self, progress: Progress) -> list[Change]:
        for key, item in self.known.items():
            if key not in self.scan.found and item.sha256:
                self._by_size.setdefault(item.size, []).append(key)
        result: list[Change] = []
        for done, (key, found) in enumerate(sorted(self.scan.found.items())):
            progress("compare", done, len(self.scan.found))
            change = self._judge(key, found)
            if change is not None:
                result.append(change)
        result.extend(
            Change(Kind.DELETED, self.root.id, key)
            for key in sorted(self.known)
            if key not in self._moved and self._gone(key)
        )
        return result

    def _judge(self, key: str, found: Found) -> Change | None:
        old = self.known.get(key)
        if old is None:
            source = self._source_of(key, found)
            if source is None:
                return self._change(Kind.ADDED, key, found)
            self._moved.add(source)
            return self._change(Kind.MOVED, key, found, source)
        if (old.size, old.mtime_ns) == (found.size, found.mtime_ns):
            return self._change(Kind.MODIFIED, key, found) if self._retry(old, found) else None
        if old.sha256 and found.size == old.size and self._hash(found) == old.sha256:
            documents.touch(self.store, old.id, found.size, found.mtime_ns)
            return None
        return self._change(Kind.MODIFIED, key, found)

    def _change(self, kind: Kind, key: str, found: Found, old: str | None = None) -> Change:
        return Change(kind, self.root.id, key, old, found.size, found.mtime_ns)

    def _retry(self, old: KnownFile, found: Found) -> bool:
        """Whether the reason of a skip has gone away although the file is the same."""
        if old.status != FileStatus.SKIPPED or not old.reason.startswith((UNREADABLE, TOO_LARGE)):
            return False
        return obstacle(found.path, Path(self.root.path), self.files.max_bytes) != old.reason

    def _source_of(self, key: str, found: Found) -> str | None:
        """The known file that is gone and had this content; the one of the same name first."""
        if not found.regular or not 0 < found.size <= self.files.max_bytes:
            return None
        candidates = [
            old
            for old in self._by_size.get(found.size, ())
            if old not in self._moved and self._gone(old, moved=True)
        ]
        if not candidates:
            return None
        digest = self._hash(found)
        name = PurePosixPath(key).name
        candidates.sort(key=lambda old: (PurePosixPath(old).name != name, old))
        return next((old for old in candidates if self.known[old].sha256 == digest), None)

    def _gone(self, key: str, *, moved: bool = False) -> bool:
        """Whether a known file is really away.

        In a partial comparison a path outside `only` was not looked for; as the source of a move
        it counts when it is not on the disk.
        """
        if key in self.scan.found or self.scan.unseen(key):
            return False
        if self.only is None or any(key == one or key.startswith(f"{one}/") for one in self.only):
            return True
        return moved and resolve(Path(self.root.path), key) is None

    def _hash(self, found: Found) -> str:
        """SHA-256 of a file, empty when it cannot be read (then it counts as changed)."""
        if not found.regular or found.size > self.files.max_bytes:
            return ""
        try:
            return digest_of(found.path)
        except OSError:
            return ""


def still_there(store: Store, root: Root) -> None:
    """Raises SourceError when what was compared last is no longer what lies at the root's path."""
    _need_stick(store)
    compared, now = state.get(store, _key(root)), _place(Path(root.path), root)
    if compared is not None and tuple(compared) != now:
        raise SourceError(
            f"{root.path} was taken away while its files were read, and another folder is there.",
            "Put it back; nothing was removed from the index.",
        )


def digest_of(path: Path) -> str:
    """SHA-256 (hex) of a regular file; a link or a pipe put in its place is not followed."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _widened(only: Collection[str] | None) -> Collection[str] | None:
    """A pattern file stands for its whole folder: its rules may have changed.

    A database's log stands for the database.
    """
    if only is None:
        return None
    paths = {
        str(PurePosixPath(key).parent) if PurePosixPath(key).name in PATTERN_FILES else key
        for key in only
    }
    paths |= {key.removesuffix("-wal") for key in paths if key.endswith("-wal")}
    return None if "." in paths or "" in paths else paths


def _need_stick(store: Store) -> None:
    """A home on a stick judges only what is on that very stick, not on another in its place."""
    place = driver.place_of(store.path)
    if place is not None and not place.present:
        raise SourceError(
            f"The stick is not at {place.disk} any more; nothing was removed from the index.",
            "Put it back and start again.",
        )


def _key(root: Root) -> str:
    return f"root_place:{root.id}"


def _place(folder: Path, root: Root) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise SourceError(
            f"The folder {root.path} is missing or cannot be reached.",
            "Mount or restore it; nothing was removed from the index. To stop watching: "
            f"nightschool watch remove {shlex.quote(root.path)}",
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{root.path} is not a folder.", "Watch the folder it lies in.")
    return (status.st_dev, status.st_ino)


def _foreign(store: Store, root: Root, place: tuple[int, int]) -> set[tuple[int, int]]:
    """The folders inside this root that are not its own: other roots, and our home."""
    places: set[tuple[int, int]] = set()
    for other in [store.path.parent, *(Path(item.path) for item in documents.roots(store))]:
        try:
            status = other.stat()
        except OSError:
            continue
        places.add((status.st_dev, status.st_ino))
    return places - {place}


def _check_vanished(
    store: Store, root: Root, place: tuple[int, int], scan: Scan, known: dict[str, KnownFile]
) -> None:
    before = state.get(store, _key(root))
    if before is None or tuple(before) == place or not known:
        return
    folder = Path(root.path)
    if any(key in scan.found for key in known):
        return
    if any(resolve(folder, key) is not None for key in known):
        return
    raise SourceError(
        f"{root.path} is another folder than before, and none of its {len(known)} known files is "
        "there.",
        "Mount the right one; nothing was removed from the index. If the files are really gone: "
        f"nightschool watch remove {shlex.quote(root.path)}",
    )
