"""A weight difference → two thin matrices, with the error stated (Eckart and Young, 1936).

Large matrices are factorised by a randomised range finder (Halko, Martinsson and Tropp, 0909.4061),
which is exact, too, where the difference has that rank; its dice are seeded.
"""

from __future__ import annotations

import torch

from nightschool.errors import TrainError

TOLERANCE = 1e-3
"""Largest relative error (Frobenius) of an export that calls itself exact."""
SMALL = 128
"""Up to this width the whole SVD is computed."""


def low_rank(delta: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The best A [rank, in] and B [out, rank] for `delta` [out, in], and ‖delta − BA‖/‖delta‖."""
    delta = delta.detach().float()
    rank = min(rank, *delta.shape)
    if min(delta.shape) <= SMALL:
        u, s, v = torch.linalg.svd(delta, full_matrices=False)
        v = v.T
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            u, s, v = torch.svd_lowrank(delta, q=min(rank + 8, *delta.shape), niter=6)
    root = s[:rank].clamp(min=0).sqrt()
    a, b = root[:, None] * v[:, :rank].T, u[:, :rank] * root
    error = float((delta - b @ a).norm() / delta.norm().clamp(min=1e-30))
    return a.contiguous(), b.contiguous(), error


def exactly(delta: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As `low_rank`. Raises TrainError when that rank does not carry the difference."""
    a, b, error = low_rank(delta, rank)
    if not error <= TOLERANCE:
        raise TrainError(
            f"Rank {rank} keeps this adapter only with a relative error of {error:.2g} "
            f"(allowed: {TOLERANCE:g}).",
            "Use a recipe that exports exactly; see `nightschool learn --help`.",
        )
    return a, b
