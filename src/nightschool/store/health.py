"""Is the database sound, and what of it can be made again? Nothing here removes a user's data.

SQLite's own checks see a damaged page, not a changed letter in one. So vectors must have length 1,
the full text must say what the passages say, and what never changes once it is written (passages,
vectors, finished nights, versions, receipts) must be as in the newest backup, whose hash is known.
"""

from __future__ import annotations

import contextlib
import math
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nightschool.store import documents, driver, schema, snapshot, state
from nightschool.store.db import Store
from nightschool.store.snapshot import Backup

if TYPE_CHECKING:
    import sqlite3

TABLES = ("root", "document", "chunk", "vector", "pair", "run", "version", "receipt", "state")
"""A database without one of these is not one of ours."""
OFF_LENGTH = 0.01
"""How far a vector's length may be from 1: rounding is a hundred thousandth of it."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """Rows of `table` with the same `key` in both files, where `when` holds, agree in `columns`."""

    table: str
    key: str
    columns: tuple[str, ...]
    when: str = "1"


RULES = (
    _Rule("chunk", "id", ("document_id", "text", "safe")),
    _Rule(
        "vector", "chunk_id", ("data",),
        "a.embedder=b.embedder AND EXISTS (SELECT 1 FROM main.chunk x JOIN old.chunk y "
        "ON x.id=y.id AND x.title=y.title WHERE x.id=a.chunk_id)",
    ),
    _Rule(
        "document", "id", ("root_id", "sha256"),
        "a.size=b.size AND a.mtime_ns=b.mtime_ns AND a.updated_at=b.updated_at AND a.path=b.path "
        "AND a.status=b.status AND a.sha256<>''",
    ),
    _Rule(
        "pair", "id",
        ("kind", "question", "answer", "evidence", "fact", "phrasing", "split", "context", "writer",
         "document_id"),
        "a.status='auto' AND b.status='auto'",
    ),
    _Rule(
        "run", "id", ("plan", "base_sha", "seed", "scorecard", "version"),
        "a.outcome=b.outcome AND a.ended_at=b.ended_at AND a.ended_at<>''",
    ),
    _Rule("version", "number", ("base_sha", "created_at", "scale", "run_id", "sha256")),
    _Rule("receipt", "id", ("at", "kind", "target", "body")),
)  # fmt: skip
"""What is written once. Titles and paths may change, and reviewed pairs, so they are not here."""
READ_AGAIN = ("chunk", "document")
"""Damage here is mended by reading the file again: the truth lies in the user's folder."""


def damage(database: Path) -> str:
    """What SQLite finds wrong with the file, in words; empty when it is sound, or not there."""
    if not database.exists():
        return ""
    try:
        if os.access(database.parent, os.W_OK):
            with contextlib.closing(driver.connect(database, timeout=15.0)) as connection:
                return _damage(connection)
        log = database.with_name(f"{database.name}-wal")
        if log.exists() and log.stat().st_size:
            return ""  # whole only together with its log, which cannot be opened here
        with snapshot.reading(database) as connection:
            return _damage(connection)
    except driver.operational() as error:
        return "" if "locked" in str(error) or "readonly" in str(error) else str(error)
    except driver.database_errors() as error:
        return str(error)


def _damage(connection: sqlite3.Connection) -> str:
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if odd := snapshot.odd_entry(connection):
        return odd
    missing = [name for name in TABLES if name not in names]
    if names and missing:
        return f"its table {missing[0]} is missing"
    if names and not connection.execute("PRAGMA user_version").fetchone()[0]:
        return "its version is missing"
    return schema.odd(connection) or snapshot.unsound(connection)


DERIVED = ("vector", "pair_chunk", "answer_document", "feedback")
"""Tables whose dangling rows say nothing without the row that they name."""


def mend_derived(database: Path) -> str:
    """Make list of tables, indexes and full text again, drop dangling rows, where that is all.

    What was done, in words; empty when the file is still damaged (then it may have been changed
    only in what is derived).
    """
    try:
        schema.mend(database)
        with contextlib.closing(driver.connect(database)) as connection:
            connection.execute("PRAGMA foreign_keys=OFF")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("REINDEX")
            connection.execute("INSERT INTO chunk_fts(chunk_fts) VALUES('rebuild')")
            for table, rowid, _, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
                if table in DERIVED and rowid is not None:
                    connection.execute(f"DELETE FROM {table} WHERE rowid=?", (rowid,))
            if schema.odd(connection) or snapshot.unsound(connection):
                connection.rollback()
                return ""
            connection.commit()
    except driver.database_errors():
        return ""
    return "Its list of tables, indexes and full text were made again; nothing was lost."


