"""A question about one slot of a clause, and cutting that slot out of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nightschool.pairs.rules import lexicon, spans
from nightschool.pairs.rules.grammar import Clause
from nightschool.pairs.rules.spans import Span


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer with its question, the same inside a sentence, and an exam rewording (or "")."""

    answer: str
    direct: str
    indirect: str
    which: str
    confidence: float


def ask(
    clause: Clause, answer: str, wh: str, rest: str, confidence: float, *, which: str = ""
) -> Asked:
    """The question `wh … rest?`; `which` is another question word for the exam ("On what day")."""
    return Asked(
        answer,
        clause.ask(wh, rest),
        clause.tell(wh, rest),
        clause.ask(which, rest) if which else "",
        confidence,
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """A typed span in the rest of a clause.

    `preposition` stands right before it (lower case, or empty) and begins at `begin`; `left` and
    `right` are the text around the span, `alone` says that nothing stands before it.
    """

    clause: Clause
    span: Span
    preposition: str
    begin: int

    @property
    def left(self) -> str:
        return self.clause.rest[: self.span.start]

    @property
    def right(self) -> str:
        return self.clause.rest[self.span.end :].strip()

    @property
    def alone(self) -> bool:
        return not self.left.strip()

    def cut(self, *, stranded: str = "", start: int | None = None, more: int = 0) -> str:
        """The rest without the span (and its preposition); `stranded` takes its place.

        Without `start` the preposition goes too; `more` further characters behind the span go.
        """
        begin = self.begin if start is None else start
        return without(self.clause, begin, self.span.end + more, stranded=stranded)

    def strand(self) -> str:
        """The rest with the bare preposition left standing: "… sold for", "… moved to"."""
        return self.cut(stranded=self.preposition)


def slot(clause: Clause, span: Span) -> Slot:
    """The slot of a span of `clause.rest`."""
    before = re.search(
        r"([A-Za-z]+)\s+(?:(?:the|about|around|a|an|only|just)\s+)?$", clause.rest[: span.start]
    )
    if before and before.group(1).lower() in lexicon.PREPOSITIONS:
        return Slot(clause, span, before.group(1).lower(), before.start())
    return Slot(clause, span, "", span.start)


def without(clause: Clause, start: int, end: int, *, stranded: str = "") -> str:
    """The rest without characters `start..end` and what follows the next comma, then the lead."""
    left = clause.rest[:start].rstrip(" ,")
    right = re.split(r",(?!\d)|\s(?:and|or)\s(?=[\d£$€])", clause.rest[end:].strip())[0].strip()
    right = "" if right.split(" ")[0] in ("and", "or") else right
    return " ".join(part for part in (left, stranded, right, clause.lead) if part)


def moment(text: str) -> bool:
    """Whether a text is nothing but a date, a time, a duration or a sum."""
    return spans.whole(text) in (
        spans.Type.DATE,
        spans.Type.TIME,
        spans.Type.DURATION,
        spans.Type.MONEY,
    )
