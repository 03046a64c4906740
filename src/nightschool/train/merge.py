"""Several adapters of one base → one: a consolidation candidate, which meets the same gate.

Each method works on the whole change of a weight, Δ = B A, not on A and B apart (their columns have
no common order). The result has the rank it was asked for, by SVD; `merge` says how much of it that
keeps.

    linear   Σ wᵢ Δᵢ
    ties     keep the largest entries, elect one sign each, average those that agree (2306.01708)
    dare     drop entries at random, scale up the rest, then linear (2311.03099)
    slerp    along the arc between two changes, so that their length is kept (Shoemake, 1985)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from nightschool.errors import TrainError, UsageError
from nightschool.train.export import Matrices
from nightschool.train.lowrank import low_rank

Rule = Callable[[list[torch.Tensor], torch.Generator], torch.Tensor]
DENSITY = 0.5
"""Share of entries that `ties` and `dare` keep."""


def linear(changes: list[torch.Tensor], dice: torch.Generator) -> torch.Tensor:
    """The mean."""
    return torch.stack(changes).mean(0)


def ties(changes: list[torch.Tensor], dice: torch.Generator) -> torch.Tensor:
    """Trim, elect, and average what agrees with the elected sign."""
    kept = []
    for change in changes:
        least = (
            change.abs().flatten().kthvalue(max(1, round((1 - DENSITY) * change.numel()))).values
        )
        kept.append(torch.where(change.abs() >= least, change, 0.0))
    stacked = torch.stack(kept)
    agree = (stacked.sign() == stacked.sum(0).sign()) & (stacked != 0)
    return (stacked * agree).sum(0) / agree.sum(0).clamp(min=1)


def dare(changes: list[torch.Tensor], dice: torch.Generator) -> torch.Tensor:
    """Random entries, scaled so that the mean stays."""
    kept = [c * (torch.rand(c.shape, generator=dice) < DENSITY) / DENSITY for c in changes]
    return torch.stack(kept).mean(0)


def slerp(changes: list[torch.Tensor], dice: torch.Generator) -> torch.Tensor:
    """Half-way on the arc, one after another when there are more than two."""
    found = changes[0]
    for number, other in enumerate(changes[1:], start=2):
        found = _arc(found, other, 1 / number)
    return found


def _arc(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    lengths = one.norm() * other.norm()
    if not lengths > 0:
        return torch.lerp(one, other, share)
    angle = torch.arccos(((one * other).sum() / lengths).clamp(-1, 1))
    if angle < 1e-4:
        return torch.lerp(one, other, share)
    return (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * other) / angle.sin()


METHODS: dict[str, Rule] = {"linear": linear, "ties": ties, "dare": dare, "slerp": slerp}


def merge(
    method: str, adapters: Sequence[Matrices], rank: int, seed: int = 1
) -> tuple[Matrices, float]:
    """One adapter of `rank` from several (B carries each one's scale), and the relative error.

    A place that an adapter lacks counts as no change. Raises UsageError for an unknown method and
    TrainError when there are fewer than two adapters.
    """
    if method not in METHODS:
        raise UsageError(f"There is no merge {method!r}.", f"One of: {', '.join(METHODS)}.")
    if len(adapters) < 2:
        raise TrainError("A merge needs two adapters.", "Learn more nights first.")
    dice = torch.Generator().manual_seed(seed)
    found: Matrices = {}
    lost = whole = 0.0
    for place in sorted({place for adapter in adapters for place in adapter}):
        known = [_change(adapter[place]) for adapter in adapters if place in adapter]
        known += [torch.zeros_like(known[0])] * (len(adapters) - len(known))
        merged = METHODS[method](known, dice)
        a, b, error = low_rank(merged, rank)
        size = float(merged.square().sum())
        lost, whole = lost + error**2 * size, whole + size
        found[place] = a.numpy().astype(np.float32), b.numpy().astype(np.float32)
    return found, (lost / max(whole, 1e-30)) ** 0.5


def _change(pair: tuple[object, object]) -> torch.Tensor:
    a, b = (torch.as_tensor(half, dtype=torch.float32) for half in pair)
    return b @ a
