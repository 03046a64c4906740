"""The base model's own predictions on replay, kept as top-k soft labels with a tail bucket.

KL(base‖student) on replayed prompts is the cheapest forgetting control with evidence
(methods.md 2.1: SSR 2403.01244, LwF); the top-k with one bucket for the rest keeps the exact
mass at a fraction of the memory. Computed once per item with the adapter switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from nightschool.train.items import Item
from nightschool.train.packed import packs, predictions

TOP = 64


@dataclass
class SoftLabels:
    """A cache: item → (`index` [n, k] int64, `logp` [n, k] float32, `rest` [n] float32).

    `n` is the number of trained positions of the item; `rest` the log of the mass outside the
    top k, floored at 1e-6 so that a peaked distribution stays finite.
    """

    model: torch.nn.Module
    top: int = TOP
    _known: dict[Item, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = field(
        default_factory=dict
    )

    @torch.no_grad()
    def of(self, batch: list[Item]) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Soft labels of each item, from the cache or one forward pass without adapter."""
        new = [item for item in dict.fromkeys(batch) if item not in self._known]
        if new:
            with self.model.disable_adapter():  # type: ignore[operator]
                found = answer_logits(self.model, new)
            for item, part in zip(new, found, strict=True):
                logp = part.log_softmax(-1)
                best = logp.topk(min(self.top, logp.shape[-1]), dim=-1)
                rest = (1 - best.values.exp().sum(-1)).clamp(min=1e-6).log()
                self._known[item] = (best.indices, best.values, rest)
        return [self._known[item] for item in batch]


def kl_to_base(
    logits: torch.Tensor, soft: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Sum over positions of KL(base‖student) in nats, `logits` [n, vocab] of the student."""
    return kl_by_token(logits, soft).sum()


def kl_by_token(
    logits: torch.Tensor, soft: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """KL(base‖student) in nats at each position, [n]."""
    index, logp, rest = soft
    student = logits.log_softmax(-1)
    kept = student.gather(-1, index)
    other = (1 - kept.exp().sum(-1)).clamp(min=1e-6).log()
    inner = (logp.exp() * (logp - kept)).sum(-1)
    return inner + rest.exp() * (rest - other)


def answer_logits(model: Any, batch: Sequence[Item]) -> list[torch.Tensor]:
    """Logits [n, vocab] that predict the n trained tokens of each item, in the batch's order.

    In one forward pass where the model can take items packed (see `packed`). Otherwise short and
    long items run apart, padded on the left, so that all answers end at the same place and the
    output layer runs over the longest answer only, not over every prompt.
    """
    if packs(model):
        return predictions(model, batch)
    found: dict[int, torch.Tensor] = {}
    for part in _alike(sorted(range(len(batch)), key=lambda i: len(batch[i].ids)), batch):
        found |= zip(part, _padded(model, [batch[i] for i in part]), strict=True)
    return [found[i] for i in range(len(batch))]


def _padded(model: Any, batch: list[Item]) -> list[torch.Tensor]:
    longest = max(len(item.ids) for item in batch)
    keep = max(len(item.ids) - item.answer for item in batch) + 1
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, item in enumerate(batch):
        ids[row, longest - len(item.ids) :] = torch.tensor(item.ids)
        mask[row, longest - len(item.ids) :] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=keep
    ).logits
    return [
        logits[row, -(len(item.ids) - item.answer) - 1 : -1].float()
        for row, item in enumerate(batch)
    ]


def _alike(order: list[int], batch: Sequence[Item]) -> list[list[int]]:
    """Split where padding would more than double the work; `order` is by length."""
    parts: list[list[int]] = []
    for i in order:
        if parts and len(batch[i].ids) <= 1.6 * len(batch[parts[-1][0]].ids) + 8:
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts
