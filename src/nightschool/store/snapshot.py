"""Backups: whole copies of the database, each in one file that proves itself.

`000007.daily.<first 16 hex digits of its SHA-256>.db` is made by `VACUUM INTO` under a temporary
name, checked, synced, and renamed: a name like this is a complete copy, or bit rot, never a torn
one. Their order is the number, not a date: a clock that is set back prunes nothing wrongly.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from nightschool.errors import StoreError, of_disk
from nightschool.store import driver
from nightschool.store.atomic import sync_directory, sync_file

if TYPE_CHECKING:
    import sqlite3

DAILY, UPGRADE, ASKED = "daily", "upgrade", "asked"
KEEP = {DAILY: 3, UPGRADE: 2, ASKED: 2}
"""So many of each kind stay; the newest of all stays always."""
BUDGET = 4.0
"""All backups together take at most so many times the newest one (and at least `FLOOR` bytes)."""
FLOOR = 64 << 20
SPARE = 32 << 20
"""Free bytes that a backup leaves on the disk."""
WAIT_S = 60.0
"""Seconds to wait for another process that makes a backup."""
_NAME = re.compile(r"(\d{6,})\.([a-z]+)\.([0-9a-f]{16})\.db")


@dataclass(frozen=True, slots=True)
class Backup:
    """One copy. `sequence` orders them; `digest` are the first 16 hex digits of its SHA-256."""

    path: Path
    sequence: int
    reason: str
    digest: str

    @property
    def size(self) -> int:
        """Bytes; 0 when it is gone."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def listed(folder: Path) -> list[Backup]:
    """All backups, newest first."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            named = _NAME.fullmatch(path.name)
            if named is not None:
                found.append(Backup(path, int(named[1]), named[2], named[3]))
    return sorted(found, key=lambda item: item.sequence, reverse=True)


def take(connection: sqlite3.Connection, folder: Path, reason: str, at: str) -> Backup:
    """Copy the open database, check the copy, then prune. `at` is only told, never compared.

    Raises StoreError when the disk has no room, or when what was copied is damaged: then nothing
    is pruned, and nothing is left.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with FileLock(folder / ".lock", timeout=WAIT_S, mode=0o600):
            made = _take(connection, folder, reason, at)
            prune(folder)
            return made
    except Timeout as error:
        raise StoreError(
            "Another Nightschool process is making a backup.", "Try again in a moment."
        ) from error
    except OSError as error:
        raise of_disk(error) or StoreError(
            f"The backup in {folder} cannot be written: {error.strerror or error}.",
            "Check the folder's permissions and free space.",
        ) from error


def _take(connection: sqlite3.Connection, folder: Path, reason: str, at: str) -> Backup:
    for torn in folder.glob(".*.tmp*"):  # what a kill left: never a backup
        torn.unlink(missing_ok=True)
    present = listed(folder)
    sequence = 1 + (present[0].sequence if present else 0)
    _need_room(connection, folder)
    temporary = folder / f".{sequence:06}.tmp"
    try:
        write(connection, temporary, {"sequence": sequence, "reason": reason, "at": at})
        digest = _sha256(temporary)[:16]
        made = Backup(folder / f"{sequence:06}.{reason}.{digest}.db", sequence, reason, digest)
        temporary.replace(made.path)
        sync_directory(folder)
        return made
    finally:
        for left in folder.glob(f"{temporary.name}*"):
            left.unlink(missing_ok=True)


