"""Questions from tables: row header × column header → cell."""

from __future__ import annotations

from nightschool.pairs import phrasing
from nightschool.pairs.facts import Fact
from nightschool.pairs.rules import keyvalue, spans
from nightschool.pairs.rules.note import Field, Row, clean
from nightschool.pairs.rules.subject import Subject, lower
from nightschool.pairs.text import bag

_PLAIN_KEY = bag("thing item field property attribute key name detail what question")
_PLAIN_VALUE = bag("note notes value detail details answer info information data")
_EMPTY = frozenset(("", "-", "–", "—", "n/a", "?", "tbd", "yes", "no", "x", "✓"))


def facts(row: Row, subject: Subject, chunk_id: int, ambiguous: frozenset[str]) -> list[Fact]:
    """One fact per cell but the first; rows whose first cell recurs in the table are left out."""
    label = clean(row.cells[0])
    if not label or label.lower() in _EMPTY or label in ambiguous or len(label.split()) > 6:
        return []
    head = clean(row.header[0]).lower()
    if len(row.cells) == 2 and head in _PLAIN_KEY and clean(row.header[1]).lower() in _PLAIN_VALUE:
        field = Field(row.raw, label, clean(row.cells[1]), row.heading)
        return keyvalue.facts(field, subject, chunk_id)
    found: list[Fact] = []
    for column, cell in zip(row.header[1:], row.cells[1:], strict=True):
        answer, name = keyvalue.value_of(clean(cell)), lower(clean(column))
        if answer.lower() in _EMPTY or not name or len(answer.split()) > 12:
            continue
        if answer not in row.raw or keyvalue.secret(f"{name} {label}"):
            continue
        forms = _forms(head, label, name, answer, subject)
        found.append(Fact(answer, row.raw, chunk_id, tuple(forms), 0.7, "table"))
    return found


def _forms(
    head: str, label: str, column: str, answer: str, subject: Subject
) -> list[phrasing.Form]:
    shown = lower(label) if head in _PLAIN_KEY or not any(c.isdigit() for c in label) else label
    moment = spans.whole(label) in (spans.Type.DATE, spans.Type.TIME)
    if any(c.isdigit() for c in label) and head not in _PLAIN_KEY and not moment:
        shown = f"{lower(head)} {label}".strip()
    wh = keyvalue.wh(column, answer)
    if spans.whole(answer) is spans.Type.TIME:
        wh = "What"  # a pace or a lap is written like a time of day
    of = "for" if moment else "of"
    extra: tuple[str, ...] = (f"For {subject.phrase}, {wh.lower()} is the {column} {of} {shown}?",)
    if spans.whole(answer) is spans.Type.MONEY and column.lower() in (
        "price",
        "cost",
        "amount",
        "total",
    ):
        extra = (*extra, f"How much was {shown} in {subject.phrase}?")
    place = f"({subject.plain})"
    return phrasing.attribute(
        f"the {column} {of} {shown} {place}",
        f"{subject.plain} {shown} {column}",
        direct=f"{wh} is the {column} {of} {shown} in {subject.phrase}?",
        extra=extra,
        which=f"Which {column} do my notes on {subject.phrase} give for {shown}?",
    )
