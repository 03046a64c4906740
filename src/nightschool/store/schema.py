"""Is the list of tables as its migrations made it? SQLite itself does not compare it with anything.

A flipped letter in the text of a table renames a column; SQLite calls the file sound, and every
query that names the column fails. The rows lie there by their order, so that the right text, which
a new database in memory has, makes all of them readable again.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from nightschool.store import driver
from nightschool.store.db import import_sqlite_utils
from nightschool.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

_LISTED = (
    "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL "
    "AND NOT (type='table' AND name GLOB 'chunk_fts_*')"  # these FTS5 words itself
)
_LOOSE = re.compile(r"[\s\"'`\[\]]+")
"""What versions of SQLite write differently into a text that ALTER TABLE changed."""


def odd(connection: sqlite3.Connection) -> str:
    """The first table, index or trigger that is not as it was made, by its name; empty if none.

    Tables and indexes that somebody added are left alone; a column added to one of ours is not.
    Raises sqlite3.Error where the list cannot be read at all.
    """
    found = _texts(connection)
    for key, text in _expected(connection).items():
        if _bare(found.get(key, "")) != _bare(text):
            return f"its {key[0]} {key[1]} is not as it was made"
    return ""


def mend(database: Path) -> None:
    """Write the right texts over wrong ones. Raises sqlite3.Error when the file does not let it."""
    with contextlib.closing(driver.connect(database)) as connection:
        connection.execute("PRAGMA writable_schema=ON")  # also reads a text that is no SQL any more
        found = _texts(connection)
        for (kind, name), text in _expected(connection).items():
            if (kind, name) in found and _bare(found[kind, name]) != _bare(text):
                connection.execute(
                    "UPDATE sqlite_master SET sql=? WHERE type=? AND name=?", (text, kind, name)
                )


def _expected(connection: sqlite3.Connection) -> Mapping[tuple[str, str], str]:
    """The texts of a database of the same version that was made just now."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        for step in MIGRATIONS[:version]:
            step(import_sqlite_utils().Database(new))
        return _texts(new)


def _texts(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    return {(str(kind), str(name)): str(sql) for kind, name, sql in connection.execute(_LISTED)}


def _bare(text: str) -> str:
    return _LOOSE.sub("", text)
