"""Passages that stay and get another vector (their file has a new title).

Ids tell the search cache what came and went, but not this; so each such change has a number, the
epoch, and the newest ones are remembered with their passages.
"""

from __future__ import annotations

from collections.abc import Sequence

from nightschool.store import state
from nightschool.store.db import Store

EPOCH = "vector_epoch"
_RENEWED = "vector_renewed"
KEPT = 200
"""So many changes are remembered; a cache that is older than all of them is built again."""


def epoch(store: Store) -> int:
    """The number that changes when a passage that stays gets another vector."""
    return int(state.get(store, EPOCH, 0))


def renew(store: Store, chunk_ids: Sequence[int]) -> None:
    """Drop the vectors of these passages, to be made again."""
    with store.transaction() as db:
        db.conn.executemany("DELETE FROM vector WHERE chunk_id=?", [(n,) for n in chunk_ids])
        number = state.bump(store, EPOCH)
        log: dict[str, list[int]] = state.get(store, _RENEWED, {})
        log[str(number)] = list(chunk_ids)
        state.put(store, _RENEWED, dict(list(log.items())[-KEPT:]))


def renewed_since(store: Store, number: int) -> list[int] | None:
    """Passages renewed after epoch `number`; None when that is not remembered any more."""
    log: dict[str, list[int]] = state.get(store, _RENEWED, {})
    wanted = [str(n) for n in range(number + 1, epoch(store) + 1)]
    if number < 0 or any(n not in log for n in wanted):
        return None
    return sorted({chunk_id for n in wanted for chunk_id in log[n]})
