"""The rule-based writer: questions without any model, from how people write things down.

Each file reads one shape (`keyvalue`, `table`, `listing`, `sentence`, `cloze`); `note` cuts a
passage into those shapes, `subject` names what it is about, `spans` and `grammar` know dates,
amounts, names and plain English clauses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from nightschool.pairs.facts import Fact, to_pairs
from nightschool.pairs.rules import (
    cloze,
    keyvalue,
    lexicon,
    listing,
    note,
    parse,
    sentence,
    subject,
    table,
)
from nightschool.pairs.text import share
from nightschool.records import Chunk, Pair

_TABLE_FACTS = 8
"""At most so many cells of tables in a file, so that a long table leaves room for the rest."""

_CLOZE_IF_FEWER = 6
"""Gaps are asked only where the better rules found fewer facts than this in a file."""


class RuleWriter:
    """Writes closed-book pairs by rules (a `ports.PairWriter`); deterministic, no model."""

    name = "rules"

    def write(self, chunks: Sequence[Chunk], title: str) -> list[Pair]:
        """Pairs of one document, best facts first; its safe text only."""
        title = _own_title(chunks, title)
        found: list[Fact] = []
        spare: list[Fact] = []
        with lexicon.naming(note.names([title, *(chunk.safe for chunk in chunks)])):
            for chunk in chunks:
                for fact in _facts(chunk, title):
                    (spare if fact.rule == "cloze" else found).append(fact)
        cells = [fact for fact in found if fact.rule == "table"]
        chosen = sorted(cells, key=lambda fact: share(fact.key, "cell"))[:_TABLE_FACTS]
        found = [fact for fact in found if fact.rule != "table" or fact in chosen]
        if len(found) < _CLOZE_IF_FEWER:
            found.extend(spare[: _CLOZE_IF_FEWER - len(found)])
        return to_pairs(found, self.name)


def _own_title(chunks: Sequence[Chunk], title: str) -> str:
    """The first line of a plain text, where the given title is only the file's name."""
    if not chunks or title.strip() != PurePosixPath(chunks[0].locator.path).stem:
        return title
    first = chunks[0].safe.strip().split("\n", 1)
    line = first[0].strip()
    heading = len(first) > 1 and not first[1].split("\n", 1)[0].strip() and note.heading_like(line)
    return line if heading else title


def _facts(chunk: Chunk, title: str) -> Iterator[Fact]:
    about = subject.of_title(title, chunk.locator.path)
    headings = chunk.locator.headings
    heading = note.start_heading(chunk.safe, headings)
    parts = list(note.parts(chunk.safe, heading, (title, *headings)))
    labels = Counter(note.clean(part.cells[0]) for part in parts if isinstance(part, note.Row))
    twice = frozenset(label for label, count in labels.items() if count > 1)
    for part in parts:
        if note.redacted(part.raw):
            continue
        here = subject.of_heading(part.heading, about) if part.heading else about
        if isinstance(part, note.Field):
            stated = _stated(part)
            if stated is None:
                yield from keyvalue.facts(part, here, chunk.id)
            else:
                yield from sentence.facts(stated, here, chunk.id)
        elif isinstance(part, note.Row):
            yield from table.facts(part, here, chunk.id, twice)
        else:
            found = listing.facts(part, here, chunk.id) or sentence.facts(part, here, chunk.id)
            yield from found or cloze.facts(part, here, chunk.id)


def _stated(field: note.Field) -> note.Sentence | None:
    """The value as a sentence, when it is one: "Formatting: the line length is 96"."""
    value = field.value
    clause = parse.parse(value) if len(value.split()) >= 5 else None
    if (
        clause is None
        or clause.imperative
        or (clause.subject == "I" and not value.startswith("I "))
    ):
        return None
    return note.Sentence(field.raw, value, field.heading)
