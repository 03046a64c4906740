"""Paired statistics for few items: exact or simulated, never a normal approximation.

Sources: exact McNemar and paired evaluation, 2602.10144; no CLT below a few hundred items,
2503.01747; the decision rule P(difference > −margin), methods.md 3.3. Everything is a pure
function with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference candidate − reference with its 95 % interval (same unit)."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Two runs over the same items: how many only the candidate or only the reference had right."""

    n: int
    gained: int
    lost: int
    reference: float
    candidate: float

    @property
    def delta(self) -> float:
        return self.candidate - self.reference


def pair_up(candidate: Sequence[bool], reference: Sequence[bool]) -> Binary:
    """Count the discordant items. Both sequences are over the same items, in the same order."""
    if len(candidate) != len(reference):
        raise ValueError("both runs must cover the same items")
    n = len(candidate)
    gained = sum(c and not r for c, r in zip(candidate, reference, strict=True))
    lost = sum(r and not c for c, r in zip(candidate, reference, strict=True))
    return Binary(n, gained, lost, _share(sum(reference), n), _share(sum(candidate), n))


def mcnemar(found: Binary) -> float:
    """Exact one-sided McNemar p: chance of so many gains if gain and loss were equally likely."""
    discordant = found.gained + found.lost
    if not discordant:
        return 1.0
    tail = sum(comb(discordant, k) for k in range(found.gained, discordant + 1))
    return float(tail / 2**discordant)


def difference(found: Binary, seed: int = 0) -> Difference:
    """95 % credible interval of the paired difference (share), Dirichlet posterior."""
    draws = _posterior(found, seed)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Difference(found.delta, float(low), float(high), found.n)


def probability_above(found: Binary, threshold: float, seed: int = 0) -> float:
    """Posterior P(candidate − reference > threshold); thresholds are shares, e.g. −0.05."""
    if not found.n:
        return 0.0
    return float((_posterior(found, seed) > threshold).mean())


def _posterior(found: Binary, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Draws of p(gain) − p(loss). Prior: half an item each, the Jeffreys-like Dirichlet."""
    generator = np.random.default_rng(seed)
    same = found.n - found.gained - found.lost
    shares = generator.dirichlet([found.gained + 0.5, found.lost + 0.5, same + 0.5], DRAWS)
    drawn: np.ndarray[tuple[int], np.dtype[np.float64]] = shares[:, 0] - shares[:, 1]
    return drawn


def bootstrap(
    values: Sequence[float],
    weights: Sequence[float],
    groups: Sequence[str],
    seed: int = 0,
    draws: int = 10_000,
) -> Difference:
    """Weighted mean with a 95 % interval from a bootstrap clustered by group (document).

    For a difference in NLL, `values` are per-item differences in nats a token and `weights` the
    items' token counts.
    """
    names = sorted(set(groups))
    index = {name: row for row, name in enumerate(names)}
    sums, mass = np.zeros(len(names)), np.zeros(len(names))
    for value, weight, group in zip(values, weights, groups, strict=True):
        sums[index[group]] += value * weight
        mass[index[group]] += weight
    mean = float(sums.sum() / max(mass.sum(), 1e-12))
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(names), size=(draws, len(names)))
    means = sums[chosen].sum(1) / np.maximum(mass[chosen].sum(1), 1e-12)
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(mean, float(low), float(high), len(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lies (linear between neighbours); NaN stays NaN."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), share))


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Holm's step-down: which claims stand when several are made at once."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    stands = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > alpha / (len(p_values) - rank):
            break
        stands[i] = True
    return stands


def detectable(n: int, discordant: float = 0.15, power: float = 0.8) -> float:
    """The smallest drop (share) that n paired items show with this power, by the formula of
    methods.md 3.2 (n ≈ 6.18 · psi / margin² at 80 %)."""
    if n <= 0:
        return 1.0
    factor = 6.18 if power == 0.8 else 8.56
    return float((factor * discordant / n) ** 0.5)


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a share."""
    if not n:
        return 0.0, 1.0
    z = 1.959963984540054
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * ((p * (1 - p) + z * z / (4 * n)) / n) ** 0.5 / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _share(right: int, n: int) -> float:
    return right / n if n else 0.0
