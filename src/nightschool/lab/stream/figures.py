"""The figures of continual learning, from the matrix R (Lopez-Paz and Ranzato, 1706.08840).

R[i][j] is the score on night j's facts by what is served after night i, both from 0. It is known
for j ≤ i, and for j = i + 1 as it was right before that night.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

Matrix = Sequence[Sequence[float]]


def acc(matrix: Matrix) -> float:
    """The mean over all nights' facts after the last night."""
    last = len(matrix) - 1
    return fmean(matrix[last][: last + 1])


def bwt(matrix: Matrix) -> float:
    """Backward transfer: what became of a night's facts since that night; 0 for one night."""
    last = len(matrix) - 1
    return fmean(matrix[last][j] - matrix[j][j] for j in range(last)) if last else 0.0


def fwt(matrix: Matrix, base: Sequence[float]) -> float:
    """Forward transfer: what is known of a night's facts before it, above what the base knows."""
    known = [matrix[j - 1][j] - base[j] for j in range(1, len(matrix)) if len(matrix[j - 1]) > j]
    return fmean(known) if known else 0.0


def forgetting(matrix: Matrix) -> float:
    """From the best that was ever known of a night's facts down to the end; 0 for one night."""
    last = len(matrix) - 1
    lost = [max(matrix[i][j] for i in range(j, last)) - matrix[last][j] for j in range(last)]
    return fmean(lost) if lost else 0.0
