"""How sure is it that a span answers a question? The reader's word, weighed with the retrieval.

A reader alone takes a price for the price that was asked for: it was trained on passages that were
about the question. Two things tell them apart: how near the passage is to the question, and how
many of the question's content words stand in it, in its headings or its file name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nightschool.engine.support import Sentence, sentence_at, stems
from nightschool.records import Hit

# Logistic regression on tests/invented_notes.py (see tests/bench/answering.py, which refits it).
BIAS = -0.2
READER = 1.3
"""Weight of the reader's log-odds (its calibrated probability, unrolled)."""
NEAR = 1.1
"""Weight of the cosine between question and passage; 0 where a passage has no vector yet."""
COVERED = 1.6
"""Weight of the share of the question's content words that the passage holds."""

ANSWERS = 0.5
"""From this confidence on, a span is taken for the answer; below, the files do not say."""
LOG_ODDS_LIMIT = 9.0
"""The reader's certainty beyond 1 in 10,000 means nothing."""


class ReaderSpan(Protocol):
    """What of `models.reader.Span` is used."""

    @property
    def passage(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def probability(self) -> float: ...


class SpanReader(Protocol):
    """`models.reader.Reader`, or anything that points at spans."""

    def read(self, question: str, passages: Sequence[str]) -> Sequence[ReaderSpan]:
        """At most one span a passage."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """A possible answer in hit number `hit`: the span, its sentence, and `confidence` (0..1)."""

    hit: int
    text: str
    quote: Sentence
    confidence: float


def weigh(question: str, hits: Sequence[Hit], reader: SpanReader) -> list[Evidence]:
    """The reader's span in every hit, the most trustworthy first."""
    asked = stems(question)
    found = []
    for span in reader.read(question, [hit.text for hit in hits]):
        hit = hits[span.passage]
        start, end = _one_line(hit.text, span.start, span.end)
        quote = sentence_at(hit.text, start, end)
        sure = confidence(span.probability, hit.similarity, coverage(asked, hit))
        found.append(Evidence(span.passage, hit.text[start:end], quote, sure))
    return sorted(found, key=lambda evidence: -evidence.confidence)


def _one_line(text: str, start: int, end: int) -> tuple[int, int]:
    """A span that runs over a line break (from a heading into the text): its longest line."""
    lines = [match.span() for match in re.finditer(r"\S[^\n]*", text[start:end])]
    first, last = max(lines, key=lambda line: line[1] - line[0], default=(0, end - start))
    last = first + len(text[start + first : start + last].rstrip())
    return start + first, start + last


def coverage(asked: set[str], hit: Hit) -> float:
    """Share of the question's content words in a passage, its headings or its file name."""
    if not asked:
        return 0.0
    place = " ".join([hit.text, *hit.locator.headings, hit.locator.path])
    return len(asked & stems(place)) / len(asked)


def confidence(probability: float, similarity: float | None, covered: float) -> float:
    """The chance (0..1) that a span of this reader probability answers the question."""
    p = min(max(probability, 1e-9), 1 - 1e-9)
    odds = min(max(math.log(p / (1 - p)), -LOG_ODDS_LIMIT), LOG_ODDS_LIMIT)
    total = BIAS + READER * odds + NEAR * (similarity or 0.0) + COVERED * covered
    return 1 / (1 + math.exp(-total))
