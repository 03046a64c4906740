"""Generated personal notes with questions, answerable and not: our own text, no licence attached.

A note has facts about a few subjects (`relations.txt`), told in one of several shapes (prose,
bullets, key/value lines, tables, contact lines, minutes, recipe, receipt, itinerary, manual). For
split "test" and "validation" the statement and question templates are the held-out ones, names
and made-up words are those whose hash falls to the split, and so are filler sentences.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from documents import itinerary, manual, minutes, receipt, recipe
from facts import Fact, Writer
from items import Item
from shapes import bullets, contacts, key_values, prose, table

Shape = Callable[[Writer], tuple[str, list[Fact]]]
SHAPES: list[tuple[int, Shape]] = [
    (38, prose), (14, bullets), (14, key_values), (8, table), (6, contacts), (5, minutes),
    (4, recipe), (4, receipt), (3, itinerary), (4, manual),
]  # fmt: skip


def choose(rng: Random) -> Shape:
    return rng.choices([s for _, s in SHAPES], [w for w, _ in SHAPES])[0]


def note(writer: Writer) -> tuple[str, list[Fact]]:
    """One note: its text and the facts in it whose value stands there word for word."""
    shape = choose(writer.rng)
    for _ in range(20):
        text, facts = shape(writer)
        kept = [f for f in facts if f.value.lower() in text.lower()]
        if kept:
            return text, kept
    raise AssertionError("no shape gave a note")


def item(rng: Random, split: str, answerable: float = 0.62, alone: float = 0.6) -> Item:
    """A question about one note or 2–3 joined notes."""
    writer = Writer(rng, split)
    text, facts = note(writer)
    others = list[str]()
    all_facts = list(facts)
    if rng.random() > alone:
        for _ in range(rng.randint(1, 2)):
            more, extra = note(writer)
            others.append(more)
            all_facts += extra
    wanted = rng.choice(facts)
    if rng.random() < answerable:
        if sum(f.subject == wanted.subject and f.name == wanted.name for f in all_facts) > 1:
            others = []
        question = rough(rng, rng.choice(wanted.questions))
        place = rng.randint(0, len(others))
        parts = [*others[:place], text, *others[place:]]
        passage = "\n\n".join(parts)
        offset = sum(len(p) + 2 for p in parts[:place])
        start = offset + locate_fact(text, wanted)
        return Item(question, passage, start, start + len(wanted.value))
    parts = [text, *others]
    rng.shuffle(parts)
    return Item(rough(rng, writer.missing(all_facts)), "\n\n".join(parts))


def locate_fact(text: str, fact: Fact) -> int:
    """Where the value stands: in its statement, else after its subject, else at first."""
    at = text.find(fact.statement)
    if at >= 0:
        inside = fact.statement.lower().find(fact.value.lower())
        return at + max(0, inside)
    small, value = text.lower(), fact.value.lower()
    at = small.find(value, max(0, small.find(fact.subject.lower())))
    return at if at >= 0 else small.find(value)


def rough(rng: Random, question: str) -> str:
    """As people type: now and then without capital letters or question mark."""
    draw = rng.random()
    if draw < 0.06:
        return question.lower().rstrip("?.")
    return question.rstrip("?.") if draw < 0.1 else question
