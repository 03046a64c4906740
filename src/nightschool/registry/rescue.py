"""Move what is damaged aside, and put in its place what is known to be good. Nothing is deleted.

Each repair has a folder of its own, `quarantine/000003`, with a line that says what lies there and
why. It keeps bytes of the user's files, so `vacuum` empties it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from nightschool.errors import StoreError, of_disk
from nightschool.paths import Home
from nightschool.records import Version
from nightschool.registry import pointer, versions
from nightschool.store import documents, health, snapshot
from nightschool.store import versions as rows
from nightschool.store.atomic import sync_directory
from nightschool.store.db import Store, open_store
from nightschool.store.snapshot import Backup


def aside(home: Home, paths: Sequence[Path], why: str) -> Path:
    """Move files or folders of the home into a new quarantine folder; the folder.

    Raises StoreError when the disk refuses; what was moved until then lies in the folder.
    """
    folder = room(home, why)
    try:
        for path in paths:
            if path.exists() or path.is_symlink():
                shutil.move(path, folder / path.name)
        sync_directory(folder)
        sync_directory(home.root)
    except OSError as error:
        raise _refused(error, folder) from error
    return folder


def room(home: Home, why: str) -> Path:
    """A new, empty quarantine folder with the reason in `why.txt`."""
    try:
        home.quarantine.mkdir(mode=0o700, exist_ok=True)
        taken = [int(p.name) for p in home.quarantine.iterdir() if p.name.isdigit()]
        folder = home.quarantine / f"{max(taken, default=0) + 1:06}"
        folder.mkdir(mode=0o700)
        (folder / "why.txt").write_text(f"{why}\n", encoding="utf-8")
    except OSError as error:
        raise _refused(error, home.quarantine) from error
    return folder


def newest_good(home: Home) -> Backup | None:
    """The newest backup that can be restored."""
    for item in snapshot.listed(home.backups):
        if not snapshot.problem_of(item):
            return item
    return None


def database(home: Home, why: str) -> str:
    """Put the newest good backup, or an empty database, in the place of a damaged one.

    What was done and what is lost, in words. A kill in between leaves the damaged one or the
    restored one, never none. Nobody else may have the database open.
    """
    good = newest_good(home)
    folder = room(home, f"The database was damaged: {why}")
    try:
        _link(home.database, folder / home.database.name)
        for ending in ("-wal", "-shm", "-journal"):
            # First the log: SQLite would apply it to whatever database it finds beside it.
            log = home.database.with_name(home.database.name + ending)
            if log.exists():
                shutil.move(log, folder / log.name)
        sync_directory(home.database.parent)
        if good is not None:
            snapshot.restore(good, home.database)
        else:
            _start_anew(home, folder / home.database.name)
    except OSError as error:
        raise _refused(error, folder) from error
    place = folder.relative_to(home.root).as_posix()
    if good is None:
        return (
            "There was no good backup: a new database was begun. Lost are nights, decisions, "
            "feedback and receipts; watched folders that could still be read were kept, and are "
            f"read again. The damaged file lies in {place}."
        )
    when = str(snapshot.about(good)["at"]) or "an unknown time"
    return (
        f"Restored from backup {good.sequence} ({good.reason}, {when}). Lost is what was recorded "
        "after it: nights, decisions, feedback; files are compared anew, what was forgotten stays "
        f"forgotten. The damaged file lies in {place}."
    )


def _start_anew(home: Home, damaged: Path) -> None:
    """A new database that watches what the damaged one watched, as far as that can be read."""
    found = health.readable_roots(damaged)
    temporary = home.database.with_name(f".{home.database.name}.new")
    for left in temporary.parent.glob(f"{temporary.name}*"):
        left.unlink()
    store = open_store(temporary, anew=True)
    try:
        for path, learn, source in found:
            documents.add_root(store, path, learn=bool(learn), source=source)
        store.one("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        store.close()
    temporary.replace(home.database)
    sync_directory(temporary.parent)


def serve_good(home: Home, store: Store) -> str:
    """Point to a version that is whole: the one served, else the newest promoted, else the base.

    What was done, in words; empty when nothing had to be. A damaged pointer is moved aside.
    """
    try:
        present = pointer.read(home)
        broken = ""
    except StoreError as error:
        present, broken = pointer.Pointer(), error.message
    row = rows.version(store, present.version) if present.version else None
    if not broken and (not present.version or (row is not None and _good(home, row, present))):
        return ""
    if broken:
        aside(home, [home.pointer], broken)
    history = tuple(n for n in present.history if n != present.version)
    for version in rows.versions(store):
        fits = not present.base_sha or version.base_sha == present.base_sha
        if version.status == "promoted" and fits and not versions.damaged(home, version):
            pointer.write(home, pointer.Pointer(
                version.number, version.base_sha, version.scale, version.directory, history or (0,)
            ))  # fmt: skip
            return f"Version {version.number} is served: the newest promoted one that is whole."
    pointer.write(home, pointer.Pointer(base_sha=present.base_sha))
    return "The base is served: no promoted version is whole."


def _good(home: Home, row: Version, present: pointer.Pointer) -> bool:
    if row.status not in ("promoted", "retired"):
        return False
    told = (present.base_sha, present.scale, present.directory)
    return told == (row.base_sha, row.scale, row.directory) and not versions.damaged(home, row)


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system knows no second names."""
    if not source.exists():
        return
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _refused(error: OSError, place: Path) -> StoreError:
    return of_disk(error) or StoreError(
        f"{place} cannot be written: {error.strerror or error}.",
        "Check its permissions and free space, then run `nightschool doctor --repair` again.",
    )
