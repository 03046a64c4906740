"""The common form that every parser gives: blocks in reading order, with their place."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from enum import StrEnum


class BlockKind(StrEnum):
    """How a block may be cut: prose between sentences, the others only between lines."""

    HEADING = "heading"
    PROSE = "prose"
    LIST = "list"
    TABLE = "table"
    CODE = "code"
    FRONT = "front-matter"
    SCOPE = "scope"  # a heading that is no text of its own: a definition's name, a mail's subject


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of text of one kind.

    `marks` are `(offset, line)` pairs by offset: from that character on, the text stands on that
    1-based line of the file. Empty where the format has no lines. `page` is 1-based. `level` is
    that of a heading (1 = highest). `header` counts the lines at the top of a table that each of
    its pieces repeats. `place` is the format's own word for where it stands (`slide 3`); with
    `columns` (first, last) it is a sheet, and the lines are its rows.
    """

    kind: BlockKind
    text: str
    marks: tuple[tuple[int, int], ...] = ()
    page: int | None = None
    level: int = 0
    header: int = 0
    place: str = ""
    columns: tuple[str, str] | None = None

    def lines(self, start: int = 0, end: int | None = None) -> tuple[int, int] | None:
        """First and last line of `text[start:end]`, inclusive."""
        if not self.marks:
            return None
        last = max(start, (len(self.text) if end is None else end) - 1)
        return self._line(start), self._line(last)

    def _line(self, offset: int) -> int:
        place = bisect.bisect_right(self.marks, offset, key=lambda mark: mark[0])
        return self.marks[max(0, place - 1)][1]


Rows = list[tuple[int, str]]
"""`(line number, text)` of consecutive source lines; line 0 = the format has none."""

_WRAPPED = 55
"""A line at least this long, without an end, was broken by an editor, not by the writer."""
_ENDS = re.compile(r"[.!?:;…][\"'”’)\]]*\s*$")
_FIELD = re.compile(r"\s*[A-Z][^:.,;]{0,40}:\s\S")
_STARTS = re.compile(r"\s*(?:[-*+•]\s|\d+[.)]\s|[|>#]|\S[^:.]{0,40}:\s)")


def trimmed(rows: Rows) -> Rows:
    """The rows without the empty ones at both ends."""
    filled = [index for index, (_, line) in enumerate(rows) if line.strip()]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def block(kind: BlockKind, rows: Rows, *, page: int | None = None, header: int = 0) -> Block:
    """A block whose text has one line for each row."""
    return _join(kind, rows, ["\n"] * len(rows), page, header)


def prose(rows: Rows, *, page: int | None = None, wrapped: int = _WRAPPED) -> Block:
    """A paragraph: lines that only an editor broke are joined again, the writer's own breaks stay.

    `wrapped` is the length in characters from which a line counts as full.
    """
    separators = []
    for (_, line), (_, following) in zip(rows, [*rows[1:], (0, "")], strict=True):
        goes_on = (
            len(line) >= wrapped
            and not _ENDS.search(line)
            and not _FIELD.match(line)
            and not _STARTS.match(following)
        )
        separators.append(" " if goes_on else "\n")
    return _join(BlockKind.PROSE, rows, separators, page, 0)


def _join(
    kind: BlockKind, rows: Rows, separators: list[str], page: int | None, header: int
) -> Block:
    marks: list[tuple[int, int]] = []
    parts: list[str] = []
    offset = 0
    for index, ((number, line), separator) in enumerate(zip(rows, separators, strict=True)):
        piece = line if kind is BlockKind.CODE else line.strip(" \t") if separator == " " else line
        if number:
            marks.append((offset, number))
        parts.append(piece)
        offset += len(piece)
        if index < len(rows) - 1:
            parts.append(separator)
            offset += 1
    return Block(kind, "".join(parts), tuple(marks), page, header=header)
