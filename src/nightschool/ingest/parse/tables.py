"""Rows of cells as text that stays readable: `| a | b |`, as in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from nightschool.ingest.blocks import Block, BlockKind, Rows, block

MAX_CELL = 2000
"""Characters of one cell that are kept."""


def cell(value: object) -> str:
    """One cell's text on one line, without bars."""
    return " ".join(str(value).split()).replace("|", "/")[:MAX_CELL]


def table(
    rows: Sequence[tuple[int, Sequence[object]]], *, headed: bool = True, place: str = "",
    columns: tuple[str, str] | None = None,
) -> Block | None:  # fmt: skip
    """A table block of `(row number or 0, cells)`; None when nothing is in it.

    Empty rows go, and so do empty columns at the right. `headed` takes the first row for the names
    of the columns, which every piece of a long table repeats.
    """
    filled = [(number, [cell(value) for value in cells]) for number, cells in rows]
    filled = [(number, cells) for number, cells in filled if any(cells)]
    if not filled:
        return None
    width = max(max(i for i, text in enumerate(cells) if text) for _, cells in filled) + 1
    lines: Rows = [
        (number, "| " + " | ".join((cells + [""] * width)[:width]) + " |")
        for number, cells in filled
    ]
    headed = headed and len(filled) > 1 and width > 1
    if headed:
        lines.insert(1, (lines[0][0], "|" + "---|" * width))
    if width == 1:
        lines = [(number, line.strip("| ")) for number, line in lines]
    made = block(BlockKind.TABLE, lines, header=2 if headed else 0)
    return Block(made.kind, made.text, made.marks, header=made.header, place=place, columns=columns)
