"""Blocks become passages: whole where it can be, cut where a reader would pause.

A note of up to `MAX_TOKENS` is one passage. A longer one is cut at its top headings, then packed
block by block; a block that is too long by itself is cut between rows (a table repeats its head),
lines or sentences. No passage crosses a top heading, a page, a message or a definition.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from nightschool.ingest.blocks import Block, BlockKind
from nightschool.records import Locator

VERSION = 2
"""Raised when parsing, cutting or redacting changes, so that every file is read again."""
MAX_TOKENS = 180
"""Upper bound of a passage in MiniLM tokens by `tokens`; the encoder itself reads 256."""
ENOUGH_TOKENS = 80
"""From here on a subheading starts a new passage."""
HEADING_TOKENS = 40
"""So much more may a passage have for the headings above its text."""
SCRAP_TOKENS = 40
"""So little at the end of a section stays with what stands before it."""

_PIECE = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-ZÀ-ÖØ-Þ0-9])|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|nos?|vs|etc|e\.g|i\.e|approx|ca|bzw|z\.B|fig|p|pp|Jan"
    r"|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec))\.$"
)
_SOFT = re.compile(r"(?<=[,;:])\s+|\s+")


@dataclass(frozen=True, slots=True)
class Passage:
    """Text of one chunk and where it stands; `reading` makes a record of it."""

    text: str
    headings: tuple[str, ...]
    lines: tuple[int, int] | None
    page: int | None
    place: str = ""

    def locator(self, path: str) -> Locator:
        return Locator(path, self.headings, self.lines, self.page, self.place)


def tokens(text: str) -> int:
    """About how many WordPiece tokens a text has, rather too many than too few."""
    return sum(_weight(piece) for piece in _PIECE.findall(text))


def _weight(piece: str) -> int:
    if piece.isdigit():
        return (len(piece) + 1) // 2
    if piece.isascii():
        return 1 if len(piece) <= 6 else (len(piece) + 3) // 5
    return max(1, len(piece)) if _wide(piece) else (len(piece) + 1) // 2


def _wide(piece: str) -> bool:
    """Scripts of which MiniLM takes every character for a token."""
    return any(ord(char) >= 0x2E80 for char in piece)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A piece that is not cut any more, with the headings it stands under."""

    text: str
    lines: tuple[int, int] | None
    page: int | None
    headings: tuple[str, ...]
    section: int
    heading: bool = False
    size: int = 0
    joint: str = "\n\n"
    """What stands before it when it follows another unit."""
    head: str = ""
    """A table's first rows, put on top when the unit opens a passage without them."""
    place: str = ""
    columns: tuple[str, str] | None = None
    scoped: bool = False
    """Whether it stands in a scope: a file of many is never one passage, however short."""

    @property
    def leaf(self) -> tuple[int | None, str]:
        """The page, slide, sheet or message it stands on."""
        return self.page, self.place


def chunk(blocks: Iterable[Block]) -> list[Passage]:
    """The passages of one file, in reading order."""
    return [_passage(group) for group in _pack(list(_units(list(blocks))))]


def _units(blocks: list[Block]) -> Iterator[_Unit]:
    top = _top_level(blocks)
    path: list[tuple[int, str]] = []
    section = 0
    begun = scoped = False
    for item in blocks:
        if item.kind in (BlockKind.HEADING, BlockKind.SCOPE):
            path = [entry for entry in path if entry[0] < item.level]
            path.append((item.level, item.text))
            if item.kind is BlockKind.SCOPE or (item.level <= top and begun):
                section += 1
            if item.kind is BlockKind.SCOPE:
                begun = scoped = True
                continue
        # Front matter belongs to the first section, however the file goes on.
        begun = begun or item.kind is not BlockKind.FRONT
        headings = tuple(text for _, text in path)
        for piece in _pieces(item):
            yield replace(
                piece, headings=headings, section=section, place=item.place,
                columns=item.columns, scoped=scoped,
            )  # fmt: skip


def _top_level(blocks: list[Block]) -> int:
    """The level whose headings part a file: the highest that occurs more than once."""
    levels = [item.level for item in blocks if item.kind is BlockKind.HEADING]
    return min(
        (level for level in levels if levels.count(level) > 1), default=min(levels, default=1)
    )


def _pieces(item: Block) -> Iterator[_Unit]:
    size = tokens(item.text)
    heading = item.kind is BlockKind.HEADING
    if size <= MAX_TOKENS or (heading and size <= 2 * MAX_TOKENS):
        yield _Unit(item.text, item.lines(), item.page, (), 0, heading, size)
    elif item.kind is BlockKind.TABLE:
        yield from _table(item)
    elif item.kind in (BlockKind.PROSE, BlockKind.HEADING):
        yield from _cut(item, 0, len(item.text), (_SENTENCE, _SOFT))
    else:
        yield from _cut(item, 0, len(item.text), (re.compile(r"\n"), _SENTENCE, _SOFT))


def _table(item: Block) -> Iterator[_Unit]:
    rows = item.text.split("\n")
    head = "\n".join(rows[: item.header])
    if tokens(head) > MAX_TOKENS // 2:
        head = ""  # a head that long would leave no room for rows
    offset = 0
    for index, row in enumerate(rows):
        if index < item.header and head:
            offset += len(row) + 1
            continue
        if tokens(row) + tokens(head) > MAX_TOKENS:
            pieces = list(_cut(item, offset, offset + len(row), (re.compile(r"(?<=\|) "), _SOFT)))
        else:
            lines = item.lines(offset, offset + len(row))
            pieces = [_Unit(row, lines, item.page, (), 0, size=tokens(row))]
        for piece in pieces:
            yield replace(piece, joint="\n", head=head)
        offset += len(row) + 1


