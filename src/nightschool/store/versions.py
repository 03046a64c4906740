"""The catalogue of versions. Which one is served is the pointer file's word, not this table's."""

from __future__ import annotations

from typing import Any

from nightschool.clock import Clock, SystemClock, iso
from nightschool.records import Version
from nightschool.store.db import Store


def next_number(store: Store) -> int:
    """One more than the highest number ever given; numbers are never reused."""
    return int(store.one("SELECT coalesce(max(number), 0) + 1 FROM version"))


def add(store: Store, version: Version, *, clock: Clock | None = None) -> None:
    """Record a version whose directory is complete on disk."""
    with store.transaction() as db:
        db.execute(
            "INSERT INTO version(number, base_sha, status, created_at, scale, run_id, sha256, "
            "directory, note) VALUES(?,?,?,?,?,?,?,?,?)",
            (
                version.number,
                version.base_sha,
                version.status,
                version.created_at or iso((clock or SystemClock()).now()),
                version.scale,
                version.run_id,
                version.sha256,
                version.directory,
                version.note,
            ),
        )


def set_status(store: Store, number: int, status: str, note: str = "") -> None:
    """Change a version's status: promoted, held, retired or blocked."""
    with store.transaction() as db:
        db.execute(
            "UPDATE version SET status=?, note=CASE WHEN ?='' THEN note ELSE ? END WHERE number=?",
            (status, note, note, number),
        )


def clear_directory(store: Store, number: int) -> None:
    """A blocked version's files were removed from the disk; its row stays as a record."""
    with store.transaction() as db:
        db.execute("UPDATE version SET directory='' WHERE number=?", (number,))


def versions(store: Store, base_sha: str | None = None) -> list[Version]:
    """All versions (of one base model), newest first."""
    where = "" if base_sha is None else "WHERE base_sha=?"
    arguments = () if base_sha is None else (base_sha,)
    return [
        _version(row)
        for row in store.rows(f"SELECT * FROM version {where} ORDER BY number DESC", arguments)
    ]


def version(store: Store, number: int) -> Version | None:
    """One version by number."""
    rows = store.rows("SELECT * FROM version WHERE number=?", (number,))
    return _version(rows[0]) if rows else None


def _version(row: dict[str, Any]) -> Version:
    return Version(
        number=row["number"],
        base_sha=row["base_sha"],
        status=row["status"],
        created_at=row["created_at"],
        scale=row["scale"],
        run_id=row["run_id"],
        sha256=row["sha256"],
        directory=row["directory"],
        note=row["note"],
    )
