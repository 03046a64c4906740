"""A database that came from another computer: its folders lie elsewhere here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from nightschool.store import driver


def move(database: Path, places: Mapping[str, str]) -> list[str]:
    """Rewrite the folders' paths by `places` (a folder, or one above it); all folders afterwards.

    What is remembered of a folder's place on the disk stays: another folder under the same path is
    not taken for it, so nothing is ever deleted because it is not there.
    """
    with contextlib.closing(driver.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN IMMEDIATE")
        for table, column in (
            ("root", "path"),
            ("run_document", "root_path"),
            ("forgotten", "root_path"),
        ):
            found = connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
            for (path,) in found:
                new = moved(str(path), places)
                if new != path:
                    connection.execute(
                        f"UPDATE OR REPLACE {table} SET {column}=? WHERE {column}=?", (new, path)
                    )
        roots = connection.execute("SELECT path FROM root ORDER BY id").fetchall()
        connection.commit()
    return [str(path) for (path,) in roots]


def moved(path: str, places: Mapping[str, str]) -> str:
    """`path` on this computer; the longest beginning that fits decides."""
    for old in sorted(places, key=len, reverse=True):
        if path == old:
            return places[old]
        for kind in (PurePosixPath, PureWindowsPath):
            if kind(path).is_relative_to(old) and kind(old).is_absolute():
                return str(Path(places[old]).joinpath(*kind(path).relative_to(old).parts))
    return path


def watched(database: Path) -> int:
    """How many folders a database watches; 0 for one that cannot be read."""
    try:
        with contextlib.closing(driver.connect(database)) as connection:
            return int(connection.execute("SELECT count(*) FROM root").fetchone()[0])
    except driver.database_errors():
        return 0
