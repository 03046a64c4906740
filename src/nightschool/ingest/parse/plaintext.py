"""Plain text: paragraphs, lists and underlined headings, as people type them."""

from __future__ import annotations

import re

from nightschool.ingest.blocks import Block, BlockKind, Rows, block, prose
from nightschool.ingest.encoding import decode

_ITEM = re.compile(r"\s*(?:[-*+•–]|\d{1,3}[.)])\s+\S")
_RULE = re.compile(r"\s*([=\-_*~#])\1{2,}\s*$")


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks, no title (the file's name serves), and a note on the encoding."""
    text, note = decode(data)
    return blocks_of(list(enumerate(text.split("\n"), start=1))), "", note


def blocks_of(rows: Rows, page: int | None = None, wrapped: int = 55) -> list[Block]:
    """Blocks of numbered lines; used for PDF pages as well (their rows have line 0)."""
    blocks: list[Block] = []
    paragraph: Rows = []
    for number, line in [*rows, (0, "")]:
        line = line.rstrip()
        if _RULE.match(line) and len(paragraph) == 1 and line.strip()[0] in "=-":
            title = paragraph.pop()
            level = 1 if line.strip()[0] == "=" else 2
            blocks.append(
                Block(BlockKind.HEADING, title[1].strip(), _mark(title[0]), page, level=level)
            )
        elif line.strip() and not _RULE.match(line):
            paragraph.append((number, line))
        elif paragraph:
            blocks.append(_paragraph(paragraph, page, wrapped))
            paragraph = []
    return blocks


def _paragraph(rows: Rows, page: int | None, wrapped: int) -> Block:
    items = sum(1 for _, line in rows if _ITEM.match(line))
    if items >= 2 and items * 2 >= len(rows):
        return block(BlockKind.LIST, rows, page=page)
    return prose(rows, page=page, wrapped=wrapped)


def _mark(number: int) -> tuple[tuple[int, int], ...]:
    return ((0, number),) if number else ()
