"""How a database file is reached: SQLite, or SQLCipher with the stick's key, by where it lies.

A stick has no shared memory that every host and file system would offer, so its databases keep a
rollback journal (TRUNCATE: no directory entry is written for each commit) and sync fully. The
locks stay per transaction: service, engine and learner share the file, one at a time.
"""

from __future__ import annotations

import importlib
import sqlite3
import sys
from pathlib import Path
from typing import Any, cast

from nightschool import vault
from nightschool.paths import Stick, stick

_CIPHER = "sqlcipher3.dbapi2"
_DEPTH = 3
"""A database lies at most so many folders below the one with the mark."""


def connect(
    path: Path,
    *,
    timeout: float = 5.0,
    check_same_thread: bool = True,
    uri: str = "",
) -> sqlite3.Connection:
    """Open `path` in autocommit mode; `uri` holds what else its address says (`mode=ro`).

    Raises Refused when it lies on an encrypted stick that is locked, sqlite3.Error otherwise
    (SQLCipher's own classes for an encrypted one: see `operational`).
    """
    place = f"{path.absolute().as_uri()}?{uri}" if uri else str(path)
    on = place_of(path)
    module: Any = sqlite3
    if on is not None and on.encrypted:
        module = importlib.import_module(_CIPHER)
    connection = module.connect(
        place,
        timeout=timeout,
        check_same_thread=check_same_thread,
        isolation_level=None,
        uri=bool(uri),
    )
    if on is not None and on.encrypted:
        connection.execute(f"PRAGMA key=\"x'{vault.keys(on).database}'\"")
        connection.execute("PRAGMA cipher_memory_security=OFF")  # locking every page costs a third
    return cast(sqlite3.Connection, connection)


def journal(path: Path, *, durable: bool) -> tuple[str, ...]:
    """The pragmas that say how commits reach this disk."""
    if place_of(path) is None:
        return ("journal_mode=WAL", f"synchronous={'FULL' if durable else 'NORMAL'}")
    return ("journal_mode=TRUNCATE", "synchronous=FULL")


def place_of(path: Path) -> Stick | None:
    """The stick that a database lies on."""
    for folder in path.absolute().parents[:_DEPTH]:
        found = stick(folder)
        if found is not None:
            return found
    return None


def operational() -> tuple[type[Exception], ...]:
    """What a refused operation raises, of every driver in use."""
    return (sqlite3.OperationalError, *_cipher("OperationalError"))


def database_errors() -> tuple[type[Exception], ...]:
    """What a damaged file raises, of every driver in use."""
    return (sqlite3.DatabaseError, *_cipher("DatabaseError"))


def _cipher(name: str) -> tuple[type[Exception], ...]:
    module = sys.modules.get(_CIPHER)
    return () if module is None else (getattr(module, name),)
