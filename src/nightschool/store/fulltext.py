"""Full text: in how many passages words stand, and which hold them best (BM25, FTS5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nightschool.store.db import Store


def match(
    store: Store,
    expression: str,
    limit: int,
    among: Sequence[int] | None = None,
    *,
    read: int | None = None,
) -> list[tuple[int, float]]:
    """FTS5 hits as `(chunk id, BM25 score)`, best first; a title match counts double.

    With `among`, only these passages. With `read`, only the newest so many matches are scored:
    a score costs ten times as much as finding the match.
    """
    where, arguments = "", list[Any]([expression])
    if among is not None:
        # The sign keeps SQLite from asking the full text once for each of them.
        where = "AND +rowid IN (SELECT value FROM json_each(?))"
        arguments.append(json.dumps(list(among)))
    inner = (
        "SELECT rowid AS id, bm25(chunk_fts, 2.0, 1.0) AS score FROM chunk_fts "
        f"WHERE chunk_fts MATCH ? {where}"
    )
    if read is not None:
        inner = f"SELECT id, score FROM ({inner} ORDER BY rowid DESC LIMIT ?)"
        arguments.append(read)
    rows = store.rows(f"{inner} ORDER BY score, id LIMIT ?", [*arguments, limit])
    return [(row["id"], -row["score"]) for row in rows]


def count(store: Store, expression: str, most: int, first: int = 0) -> int:
    """In how many passages, from id `first` on, `expression` matches, counted up to `most`."""
    return int(
        store.one(
            "SELECT count(*) FROM (SELECT rowid FROM chunk_fts "
            "WHERE chunk_fts MATCH ? AND rowid >= ? LIMIT ?)",
            (expression, first, most),
        )
    )


def newest(store: Store, number: int) -> tuple[int, int]:
    """The lowest id of the newest `number` passages, and how many there are of these."""
    (row,) = store.rows(
        "SELECT coalesce(min(id), 0) AS first, count(*) AS passages "
        "FROM (SELECT id FROM chunk_fts_docsize ORDER BY id DESC LIMIT ?)",
        (number,),
    )
    return row["first"], row["passages"]
