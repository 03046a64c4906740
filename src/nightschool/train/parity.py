"""Before any exam: does llama.cpp compute with the exported file what torch computed in training?

A wrong export is silent (methods.md 4.1 lists methods whose conversion is simply wrong), so the
logits of both are compared on real prompts. The base's own difference between torch and
llama.cpp (quantised kernels, float16 accumulation) is measured too, and is the yardstick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nightschool.errors import TrainError

Logits = npt.NDArray[np.float32]
TOLERANCE = 0.02
"""Largest allowed |difference| beyond the base's own, as a share of the logits' range."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest |torch − llama.cpp| over all prompts, the base's own, and the range of the logits.

    `effect` is how far the adapter moves the logits at all: without it a parity proves nothing.
    """

    difference: float
    base_difference: float
    span: float
    effect: float
    prompts: int

    @property
    def ok(self) -> bool:
        return self.difference <= self.base_difference + TOLERANCE * self.span


def parity(
    model: Any,
    prompts: Sequence[Sequence[int]],
    served: Callable[[Sequence[int]], Logits],
    served_base: Callable[[Sequence[int]], Logits],
) -> Parity:
    """Compare the logits of the last token of each prompt.

    `served` and `served_base` give llama.cpp's logits [tokens, vocab] with and without the
    exported adapter. Raises TrainError when the export is not faithful.
    """
    worst = base_worst = span = effect = 0.0
    for ids in prompts:
        ours, ours_base = _torch(model, ids)
        theirs, theirs_base = served(ids)[-1], served_base(ids)[-1]
        worst = max(worst, float(np.abs(ours - theirs).max()))
        base_worst = max(base_worst, float(np.abs(ours_base - theirs_base).max()))
        effect = max(effect, float(np.abs(ours - ours_base).max()))
        span = max(span, float(ours.max() - ours.min()))
    result = Parity(worst, base_worst, span, effect, len(prompts))
    if not result.ok:
        raise TrainError(
            f"The exported adapter is not what was trained: logits differ by {worst:.3f} "
            f"of {span:.1f} (the base alone: {base_worst:.3f}).",
            "Nothing was promoted. Please report this with the run directory.",
        )
    return result


@torch.no_grad()
def _torch(model: Any, ids: Sequence[int]) -> tuple[Logits, Logits]:
    tokens = torch.tensor([list(ids)])
    with_adapter = model(input_ids=tokens).logits[0, -1].float().numpy()
    with model.disable_adapter():
        without = model(input_ids=tokens).logits[0, -1].float().numpy()
    return with_adapter, without
