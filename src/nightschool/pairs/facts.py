"""A fact as a writer finds it: one answer, its literal evidence, and several wordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nightschool.pairs.phrasing import HELD_OUT, Form
from nightschool.pairs.text import fingerprint, normal
from nightschool.records import Pair, PairKind, Split


@dataclass(frozen=True, slots=True)
class Fact:
    """`evidence` is a literal part of the passage's safe text, `answer` a literal part of it.

    `confidence` (0..1) orders the facts of one file: the best survive its cap.
    """

    answer: str
    evidence: str
    chunk_id: int
    forms: tuple[Form, ...]
    confidence: float
    rule: str

    @property
    def key(self) -> str:
        """The same for the same statement wherever it stands; splits hang on it."""
        return fingerprint(normal(self.evidence), normal(self.answer), self.rule)


def to_pairs(facts: Iterable[Fact], writer: str) -> list[Pair]:
    """Closed-book pairs, best facts first; exam wordings are marked visible until `split`."""
    pairs: list[Pair] = []
    seen: set[str] = set()
    for fact in sorted(facts, key=lambda item: -item.confidence):
        if fact.key in seen:
            continue
        seen.add(fact.key)
        asked: set[str] = set()
        for form in fact.forms:
            if form.question in asked:
                continue
            asked.add(form.question)
            pairs.append(
                Pair(
                    kind=PairKind.CLOSED,
                    question=form.question,
                    answer=fact.answer,
                    evidence=fact.evidence,
                    fact=fact.key,
                    phrasing=int(form.family),
                    split=Split.VISIBLE if form.family >= HELD_OUT else Split.TRAIN,
                    chunk_ids=(fact.chunk_id,),
                    writer=f"{writer}:{fact.rule}" if fact.rule else writer,
                )
            )
    return pairs
