"""The fallback: a sentence with its answer taken out, named by its note."""

from __future__ import annotations

from nightschool.pairs import phrasing
from nightschool.pairs.facts import Fact
from nightschool.pairs.rules import spans
from nightschool.pairs.rules.note import Sentence
from nightschool.pairs.rules.spans import Type
from nightschool.pairs.rules.subject import Subject

_TYPES = (
    Type.DATE,
    Type.TIME,
    Type.MONEY,
    Type.QUANTITY,
    Type.DURATION,
    Type.NAME,
    Type.CODE,
    Type.QUOTED,
)


def facts(sentence: Sentence, subject: Subject, chunk_id: int) -> list[Fact]:
    """At most one gap per sentence: the last typed answer that stands in it once."""
    text = sentence.text
    if not 5 <= len(text.split()) <= 30 or '"' in text:
        return []
    for span in reversed(spans.find(text)):
        if span.type not in _TYPES or span.start < 12 or text.count(span.text) > 1:
            continue
        if span.text not in sentence.raw or span.text.lower() in subject.phrase.lower():
            continue
        shown = f"{text[: span.start]}___{text[span.end :]}"
        forms = phrasing.gap(shown, subject.phrase)
        return [Fact(span.text, sentence.raw, chunk_id, tuple(forms), 0.3, "cloze")]
    return []