def write(connection: sqlite3.Connection, target: Path, about: dict[str, object]) -> None:
    """One checked and synced copy at `target`, which must not exist; `about` goes into its state.

    Raises StoreError when the copy is not sound, OSError when the disk refuses.
    """
    try:
        target.touch(mode=0o600)
        connection.execute("VACUUM INTO ?", (str(target),))
        with contextlib.closing(driver.connect(target)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")
            copy.execute(
                "INSERT INTO state(key, value) VALUES('backup', ?) "
                "ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                (json.dumps(about),),
            )
            problem = odd_entry(connection) or unsound(copy)
    except driver.operational() as error:
        raise StoreError(
            f"The database could not be copied to {target.parent}: {error}.",
            "Free some space and try again; `nightschool doctor` looks at the database.",
        ) from error
    except driver.database_errors() as error:
        raise StoreError(
            f"The database cannot be copied: {error}.", "Run `nightschool doctor`."
        ) from error
    if problem:
        raise StoreError(
            f"The database is damaged, so no copy was kept: {problem}.", "Run `nightschool doctor`."
        )
    sync_file(target)


def prune(folder: Path) -> list[Backup]:
    """Remove what is beyond `KEEP` and `BUDGET`, oldest numbers first; what was removed."""
    present = listed(folder)
    seen: dict[str, int] = {}
    kept: list[Backup] = []
    gone: list[Backup] = []
    room = max(FLOOR, BUDGET * present[0].size) if present else 0.0
    for item in present:
        seen[item.reason] = seen.get(item.reason, 0) + 1
        room -= item.size
        beyond = seen[item.reason] > KEEP.get(item.reason, 1) or room < 0
        (gone if kept and beyond else kept).append(item)
    for item in gone:
        item.path.unlink(missing_ok=True)
    return gone


def problem_of(item: Backup) -> str:
    """Why a backup cannot be restored, in words; empty when it can."""
    try:
        if not _sha256(item.path).startswith(item.digest):
            return "its bytes have changed since it was made"
        with reading(item.path) as copy:
            return unsound(copy)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except driver.database_errors() as error:
        return f"it is no database: {error}"


def about(item: Backup) -> dict[str, object]:
    """When and why it was made, and its schema; empty values where it does not say."""
    with contextlib.suppress(*driver.database_errors(), ValueError), reading(item.path) as copy:
        row = copy.execute("SELECT value FROM state WHERE key='backup'").fetchone()
        schema = int(copy.execute("PRAGMA user_version").fetchone()[0])
        return {"at": "", **json.loads(row[0] if row else "{}"), "schema": schema}
    return {"at": "", "schema": 0}


def restore(item: Backup, database: Path) -> None:
    """Put a copy of a backup where no database is. Raises OSError, StoreError when it is damaged.

    The old database with its log must have been moved away before; the copy appears in one step.
    """
    if problem := problem_of(item):
        raise StoreError(f"{item.path.name} cannot be restored: {problem}.", "Try an older one.")
    temporary = database.with_name(f".{database.name}.restoring.tmp")
    shutil.copyfile(item.path, temporary)
    temporary.chmod(0o600)
    rename(temporary)
    sync_file(temporary)
    temporary.replace(database)
    sync_directory(database.parent)


def rename(database: Path) -> None:
    """Let a copy that takes another's place have a name of its own: the search cache of the other,
    whose counters went on, must not pass for its. Raises StoreError when the disk refuses."""
    try:
        with contextlib.closing(driver.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("DELETE FROM state WHERE key IN ('identity', 'backup')")
    except driver.database_errors() as error:
        raise StoreError(
            f"The copy {database} cannot be made ready: {error}.",
            "Free some space and try again; the old database is where it was.",
        ) from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that nobody writes, opened without leaving a log beside it."""
    with contextlib.closing(driver.connect(path, uri="mode=ro&immutable=1")) as connection:
        yield connection


def unsound(connection: sqlite3.Connection) -> str:
    """What SQLite finds wrong with a database, in its words; empty when nothing."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        return "; ".join(" ".join(line.split()) for line in found)
    dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
    return f"a row of {dangling[0]} names one of {dangling[2]} that is gone" if dangling else ""


def odd_entry(connection: sqlite3.Connection) -> str:
    """Whether the list of tables holds something that is none: SQLite goes on with it, but a copy
    would leave that table out."""
    row = connection.execute(
        "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index', 'trigger', 'view')"
    ).fetchone()
    return f"its list of tables is damaged at {row[0]}" if row else ""


def _need_room(connection: sqlite3.Connection, folder: Path) -> None:
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    page = int(connection.execute("PRAGMA page_size").fetchone()[0])
    free = shutil.disk_usage(folder).free
    if free < pages * page + min(SPARE, pages * page):
        raise StoreError(
            f"The disk that holds {folder} is full: a backup of the database needs "
            f"{2 * pages * page / 1e6:.0f} MB, {free / 1e6:.0f} are free.",
            "Free some space and try again.",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
