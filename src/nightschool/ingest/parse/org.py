"""Org files: headlines with their state and tags, drawers as fields, tables, blocks, links."""

from __future__ import annotations

import re

from nightschool.ingest.blocks import Block, BlockKind, Rows, block, prose
from nightschool.ingest.encoding import decode

_HEADLINE = re.compile(r"(\*+)\s+(.*?)(?:\s+(:[\w@#%:]+:))?\s*$")
_KEYWORD = re.compile(r"\s*#\+([\w-]+):\s*(.*)$")
_BEGIN = re.compile(r"\s*#\+begin_(\w+)", re.IGNORECASE)
_DRAWER = re.compile(r"\s*:([\w-]+):\s*(.*)$")
_ITEM = re.compile(r"\s*(?:[-+]|\s\*|\d{1,4}[.)])\s+\S")
_DELIMITER = re.compile(r"\s*\|[-+|]+\|?\s*$")
_INLINE = (
    (re.compile(r"\[\[(https?://[^]]{1,80})\]\[([^]]+)\]\]"), r"\2 (\1)"),
    (re.compile(r"\[\[[^]]*\]\[([^]]+)\]\]"), r"\1"),
    (re.compile(r"\[\[(?:file:|id:)?([^]]+)\]\]"), r"\1"),
    (re.compile(r"(?<![\w*/_=~+])([*/_=~+])(?=\S)([^\n]{1,300}?)(?<=\S)\1(?![\w*/_=~+])"), r"\2"),
    (re.compile(r"\[fn:[^]]*\]"), ""),
)
_SHOWN = frozenset({"author", "date", "email", "keywords", "description", "filetags", "category"})
_LEFT_OUT = frozenset({"properties", "logbook", "end"})
MAX_LINE = 20_000


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks with the file's lines; `#+TITLE`; a note on the encoding."""
    text, note = decode(data)
    rows: Rows = list(enumerate(text.split("\n"), start=1))
    blocks: list[Block] = []
    title = ""
    at = 0
    while at < len(rows):
        number, line = rows[at]
        headline = _HEADLINE.match(line)
        keyword = _KEYWORD.match(line)
        if headline:
            tags = headline[3] or ""
            shown = _plain(headline[2]) + (f" ({tags.strip(':').replace(':', ', ')})" * bool(tags))
            level = min(6, len(headline[1]))
            if shown.strip():
                blocks.append(Block(BlockKind.HEADING, shown, ((0, number),), level=level))
            at += 1
        elif _BEGIN.match(line):
            at = _quoted(rows, at, blocks)
        elif keyword:
            if keyword[1].lower() == "title":
                title = title or keyword[2].strip()
            if keyword[1].lower() in _SHOWN and keyword[2].strip():
                row = (number, f"{keyword[1].lower()}: {keyword[2].strip().strip(':')}")
                blocks.append(block(BlockKind.FRONT, [row]))
            at += 1
        elif line.lstrip().startswith("|"):
            at = _table(rows, at, blocks)
        elif not line.strip() or re.match(r"\s*#(?:\s|$)", line):
            at += 1
        elif _DRAWER.match(line):
            at = _drawer(rows, at, blocks)
        else:
            at = _paragraph(rows, at, blocks)
    return blocks, title, note


def _quoted(rows: Rows, at: int, blocks: list[Block]) -> int:
    """`#+begin_src` to `#+end_src`; without an end it runs to the end of the file."""
    begin = _BEGIN.match(rows[at][1])
    kind = begin[1].lower() if begin else ""
    end = at + 1
    while end < len(rows) and not re.match(rf"\s*#\+end_{kind}", rows[end][1], re.IGNORECASE):
        end += 1
    inside = [row for row in rows[at + 1 : end] if row[1].strip()]
    if inside and kind == "comment":
        return end + 1
    if inside and kind in ("quote", "verse", "center"):
        blocks.append(prose([(number, _plain(line.strip())) for number, line in inside]))
    elif inside:
        blocks.append(block(BlockKind.CODE, rows[at + 1 : end]))
    return end + 1


def _table(rows: Rows, at: int, blocks: list[Block]) -> int:
    end = at
    while end < len(rows) and rows[end][1].lstrip().startswith("|"):
        end += 1
    kept: Rows = []
    header = 0
    for number, line in rows[at:end]:
        if _DELIMITER.match(line):
            if len(kept) == 1 and not header:
                kept.append((number, "|" + "---|" * (kept[0][1].count("|") - 1)))
                header = 2
            continue
        cells = line.strip().strip("|").split("|")
        kept.append((number, "| " + " | ".join(_plain(cell.strip()) for cell in cells) + " |"))
    if kept:
        blocks.append(block(BlockKind.TABLE, kept, header=header))
    return end


def _drawer(rows: Rows, at: int, blocks: list[Block]) -> int:
    """`:KEY: value` lines are kept as fields; identities and clock logs say nothing."""
    kept: Rows = []
    while at < len(rows) and (found := _DRAWER.match(rows[at][1])):
        name = found[1].lower()
        if name not in _LEFT_OUT and name != "id" and found[2].strip():
            kept.append((rows[at][0], f"{name}: {_plain(found[2].strip())}"))
        at += 1
    if kept:
        blocks.append(block(BlockKind.FRONT, kept))
    return at


def _paragraph(rows: Rows, at: int, blocks: list[Block]) -> int:
    kept: Rows = []
    start = at
    while at < len(rows) and rows[at][1].strip():
        number, line = rows[at]
        if at > start and (
            _HEADLINE.match(line) or _BEGIN.match(line) or line.lstrip().startswith("|")
            or _DRAWER.match(line)
        ):  # fmt: skip
            break
        kept.append((number, _plain(line).rstrip()))
        at += 1
    items = sum(1 for _, line in kept if _ITEM.match(line))
    blocks.append(block(BlockKind.LIST, kept) if items * 2 >= len(kept) and items else prose(kept))
    return at


def _plain(line: str) -> str:
    if len(line) > MAX_LINE:
        return line
    for pattern, replacement in _INLINE:
        line = pattern.sub(replacement, line)
    return line
