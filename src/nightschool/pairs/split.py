"""Who may see which pair: training, the planner, or only the gate. Deterministic, without a seed.

By *document*: about one file in ten, chosen by the hash of its content, is never practised; its
reading and abstention items are hidden probes of generalisation. By *phrasing*: of every other
fact the exam wording (`phrasing.HELD_OUT`) goes to `visible` (30 %) or `hidden` (70 %) by the
hash of the fact, every other wording to `train`.

Small folders (fewer than `FEW_DOCUMENTS` files) hold no file out: there, losing one file would
lose a good part of what there is to learn, and one or two files make no probe anyway. And where
there are few facts (`FEW_FACTS`) every exam wording is hidden: the gate needs them more than the
planner does (docs/decisions/0048).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nightschool.pairs.phrasing import HELD_OUT
from nightschool.pairs.text import share
from nightschool.records import Pair, Split

FEW_DOCUMENTS = 10
HELD_OUT_DOCUMENTS = 0.1
VISIBLE_FACTS = 0.3
FEW_FACTS = 100
"""Exam questions in all. With fewer than this the gate cannot bear one answer lost by chance; with
fewer than 34 it cannot bear any doubt at all."""


def held_out(sha256: str, documents: int) -> bool:
    """Whether a file with this content is kept for the exam, among so many learnable files."""
    return documents >= FEW_DOCUMENTS and share(sha256, "document") < HELD_OUT_DOCUMENTS


def exam_split(fact: str, few: bool = False) -> Split:
    """Where the exam wording of a fact goes; `few` says that there are few facts in all."""
    if few:
        return Split.HIDDEN
    return Split.VISIBLE if share(fact, "fact") < VISIBLE_FACTS else Split.HIDDEN


def by_phrasing(pairs: Iterable[Pair], few: bool = False) -> list[Pair]:
    """Set the split of a practised file's pairs from their wording."""
    return [
        replace(p, split=exam_split(p.fact, few) if p.phrasing >= HELD_OUT else Split.TRAIN)
        for p in pairs
    ]