def _cut(
    item: Block, start: int, end: int, borders: tuple[re.Pattern[str], ...]
) -> Iterator[_Unit]:
    """Pieces of `item.text[start:end]` of at most MAX_TOKENS, cut at the first border in reach."""
    text = item.text[start:end]
    size = tokens(text)
    if size <= MAX_TOKENS:
        if text.strip():
            # The character between two pieces was white space: a line end or a blank.
            before = item.text[start - 1 : start]
            joint = "\n\n" if start == 0 else ("\n" if before == "\n" else " ")
            kept = text.strip("\n").rstrip() if item.kind is BlockKind.CODE else text.strip("\n ")
            yield _Unit(kept, item.lines(start, end), item.page, (), 0, size=size,
                        joint=joint)  # fmt: skip
        return
    if not borders:
        middle = start + len(text) // 2  # one endless word: data, cut blindly
        yield from _cut(item, start, middle, ())
        yield from _cut(item, middle, end, ())
        return
    border, *others = borders
    at = start
    for match in border.finditer(item.text, start, end):
        if match.end() <= at or _ABBREVIATION.search(
            item.text, max(at, match.start() - 8), match.start()
        ):
            continue
        yield from _cut(item, at, match.end(), tuple(others))
        at = match.end()
    if at < end:
        yield from _cut(item, at, end, tuple(others))


@dataclass
class _Group:
    units: list[_Unit] = field(default_factory=list)
    size: int = 0

    def add(self, unit: _Unit) -> None:
        if unit.head and not any(unit.head in (own.head, own.text) for own in self.units):
            self.size += tokens(unit.head)
        self.units.append(unit)
        self.size += unit.size

    def fits(self, unit: _Unit) -> bool:
        head = 0 if any(own.head == unit.head for own in self.units) else tokens(unit.head)
        return self.size + unit.size + head <= MAX_TOKENS


def _pack(units: list[_Unit]) -> list[list[_Unit]]:
    if not units:
        return []
    leaves = {(unit.leaf, unit.section if unit.scoped else 0) for unit in units}
    if len(leaves) == 1 and sum(unit.size for unit in units) <= MAX_TOKENS and not units[0].head:
        return [units]
    groups: list[_Group] = []
    for run in _runs(units):
        rest = sum(unit.size for unit in run)
        goal = rest / math.ceil(rest / MAX_TOKENS) if rest else 0.0
        group = _Group()
        for index, unit in enumerate(run):
            if group.units and _breaks(group, run, index, goal, rest):
                groups.append(group)
                group = _Group()
            group.add(unit)
            rest -= unit.size
        groups.append(group)
    return [item.units for item in _balanced(groups)]


def _runs(units: list[_Unit]) -> Iterator[list[_Unit]]:
    """Units that may share a passage: the same page, and no top heading between them."""
    run: list[_Unit] = []
    for unit in units:
        # A heading without text under it (a title) goes with what follows.
        apart = run and any(not own.heading for own in run) and unit.section != run[-1].section
        if run and (apart or unit.leaf != run[-1].leaf):
            yield run
            run = []
        run.append(unit)
    yield run


def _breaks(group: _Group, run: list[_Unit], index: int, goal: float, rest: int) -> bool:
    """Whether `run[index]` starts a new passage; from it on there are `rest` tokens in the run.

    `goal` is the size at which all passages of the run come out alike, so that none is a scrap.
    """
    unit = run[index]
    if all(own.heading for own in group.units):
        # Never a heading alone, if the encoder can take both.
        return group.size + unit.size > MAX_TOKENS + HEADING_TOKENS
    if not group.fits(unit):
        return True
    if rest <= SCRAP_TOKENS and group.size + rest <= MAX_TOKENS:
        return False
    if not unit.heading:
        return group.size + unit.size / 2 > goal
    # A subheading begins a new passage once there is enough, or when its text would not fit here.
    if group.size >= ENOUGH_TOKENS:
        return True
    text = next((item for item in itertools.islice(run, index, None) if not item.heading), None)
    return text is not None and not group.fits(text)


def _balanced(groups: list[_Group]) -> list[_Group]:
    """A heading left alone at the end of a passage moves on to the text it heads."""
    for group, following in itertools.pairwise(groups):
        last, first = group.units[-1], following.units[0]
        same = (last.section, last.place) == (first.section, first.place)
        while same and len(group.units) > 1 and group.units[-1].heading:
            following.units.insert(0, group.units.pop())
    return groups


def _passage(units: list[_Unit]) -> Passage:
    parts: list[str] = []
    shown: set[str] = set()
    for unit in units:
        text = unit.text
        if unit.head and unit.head not in shown:
            text = f"{unit.head}\n{text}"
            shown.add(unit.head)
            joint = "\n\n"
        else:
            joint = unit.joint
        if parts:
            parts.append(joint)
        parts.append(text)
    lines = [unit.lines for unit in units if unit.lines is not None]
    place = (min(first for first, _ in lines), max(last for _, last in lines)) if lines else None
    bodies = [unit.headings for unit in units if not unit.heading and unit.headings]
    headings = bodies[0] if bodies else units[-1].headings
    leaf = units[0].place
    if place is not None and units[0].columns is not None:
        left, right = units[0].columns
        leaf, place = f"{leaf}!{left}{place[0]}:{right}{place[1]}", None
    return Passage("".join(parts), headings, place, units[0].page, leaf)
