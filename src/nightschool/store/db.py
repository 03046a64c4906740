"""Open the database: WAL, foreign keys on, secure delete, migrated, checked for a newer version.

sqlite-utils imports numpy and pandas when they are installed (about 80 MB in a process that must
stay small), so it is imported here, and only here, with both names blocked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from nightschool.clock import SystemClock, iso
from nightschool.errors import StoreError, of_disk
from nightschool.store import driver, snapshot
from nightschool.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from sqlite_utils import Database


def import_sqlite_utils() -> Any:
    blocked = [name for name in ("numpy", "pandas") if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import sqlite_utils
    finally:
        for name in blocked:
            del sys.modules[name]
    return sqlite_utils


@dataclass
class Store:
    """One open database. Safe to share between threads: every use holds `lock`.

    `file` is the device and the number of the file that was opened.
    """

    path: Path
    db: Database
    file: tuple[int, int]
    lock: RLock = field(default_factory=RLock)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Database]:
        """All or nothing, writers queue up (BEGIN IMMEDIATE); nests by joining the outer one.

        Raises StoreError with the remedy when the disk is full, the file is damaged or locked, and
        when its place is empty or another file's: a stick that was pulled has its files still,
        though the open database can be written for some time, and what was done to paths meanwhile
        was done elsewhere.
        """
        with self.lock:
            connection = self.db.conn
            if connection.in_transaction:
                yield self.db
                return
            with translated(self.path):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self.db
                    if _file(self.path) != self.file:
                        raise StoreError(
                            f"{self.path} is not there any more.",
                            "Put its disk back, and start Nightschool again.",
                        )
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()

    def rows(self, sql: str, arguments: Any = ()) -> list[dict[str, Any]]:
        """All rows of a query as dictionaries."""
        with self.lock, translated(self.path):
            cursor = self.db.execute(sql, arguments)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def column(self, sql: str, arguments: Any = ()) -> list[Any]:
        """The first column of all rows."""
        with self.lock, translated(self.path):
            return [row[0] for row in self.db.execute(sql, arguments)]

    def one(self, sql: str, arguments: Any = ()) -> Any:
        """The first column of the first row, or None."""
        with self.lock, translated(self.path):
            row = self.db.execute(sql, arguments).fetchone()
            return None if row is None else row[0]

    def close(self) -> None:
        with self.lock:
            self.db.conn.close()


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


ROOM = 1 << 20
"""Free bytes below which SQLite has no room to work."""


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn sqlite3's errors into ours, with what to do."""
    try:
        yield
    except driver.operational() as error:
        text = str(error)
        # With no room for the log's index SQLite speaks of the input and output, not of the disk.
        if "full" in text or ("I/O" in text and shutil.disk_usage(path.parent).free < ROOM):
            raise StoreError(
                f"The disk that holds {path} is full.", "Free some space and try again."
            ) from error
        if "locked" in text or "busy" in text:
            raise StoreError(
                "Another Nightschool process is writing to the database.", "Try again in a moment."
            ) from error
        if "readonly" in text or "unable to open" in text:
            raise _unwritable(path, text) from error
        raise StoreError(f"Database error: {text}.", "Run `nightschool doctor`.") from error
    except driver.database_errors() as error:
        raise StoreError(
            f"{path} is damaged or not a database: {error}.", "Run `nightschool doctor`."
        ) from error


LONGEST = 504
"""Bytes of a path that SQLite opens: its 512 (MAX_PATHNAME in os_unix.c) less `-journal`."""


def _unwritable(path: Path, text: str) -> StoreError:
    """SQLite says the same of a disk that can only be read and of a folder of somebody else."""
    if (length := len(os.fsencode(path.absolute()))) > LONGEST:
        return StoreError(
            f"This path is too long for SQLite ({length} bytes of {LONGEST}): {path}.",
            "Use a shorter --home.",
        )
    closed = [place for place in (path.parent, path) if not os.access(place, os.W_OK)]
    if closed and closed[0].exists():
        read_only = sys.platform != "win32" and os.statvfs(closed[0]).f_flag & os.ST_RDONLY
        known = of_disk(OSError(errno.EROFS if read_only else errno.EACCES, "", str(path)))
        if known is not None:
            return known
    return StoreError(
        f"Cannot write {path}: {text}.", "Check the folder's permissions and free space."
    )


def open_store(path: Path, *, durable: bool = True, anew: bool = False) -> Store:
    """Open `path`, creating and migrating it as needed.

    A commit outlives a power cut when it is `durable`; what can be read from the user's files
    again (intake) need not, and may then lose its last commits, in their order, never parts.
    An empty database beside backups is taken for a lost one unless it is to be begun `anew`.

    Raises StoreError when the file is damaged, locked, or written by a newer Nightschool.
    """
    sqlite_utils = import_sqlite_utils()
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = driver.connect(path, timeout=15.0, check_same_thread=False)
        with contextlib.suppress(OSError):
            path.chmod(0o600)
        for pragma in (
            *driver.journal(path, durable=durable),
            "foreign_keys=ON",
            "secure_delete=ON",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        if (file := _file(path)) is None:
            connection.close()
            raise StoreError(f"{path} is not there any more.", "Put its disk back and try again.")
        store = Store(path, sqlite_utils.Database(connection), file)
        migrate(store, anew=anew)
    return store


def keep_pages(store: Store, megabytes: int) -> None:
    """Let a process that reads all the time keep so much of the file in memory (usually 2 MB)."""
    with store.lock, translated(store.path):
        store.db.execute(f"PRAGMA cache_size=-{1000 * megabytes}")


def compact(store: Store) -> None:
    """Write the file anew without what was deleted: full-text segments, free pages, the log.

    Raises StoreError when another process is writing.
    """
    with store.lock, translated(store.path):
        store.db.execute("INSERT INTO chunk_fts(chunk_fts) VALUES('rebuild')")
        store.db.execute("VACUUM")
        busy = store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise StoreError(
            "Another process reads the database, so its log could not be cut.",
            "Run `nightschool vacuum` again in a moment.",
        )


def migrate(store: Store, *, anew: bool = False) -> None:
    """Apply the missing migrations, all or none, after a backup of the file as it was.

    Raises StoreError when the file is of a newer version, or there is no room for the backup.
    """
    version = int(store.one("PRAGMA user_version"))
    if version > len(MIGRATIONS):
        store.close()
        raise StoreError(
            f"{store.path} was written by a newer Nightschool (schema {version}, "
            f"this one knows {len(MIGRATIONS)}).",
            "Update Nightschool, or use another NIGHTSCHOOL_HOME.",
        )
    if version == len(MIGRATIONS):
        return
    backups = store.path.parent / "backups"
    if version:
        snapshot.take(store.db.conn, backups, snapshot.UPGRADE, iso(SystemClock().now()))
    elif not anew and snapshot.listed(backups):
        store.close()
        raise StoreError(
            f"{store.path} is missing or empty, though there are backups of it.",
            "Restore the newest: nightschool doctor --repair",
        )
    with store.transaction() as db:
        # Asked again: another process may have done it while this one waited for its turn.
        done = int(store.one("PRAGMA user_version"))
        for step in MIGRATIONS[done:]:
            step(db)
        db.execute(f"PRAGMA user_version={max(done, len(MIGRATIONS))}")
