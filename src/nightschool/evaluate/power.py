"""What the gate's binary tests can and cannot see: exact power, and the number of probes it takes.

Model: of n paired items a share psi is discordant (one model right, the other wrong), and a true
gain of `effect` splits them (psi + effect)/2 to (psi − effect)/2. Exact sums over both binomials,
no normal approximation (methods.md 3.2). Also how α is spent when the same material is tried again.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, pi

import numpy as np
import numpy.typing as npt

EFFECT = 0.05
POWER = 0.90
MOST = 5_000
EXACT = 60


@lru_cache(maxsize=8192)
def critical(discordant: int, alpha: float) -> int:
    """The fewest gains of `discordant` items that one-sided exact McNemar calls significant.

    `discordant + 1` when none are. Whole numbers up to `EXACT` items, double precision beyond.
    """
    if discordant <= EXACT:
        tail = 0
        for gains in range(discordant, -1, -1):
            tail += comb(discordant, gains)
            if tail > alpha * 2.0**discordant:
                return gains + 1
        return 0
    tails = _binomial(discordant, 0.5)[::-1].cumsum()
    return discordant + 1 - int(np.searchsorted(tails, alpha, side="right"))


def power(n: int, discordant: float, effect: float = EFFECT, alpha: float = 0.05) -> float:
    """Chance that n items show a true gain of `effect` (both shares) at level `alpha`.

    An effect of 0 gives the false alarms. `discordant` is at least the effect.
    """
    psi = min(1.0, max(discordant, effect, 1e-9))
    up = (psi + effect) / (2 * psi)
    total = 0.0
    for d, weight in enumerate(_binomial(n, psi)):
        if weight > 1e-12 and (least := critical(d, alpha)) <= d:
            total += weight * float(_binomial(d, up)[least:].sum())
    return total


def needed(
    discordant: float, effect: float = EFFECT, alpha: float = 0.05, wanted: float = POWER
) -> int:
    """The number of probes from which on a true gain of `effect` is shown with power `wanted`.

    At most `MOST`.
    """
    low, high = 1, 8
    while high < MOST and power(high, discordant, effect, alpha) < wanted:
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle, discordant, effect, alpha) >= wanted:
            high = middle
        else:
            low = middle
    return high


def unseen(n: int, discordant: float, alpha: float) -> str:
    """In words, what n items cannot show; empty when they show 5 points at 90 %."""
    psi = max(discordant, EFFECT)
    chance = power(n, psi, EFFECT, alpha)
    if n <= 0 or chance >= POWER:
        return ""
    enough = needed(psi, EFFECT, alpha)
    return (
        f"{n} items of which {100 * psi:.0f} % change sides show a true gain of "
        f"{100 * EFFECT:.0f} points only {100 * chance:.0f} times in 100; "
        f"{'more than ' if enough >= MOST else ''}{enough} would show it 90 times"
    )


def spent(alpha: float, tries: int) -> float:
    """The α of the next try after `tries` on the same material: α·6/(π²k²), k = tries + 1.

    The sum over any number of tries stays below α, so trying again until it passes does not pay.
    """
    return alpha * 6 / (pi * (tries + 1)) ** 2


_LOGS = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, MOST + 2)))))
"""Logarithms of the factorials."""


def _binomial(n: int, p: float) -> npt.NDArray[np.float64]:
    """Probabilities of 0..n successes, by logarithms so that large n does not underflow."""
    if p >= 1:
        found = np.zeros(n + 1)
        found[n] = 1.0
        return found
    k = np.arange(n + 1)
    chosen = _LOGS[n] - _LOGS[k] - _LOGS[n - k]
    found = np.exp(chosen + k * np.log(max(p, 1e-300)) + (n - k) * np.log1p(-p))
    return np.asarray(found / found.sum(), dtype=np.float64)
