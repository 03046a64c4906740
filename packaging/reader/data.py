"""The training stream: SQuAD, relatives and notes, packed into batches of token ids.

Sources: `qa/squad_span_qa.jsonl.xz` (SQuAD, CC BY-SA 4.0), the extractive sets of
`qa/prompted_reading.jsonl.xz` (adversarial_qa, CC BY-SA 4.0; quoref, CC BY 4.0) and the notes of
`notes.py` (ours).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

import notes
from items import Item, joined, sentence_removed
from squad import Reading

from nightschool.models.wordpiece import WordPiece

LIMIT = 256
"""Tokens of [CLS] question [SEP] passage [SEP] in training; the server's window is the same."""
QUESTION_LIMIT = 64
NOTES = 0.55
"""Share of the training items that are questions on generated notes."""


@dataclass(frozen=True)
class Packed:
    """Model input and its targets: token places of the answer's first and last token, or 0, 0."""

    ids: list[int]
    start: int
    end: int


class Mixture:
    """The training stream: `batches(n)` is a pure function of (seed, n), so it resumes anywhere."""

    def __init__(self, qa: Path, wordpiece: WordPiece, seed: int = 1) -> None:
        self.reading, self.wp, self.seed = Reading(qa, "train"), wordpiece, seed

    def reading_item(self, rng: Random) -> Item:
        pool = self.reading.more if rng.random() < 0.12 else self.reading.items
        item, kind = rng.choice(pool), rng.random()
        if kind < 0.66:
            return item
        if kind < 0.76:
            return sentence_removed(item)
        near = self.reading.near(item, 3)
        if kind < 0.94 and near:
            return Item(item.question, rng.choice(near))
        other = near[0] if near else rng.choice(self.reading.passages)
        sentences = re.split(r"(?<=[.!?])\s+", other)
        cut = rng.randrange(len(sentences))
        return joined(rng, item, [" ".join(sentences[cut : cut + 3])])

    def pack(self, rng: Random, item: Item) -> Packed:
        """Tokens of an item, cut to LIMIT; a cut that loses the answer makes it unanswerable."""
        question = self.wp.encode(item.question).ids[:QUESTION_LIMIT]
        passage = self.wp.encode(item.passage, line_breaks=True)
        room = LIMIT - len(question) - 3
        first = last = -1
        if item.start >= 0:
            inside = [
                i
                for i in range(len(passage))
                if passage.starts[i] < item.end and passage.ends[i] > item.start
            ]
            if inside:
                first, last = inside[0], inside[-1]
        low = 0
        if len(passage) > room:
            low = rng.randint(0, len(passage) - room)
            if first >= 0 and rng.random() < 0.9:
                low = rng.randint(max(0, last - room + 1), min(first, len(passage) - room))
        elif rng.random() < 0.15 and len(passage) > 60:  # shorter passages, other places
            room = rng.randint(50, len(passage))
            top = len(passage) - room
            low = rng.randint(0, top)
            if first >= 0:
                low = rng.randint(min(top, max(0, last - room + 1)), min(first, top))
        body = passage.ids[low : low + room]
        ids = [self.wp.cls, *question, self.wp.sep, *body, self.wp.sep]
        if first < low or last >= low + len(body) or first < 0:
            return Packed(ids, 0, 0)
        shift = len(question) + 2 - low
        return Packed(ids, first + shift, last + shift)

    def batches(self, number: int, budget: int = 4096, size: int = 512) -> list[list[Packed]]:
        """Mega-batch `number`: `size` fresh items, grouped by length into ≤ `budget` tokens."""
        rng = Random(f"{self.seed}/{number}")
        items = [
            notes.item(rng, "train") if rng.random() < NOTES else self.reading_item(rng)
            for _ in range(size)
        ]
        packed = sorted((self.pack(rng, it) for it in items), key=lambda p: len(p.ids))
        out: list[list[Packed]] = [[]]
        for one in packed:
            if (len(out[-1]) + 1) * len(one.ids) > budget or len(out[-1]) == 48:
                out.append([])
            out[-1].append(one)
        rng.shuffle(out)
        return out
