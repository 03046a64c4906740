"""How good a ranking is, with the formulas of trec_eval (Järvelin and Kekäläinen, 2002).

A ranking is a list of document ids, best first; `judged` holds the grade of each relevant one
(missing or 0 = not relevant).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], judged: Mapping[str, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain at `k`, 0..1; 0 without a relevant document."""
    gained = _dcg([judged.get(item, 0) for item in ranking[:k]])
    best = _dcg(sorted(judged.values(), reverse=True)[:k])
    return gained / best if best > 0 else 0.0


def recall(ranking: Sequence[str], judged: Mapping[str, int], k: int) -> float:
    """Share of the relevant documents among the first `k`; 0..1."""
    relevant = {item for item, grade in judged.items() if grade > 0}
    return len(relevant & set(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], judged: Mapping[str, int], k: int = 10) -> float:
    """1 / rank of the first relevant document, 0 when it is not among the first `k`."""
    for rank, item in enumerate(ranking[:k], start=1):
        if judged.get(item, 0) > 0:
            return 1.0 / rank
    return 0.0


def _dcg(grades: Sequence[int]) -> float:
    return sum(max(grade, 0) / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
