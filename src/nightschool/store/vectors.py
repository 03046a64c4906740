"""Vectors as they are kept: little-endian float32, one for each passage and embedder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nightschool.store.db import Store

BLOCK = 4_000
"""Rows that are read at a time: 6 MB of the usual vectors."""

Row = tuple[int, bytes]


def total(store: Store, embedder: str) -> tuple[int, int]:
    """How many passages have a vector, and the sum of their ids: what tells two states apart."""
    row = store.rows(
        "SELECT count(*) AS n, coalesce(sum(chunk_id), 0) AS s FROM vector WHERE embedder=?",
        (embedder,),
    )[0]
    return int(row["n"]), int(row["s"])


def ids(store: Store, embedder: str, after: int = 0) -> list[int]:
    """Passages that have a vector, ascending; only those with an id above `after`."""
    found: list[int] = store.column(
        "SELECT chunk_id FROM vector WHERE embedder=? AND chunk_id>? ORDER BY chunk_id",
        (embedder, after),
    )
    return found


def every(store: Store, embedder: str, step: int = 1) -> Iterator[list[Row]]:
    """All `(chunk id, bytes)` by id, in blocks; with `step`, only about one in so many."""
    last = -1
    while True:
        rows = store.rows(
            "SELECT chunk_id, data FROM vector WHERE embedder=? AND chunk_id>? "
            "AND chunk_id % ? = 0 ORDER BY chunk_id LIMIT ?",
            (embedder, last, step, BLOCK),
        )
        if not rows:
            return
        yield _pairs(rows)
        last = rows[-1]["chunk_id"]


def some(store: Store, embedder: str, wanted: Sequence[int]) -> Iterator[list[Row]]:
    """Those of the passages `wanted` (ascending), in blocks; ids without one are left out."""
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        yield _pairs(
            store.rows(
                "SELECT chunk_id, data FROM vector WHERE embedder=? "
                f"AND chunk_id IN ({','.join('?' * len(part))}) ORDER BY chunk_id",
                (embedder, *part),
            )
        )


def _pairs(rows: Sequence[dict[str, Any]]) -> list[Row]:
    return [(row["chunk_id"], row["data"]) for row in rows]
