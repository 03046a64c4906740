"""Learning from liked and disliked answers: KTO (Ethayarajh et al., 2402.01306).

    r  = log π(answer | question) − log π_base(answer | question)
    z  = the same for answers of other questions, clamped at 0 (how far it has drifted anyway)
    L  = 1 − σ(β (r − z))  for a liked answer,   1 − σ(β (z − r))  for a disliked one

It needs no pairs, only thumbs; the base is the model with its adapter off, computed once an item.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from nightschool.train.items import Item
from nightschool.train.soft import answer_logits

BETA = 0.1
LIKED, DISLIKED = "liked", "disliked"


@dataclass
class Preferences:
    """The loss over judged items, with the base's log-probabilities cached."""

    model: Any
    _base: dict[Item, float] = field(default_factory=dict)

    def loss(self, items: list[Item]) -> torch.Tensor:
        """Mean KTO loss of some judged items (0..1 each)."""
        gains = self._gains(items)
        drift = torch.zeros(())
        if strangers := mismatched(items):
            with torch.no_grad():
                drift = self._gains(strangers).mean().clamp(min=0)
        sign = torch.tensor([1.0 if item.group == LIKED else -1.0 for item in items])
        return (1 - torch.sigmoid(BETA * sign * (gains - drift))).mean()

    def remember(self, items: list[Item]) -> None:
        """Ask the base about these items now, as `loss` does."""
        self._ask_base(items)
        if strangers := mismatched(items):
            self._ask_base(strangers)

    def _ask_base(self, items: list[Item]) -> None:
        new = [item for item in dict.fromkeys(items) if item not in self._base]
        if new:
            with torch.no_grad(), self.model.disable_adapter():
                for item, value in zip(new, logprobs(self.model, new), strict=True):
                    self._base[item] = float(value)

    def _gains(self, items: list[Item]) -> torch.Tensor:
        self._ask_base(items)
        return logprobs(self.model, items) - torch.tensor([self._base[item] for item in items])


def logprobs(model: Any, items: list[Item]) -> torch.Tensor:
    """Log-probability in nats of each item's answer, summed over its tokens."""
    found = []
    for item, logits in zip(items, answer_logits(model, items), strict=True):
        target = torch.tensor(item.ids[item.answer :])
        found.append(logits.log_softmax(-1).gather(-1, target[:, None]).sum())
    return torch.stack(found)


def mismatched(items: list[Item]) -> list[Item]:
    """Each question with the next one's answer; none when all have the same question."""
    if len({item.ids[: item.answer] for item in items}) < 2:
        return []
    turned = [*items[1:], items[0]]
    return [
        Item((*item.ids[: item.answer], *other.ids[other.answer :]), item.answer, "other")
        for item, other in zip(items, turned, strict=True)
        if item.ids[: item.answer] != other.ids[: other.answer]
    ]
