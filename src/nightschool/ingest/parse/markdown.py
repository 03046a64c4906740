"""Markdown as note programs write it: front matter, wiki links, callouts, tables, tasks.

Blocks keep the writer's lines, so that a passage names its lines; only marks that carry no words
(emphasis, link targets of notes, comments, block ids) are taken out.
"""

from __future__ import annotations

import re

from nightschool.ingest.blocks import Block, BlockKind, Rows, block, prose, trimmed
from nightschool.ingest.encoding import decode
from nightschool.ingest.parse.inline import plain

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{2,})\s*$")
_RULE = re.compile(r"\s{0,3}(?:\*\s*){3,}$|\s{0,3}(?:-\s*){3,}$|\s{0,3}(?:_\s*){3,}$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,4}[.)])\s+")
_DELIMITER = re.compile(r"\s*\|?\s*:?-{1,}:?\s*(?:\|\s*:?-{1,}:?\s*)*\|?\s*$")
_QUOTE = re.compile(r"\s{0,3}(?:>\s?)+")
_CALLOUT = re.compile(r"\[![\w-]+\][+-]?\s*")
_SAYS_NOTHING = re.compile(r":\s*(?:\[\]|\{\}|null|~|\S*://\S{80,})?$")
"""A front matter line without a value, or with an address that nobody reads."""
_ASIDE = re.compile(r"%%[^%\n]+%%|^%%[ \t]*\n.*?^%%[ \t]*$", re.DOTALL | re.MULTILINE)


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks; the title from the front matter or a first heading of level 1; an encoding note."""
    text, note = decode(data)
    text = _ASIDE.sub(lambda match: "\n" * match[0].count("\n"), _without_comments(text))
    rows: Rows = list(enumerate(text.split("\n"), start=1))
    front, title, rest = _front_matter(rows)
    blocks = front + _body(rows[rest:])
    first = next((item for item in blocks if item.kind is not BlockKind.FRONT), None)
    if not title and first is not None and first.kind is BlockKind.HEADING and first.level == 1:
        title = first.text
    return blocks, title, note


def _without_comments(text: str) -> str:
    """`<!-- … -->` gone, its line breaks kept. By hand: a pattern is quadratic when none closes."""
    parts: list[str] = []
    at = 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        parts += [text[at:start], "\n" * text.count("\n", start, end)]
        at = end + 3
    return "".join([*parts, text[at:]])


def _front_matter(rows: Rows) -> tuple[list[Block], str, int]:
    """The `key: value` lines between the two `---`, list items drawn into the line of their key."""
    if not rows or rows[0][1].rstrip() != "---":
        return [], "", 0
    end = next((i for i in range(1, len(rows)) if rows[i][1].rstrip() in ("---", "...")), 0)
    if not end:
        return [], "", 0
    kept: Rows = []
    title = ""
    for number, line in rows[1:end]:
        item = re.match(r"\s*-\s+(.*)", line)
        if item and kept:
            at, before = kept[-1]
            value = plain(item[1].strip().strip("\"'"))
            kept[-1] = (at, before + (" " if before.endswith(":") else ", ") + value)
        elif line.strip() and not line.lstrip().startswith("#"):
            key, colon, value = line.partition(":")
            value = plain(value.strip().strip("\"'"))
            if colon and key.strip().lower() == "title":
                title = value
            kept.append((number, f"{key.strip()}: {value}".rstrip() if colon else plain(line)))
    kept = [(number, line) for number, line in kept if not _SAYS_NOTHING.search(line)]
    return ([block(BlockKind.FRONT, kept)] if kept else []), title, end + 1


def _body(rows: Rows) -> list[Block]:
    blocks: list[Block] = []
    at = 0
    while at < len(rows):
        number, line = rows[at]
        following = rows[at + 1][1] if at + 1 < len(rows) else ""
        heading = _HEADING.match(line)
        if not line.strip() or _RULE.match(line):
            at += 1
        elif heading:
            blocks += _heading(plain(heading[2]), number, len(heading[1]))
            at += 1
        elif fence := _FENCE.match(line):
            at = _code(rows, at, fence[1], blocks)
        elif "|" in line and "|" in following and _DELIMITER.match(following):
            at = _table(rows, at, blocks)
        elif _UNDERLINE.match(following) and line.strip() and not _ITEM.match(line):
            blocks += _heading(plain(line.strip()), number, 1 if "=" in following else 2)
            at += 2
        else:
            at = _paragraph(rows, at, blocks)
    return blocks


def _heading(text: str, number: int, level: int) -> list[Block]:
    text = text.strip()
    return [Block(BlockKind.HEADING, text, ((0, number),), level=level)] if text else []


def _code(rows: Rows, at: int, fence: str, blocks: list[Block]) -> int:
    """A fenced block, whole; without its closing fence it runs to the end, as in CommonMark."""
    end = at + 1
    while end < len(rows):
        closing = _FENCE.match(rows[end][1])
        if closing and closing[1].startswith(fence) and not rows[end][1].strip(" `~"):
            break
        end += 1
    inside = trimmed(rows[at + 1 : end])
    if inside:
        blocks.append(block(BlockKind.CODE, inside))
    return end + 1


def _table(rows: Rows, at: int, blocks: list[Block]) -> int:
    end = at + 2
    while end < len(rows) and "|" in rows[end][1] and rows[end][1].strip():
        end += 1
    kept = [(number, _row(line)) for number, line in rows[at:end]]
    blocks.append(block(BlockKind.TABLE, kept, header=2))
    return end


def _row(line: str) -> str:
    """`| a | b |` whatever the writer's spacing; an escaped bar stays inside its cell."""
    inner = line.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    if _DELIMITER.match(line):
        return "|" + "---|" * len(inner.split("|"))
    # A wiki link's own bar (`[[note\|alias]]`) goes with the link before cells are cut.
    cells = re.split(r"(?<!\\)\|", re.sub(r"\[\[[^\]]*\]\]", lambda link: plain(link[0]), inner))
    return "| " + " | ".join(plain(cell.strip().replace("\\|", "/")) for cell in cells) + " |"


def _paragraph(rows: Rows, at: int, blocks: list[Block]) -> int:
    """Lines up to an empty one or the start of another kind of block: a list or prose."""
    is_list = bool(_ITEM.match(rows[at][1]))
    kept: Rows = []
    start = at
    while at < len(rows):
        number, line = rows[at]
        begun = at > start
        if not line.strip():
            # A list goes on after an empty line when another item or an indented line follows.
            following = rows[at + 1][1] if at + 1 < len(rows) else ""
            if not (is_list and (_ITEM.match(following) or following.startswith("  "))):
                break
            at += 1
            continue
        if begun and (_HEADING.match(line) or _FENCE.match(line) or _RULE.match(line)):
            break
        if begun and not is_list and _ITEM.match(line):
            break
        if begun and "|" in line and at + 1 < len(rows) and _DELIMITER.match(rows[at + 1][1]):
            break
        line = _CALLOUT.sub("", _QUOTE.sub("", line))
        cleaned = plain(line).rstrip()
        if cleaned.strip():
            kept.append((number, cleaned))
        at += 1
    if kept:
        blocks.append(block(BlockKind.LIST, kept) if is_list else prose(kept))
    return at
