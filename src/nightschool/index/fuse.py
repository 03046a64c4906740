"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009), and room for several documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

K = 60
"""The paper's constant: how slowly a rank loses weight."""

Item = TypeVar("Item", bound=Hashable)


def fuse(rankings: Sequence[Sequence[Item]], k: int = K) -> list[tuple[Item, float]]:
    """Items of all rankings with the sum of 1/(k + rank), best first; ties in order of sight."""
    scores: dict[Item, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def diverse(
    ranked: Sequence[tuple[Item, float]], group: Mapping[Item, Hashable], limit: int
) -> list[tuple[Item, float]]:
    """At most `limit` items of one group first; the others follow in their order, none is lost."""
    if limit <= 0:
        return list(ranked)
    seen: Counter[Hashable] = Counter()
    first: list[tuple[Item, float]] = []
    later: list[tuple[Item, float]] = []
    for pair in ranked:
        seen[group[pair[0]]] += 1
        (first if seen[group[pair[0]]] <= limit else later).append(pair)
    return first + later
