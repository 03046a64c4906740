"""Prompt distillation: the model with the passage before it teaches the model without it.

The teacher is the same weights, adapter off, passage in context; the student sees the question
alone (2412.14964). What is taught is the distribution over the answer's tokens, its top k and the
rest (`soft`), computed once an item. A teacher that reads wrong teaches wrong, so it only teaches
where its own most likely tokens are the answer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nightschool.train.items import Item
from nightschool.train.soft import SoftLabels, kl_to_base


@dataclass
class Distillation:
    """`taught` names, for a question's item, the item of the same answer with the passage."""

    model: Any
    taught: Mapping[Item, Item]
    labels: SoftLabels

    def remember(self, items: list[Item]) -> None:
        """Ask the teacher about these items now, as `loss` does with theirs."""
        if known := [self.taught[item] for item in items if item in self.taught]:
            self.labels.of(known)

    def loss(self, predictions: list[tuple[Item, torch.Tensor]]) -> torch.Tensor:
        """Mean KL(teacher‖student) per token over the items that a sure teacher has, in nats."""
        total, count = torch.zeros(()), 0
        known = [(item, logits) for item, logits in predictions if item in self.taught]
        if not known:
            return total
        soft = self.labels.of([self.taught[item] for item, _ in known])
        for (item, logits), label in zip(known, soft, strict=True):
            target = torch.tensor(item.ids[item.answer :])
            if torch.equal(label[0][:, 0], target):
                total = total + kl_to_base(logits, label)
                count += len(target)
        return total / max(count, 1)
