"""An item: a question about a passage, with the answer's place. And two ways to make it harder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random


@dataclass(frozen=True)
class Item:
    """A question about a passage; the answer is passage[start:end], or nowhere (start = -1)."""

    question: str
    passage: str
    start: int = -1
    end: int = -1

    @property
    def answer(self) -> str:
        return self.passage[self.start : self.end] if self.start >= 0 else ""


def sentence_removed(item: Item) -> Item:
    """The same question, the passage without the sentence(s) that hold the answer."""
    edges = [0, *(m.end() for m in re.finditer(r"[.!?]\s+", item.passage)), len(item.passage)]
    kept = [
        item.passage[a:b]
        for a, b in pairwise(edges)
        if item.answer.lower() not in item.passage[a:b].lower() and not a <= item.start < b
    ]
    return Item(item.question, "".join(kept).strip())


def joined(rng: Random, item: Item, others: Sequence[str], glue: str = "\n\n") -> Item:
    """The item's passage among other passages, in random order."""
    parts = [*others]
    place = rng.randint(0, len(parts))
    parts.insert(place, item.passage)
    offset = sum(len(p) + len(glue) for p in parts[:place])
    start, end = (item.start + offset, item.end + offset) if item.start >= 0 else (-1, -1)
    return Item(item.question, glue.join(parts), start, end)
