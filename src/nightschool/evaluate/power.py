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
MOST = 20_000


@lru_cache(maxsize=4096)
def critical(discordant: int, alpha: float) -> int:
    """The fewest gains of `discordant` items that one-sided exact McNemar calls significant.

    `discordant + 1` when none are.
    """
    tail, allowed = 0, alpha * 2.0**discordant if discordant < 1000 else None
    if allowed is None:  # far beyond the float range: compare whole numbers
        allowed = int(alpha * 10**12) * 2**discordant // 10**12
    for gains in range(discordant, -1, -1):
        tail += comb(discordant, gains)
        if tail > allowed:
            return gains + 1
    return 0


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

    At most `MOST` (the sawtooth of the exact test is less than 1 % wide there).
    """
    low, high = 1, 8
    while high < MOST and power(high, discordant, effect, alpha) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle, discordant, effect, alpha) >= wanted:
            high = middle
        else:
            low = middle
    return min(high, MOST)


def unseen(n: int, discordant: float, alpha: float) -> str:
    """In words, what n items cannot show; empty when they show 5 points at 90 %."""
    psi = max(discordant, EFFECT)
    chance = power(n, psi, EFFECT, alpha)
    if n <= 0 or chance >= POWER:
        return ""
    return (
        f"{n} items of which {100 * psi:.0f} % change sides show a true gain of "
        f"{100 * EFFECT:.0f} points only {100 * chance:.0f} times in 100; "
        f"{needed(psi, EFFECT, alpha)} would show it 90 times"
    )


def spent(alpha: float, tries: int) -> float:
    """The α of the next try after `tries` on the same material: α·6/(π²k²), k = tries + 1.

    The sum over any number of tries stays below α, so trying again until it passes does not pay.
    """
    return alpha * 6 / (pi * (tries + 1)) ** 2


def _binomial(n: int, p: float) -> npt.NDArray[np.float64]:
    """Probabilities of 0..n successes, by logarithms so that large n does not underflow."""
    if n == 0:
        return np.ones(1)
    if p >= 1:
        found = np.zeros(n + 1)
        found[n] = 1.0
        return found
    k = np.arange(n + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    chosen = logs[n] - logs[k] - logs[n - k]
    found = np.exp(chosen + k * np.log(max(p, 1e-300)) + (n - k) * np.log1p(-p))
    return np.asarray(found / found.sum(), dtype=np.float64)