def full_text(store: Store) -> str:
    """Whether the full text says what the passages say; SQLite's words when it does not."""
    try:
        with store.lock:
            store.db.execute("INSERT INTO chunk_fts(chunk_fts, rank) VALUES('integrity-check', 1)")
    except driver.operational() as error:
        return "" if "locked" in str(error) or "readonly" in str(error) else str(error)
    except driver.database_errors() as error:
        return str(error)
    return ""


def rebuild_full_text(store: Store) -> None:
    """Make the full text anew from the passages."""
    with store.transaction() as db:
        db.execute("INSERT INTO chunk_fts(chunk_fts) VALUES('rebuild')")


def bad_vectors(store: Store) -> list[int]:
    """Passages with a vector that cannot be one: not of length 1, not finite, not whole numbers."""
    found = set()
    for row in store.rows("SELECT chunk_id, data FROM vector"):
        data = row["data"]
        if not isinstance(data, bytes) or not data or len(data) % 4:
            found.add(row["chunk_id"])
            continue
        values = array("f", data)
        length = math.sqrt(math.fsum(value * value for value in values))
        if not abs(length - 1.0) <= OFF_LENGTH:  # a NaN is not either
            found.add(row["chunk_id"])
    return sorted(found)


def drop_vectors(store: Store, chunk_ids: list[int]) -> None:
    """Take vectors away, to be made again by the next comparison."""
    from nightschool.store import epochs

    with store.transaction():
        epochs.renew(store, chunk_ids)
        state.bump(store, documents.GENERATION)


def changed(store: Store, backup: Backup) -> dict[str, list[int]]:
    """Rows by table that are not what they were in `backup` (whose hash was checked), though
    they never change. Empty when the backup is of another schema or another database."""
    found: dict[str, list[int]] = {}
    with _beside(store, backup) as alike:
        for rule in RULES if alike else ():
            differs = " OR ".join(f"a.{name} IS NOT b.{name}" for name in rule.columns)
            rows = store.rows(
                f"SELECT DISTINCT a.{rule.key} AS k FROM main.{rule.table} a "
                f"JOIN old.{rule.table} b ON a.{rule.key}=b.{rule.key} "
                f"WHERE ({rule.when}) AND ({differs}) ORDER BY 1"
            )
            if rows:
                found[rule.table] = [row["k"] for row in rows]
    return found


def mend(store: Store, backup: Backup, rows: dict[str, list[int]]) -> None:
    """Read the files of damaged passages again, drop vectors, take the rest from the backup."""
    drop_vectors(store, rows.get("vector", []))
    with _beside(store, backup), store.transaction() as db:
        for rule in RULES:
            for key in rows.get(rule.table, []):
                if rule.table in READ_AGAIN:
                    _read_again(store, rule.table, key)
                elif rule.table != "vector":
                    given = ", ".join(
                        f"{name}=(SELECT b.{name} FROM old.{rule.table} b WHERE b.{rule.key}=:key)"
                        for name in rule.columns
                    )
                    db.execute(
                        f"UPDATE main.{rule.table} SET {given} WHERE {rule.key}=:key", {"key": key}
                    )


def _read_again(store: Store, table: str, key: int) -> None:
    """A size that no file has makes the next comparison read it, under the same id.

    Also the file that a passage had in the backup, should it be the damaged column itself.
    """
    column = "id" if table == "document" else "document_id"
    for attached in ("main", "old"):
        store.db.execute(
            "UPDATE main.document SET size=-1, sha256='', paired_sha='' WHERE id IN "
            f"(SELECT {column} FROM {attached}.{table} WHERE id=?)",
            (key,),
        )


@contextlib.contextmanager
def _beside(store: Store, backup: Backup) -> Iterator[bool]:
    """The backup attached as `old`; whether it is of the same database and schema."""
    with store.lock:
        store.db.execute("ATTACH DATABASE ? AS old", (str(backup.path),))
        try:
            same = store.one("PRAGMA old.user_version") == store.one("PRAGMA main.user_version")
            yield bool(same) and store.one(
                "SELECT value FROM old.state WHERE key=?", (documents.IDENTITY,)
            ) in (None, store.one("SELECT value FROM state WHERE key=?", (documents.IDENTITY,)))
        finally:
            store.db.execute("DETACH DATABASE old")


def readable_roots(database: Path) -> list[tuple[str, int, str]]:
    """The watched folders, as `(path, learn, source)`, that a damaged file still tells of."""
    refused: tuple[type[Exception], ...] = (*driver.database_errors(), TypeError, ValueError)
    try:
        with snapshot.reading(database) as connection:
            rows = connection.execute("SELECT path, learn, source FROM root ORDER BY id").fetchall()
        return [(str(path), int(learn), str(source)) for path, learn, source in rows]
    except refused:
        return []
