"""How unsure was the model while it wrote? The entropy of its next-token distribution, in nats.

Taken from the scores that are there anyway, before temperature and grammar. 0 is a model that saw
one way to go on, ln(vocabulary) one that saw all alike. Predictive entropy of a sequence: Malinin
and Gales, 2002.07650. Only tokens of content words count: how a linking word is chosen says
nothing about the fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nightschool.engine.support import content_spans

Trace = list[tuple[bytes, float]]
"""The bytes of each written token, and the entropy (nats) of the distribution it came from."""


@dataclass(frozen=True, slots=True)
class Entropy:
    """Mean and largest entropy (nats) over `tokens` content tokens."""

    mean: float
    largest: float
    tokens: int


def of_scores(scores: npt.NDArray[np.float32]) -> float:
    """Entropy (nats) of the softmax over raw scores `[vocabulary]`; scores of -inf are passed over.

    In float32 and three passes, which is under a hundredth of what evaluating a token costs.
    """
    shifted = scores - scores.max()
    np.maximum(shifted, -80.0, out=shifted)  # e^-80 adds nothing, and -inf times zero is no number
    weights = np.exp(shifted)
    total = float(weights.sum(dtype=np.float64))
    return max(float(np.log(total)) - float(np.dot(weights, shifted)) / total, 0.0)


def over_content(trace: Sequence[tuple[bytes, float]]) -> Entropy | None:
    """The entropy over tokens that touch a content word, over all when there is none; None when
    nothing was written."""
    if not trace:
        return None
    text = b"".join(piece for piece, _ in trace).decode("utf-8", "surrogateescape")
    spans = [(_bytes(text[:start]), _bytes(text[:end])) for start, end in content_spans(text)]
    chosen, at = [], 0
    for piece, nats in trace:
        start, at = at, at + len(piece)
        if any(start < last and first < at for first, last in spans):
            chosen.append(nats)
    chosen = chosen or [nats for _, nats in trace]
    return Entropy(sum(chosen) / len(chosen), max(chosen), len(chosen))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
