"""Vectors without meaning, for benchmarks and properties that do not ask what is similar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Flat:
    """Unit vectors from the texts' lengths: at once, and always the same."""

    name = "flat"
    dim = 4

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        angle = np.array([len(text) for text in texts], dtype=np.float32)
        zero = np.zeros_like(angle)
        return np.stack([np.cos(angle), np.sin(angle), zero, zero], axis=1)
