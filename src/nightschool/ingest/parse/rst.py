"""reStructuredText: titles by their underline, directives by their content, roles by their words.

Nothing is included or executed: `include`, `raw` and the like are left out.
"""

from __future__ import annotations

import re

from nightschool.ingest.blocks import Block, BlockKind, Rows, block, prose, trimmed
from nightschool.ingest.encoding import decode

_RULE = re.compile(r"([=\-`:.'\"~^_*+#])\1{1,}\s*$")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,4}[.)]|#\.|\(\w\))\s+\S")
_DIRECTIVE = re.compile(r"(\s*)\.\.\s+(?:\|[^|]*\|\s+)?([\w:-]+)::\s*(.*)$")
_COMMENT = re.compile(r"(\s*)\.\.(?:\s|$)")
_FIELD = re.compile(r"\s*:([^:`]+):\s+(\S.*)$")
_CODE = frozenset(
    {"code", "code-block", "sourcecode", "parsed-literal", "doctest", "math", "prompt"}
)
_SILENT = frozenset(
    {"image", "include", "raw", "toctree", "contents", "index", "literalinclude", "highlight",
     "meta", "only", "automodule", "autoclass", "autofunction", "currentmodule", "module",
     "default-role", "role", "replace", "unicode", "date", "sectnum", "tabularcolumns"}
)  # fmt: skip
_TABLE = re.compile(r"\s*(?:=+(?:\s+=+)+|\+[-=+]+\+)\s*$")
_INLINE = (
    (re.compile(r":[\w:.+-]+:`~?!?([^`<]*?)\s*(?:<[^`>]*>)?`"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<(https?://[^`>\s]{1,80})>`__?"), r"\1 (\2)"),
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),
    (re.compile(r"``(.+?)``"), r"\1"),
    (re.compile(r"`([^`]+)`__?"), r"\1"),
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"\1"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"\|(\w[^|\n]*)\|_?"), r"\1"),
    (re.compile(r"(\w)_\b(?!\w)"), r"\1"),
    (re.compile(r"\\(.)"), r"\1"),
)
MAX_LINE = 20_000


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks; the title when the file begins with one; a note on the encoding."""
    text, note = decode(data)
    rows: Rows = list(enumerate(text.expandtabs(8).split("\n"), start=1))
    blocks: list[Block] = []
    levels: list[str] = []
    at = 0
    while at < len(rows):
        at = _next(rows, at, blocks, levels)
    heads = [item for item in blocks if item.kind is BlockKind.HEADING]
    title = heads[0].text if heads and heads[0] is blocks[0] else ""
    return blocks, title, note


def _next(rows: Rows, at: int, blocks: list[Block], levels: list[str]) -> int:
    number, line = rows[at]
    following = rows[at + 1][1] if at + 1 < len(rows) else ""
    if not line.strip():
        return at + 1
    if _TABLE.match(line):
        return _table(rows, at, blocks)
    over = bool(_RULE.match(line)) and len(line.rstrip()) >= 3
    if over and at + 2 < len(rows) and following.strip() and rows[at + 2][1] == line:
        return _heading(rows[at + 1], "o" + line[0], blocks, levels, at + 3)
    under = _RULE.match(following)
    if under and not line.startswith(" ") and len(following.rstrip()) >= min(3, len(line)):
        return _heading((number, line), following[0], blocks, levels, at + 2)
    if over:
        return at + 1
    directive = _DIRECTIVE.match(line)
    if directive:
        return _directive(rows, at, blocks, directive)
    if comment := _COMMENT.match(line):
        return _indented(rows, at + 1, len(comment[1]))[1]
    return _paragraph(rows, at, blocks)


def _heading(
    row: tuple[int, str], mark: str, blocks: list[Block], levels: list[str], after: int
) -> int:
    if mark not in levels:
        levels.append(mark)
    level = min(6, levels.index(mark) + 1)
    text = _plain(row[1]).strip()
    blocks.append(Block(BlockKind.HEADING, text, ((0, row[0]),), level=level))
    return after


def _indented(rows: Rows, at: int, indent: int) -> tuple[Rows, int]:
    """The rows that stand deeper than `indent`, without it, and where they end."""
    kept: Rows = []
    while at < len(rows):
        _, line = rows[at]
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        kept.append(rows[at])
        at += 1
    filled = [len(line) - len(line.lstrip()) for _, line in kept if line.strip()]
    cut = min(filled, default=0)
    return trimmed([(number, line[cut:]) for number, line in kept]), at


def _directive(rows: Rows, at: int, blocks: list[Block], found: re.Match[str]) -> int:
    """A directive's content: code as code, notes and the like as text; the rest says nothing."""
    name = found[2].rpartition(":")[2].lower()
    inside, after = _indented(rows, at + 1, len(found[1]))
    options = 0
    while options < len(inside) and re.match(r":[\w-]+:", inside[options][1]):
        options += 1
    inside = inside[options:]
    if name in _SILENT:
        return after
    if name in _CODE:
        inside = trimmed(inside)
        if inside:
            blocks.append(block(BlockKind.CODE, inside))
        return after
    if found[3].strip() and not found[3].startswith(("/", ".")):
        blocks.append(prose([(rows[at][0], _plain(found[3].strip()))]))
    here = 0
    while here < len(inside):
        here = _next(inside, here, blocks, [])
    return after


def _table(rows: Rows, at: int, blocks: list[Block]) -> int:
    end = at
    grid = rows[at][1].lstrip().startswith("+")
    while end < len(rows) and rows[end][1].strip():
        end += 1
    kept: Rows = []
    for number, line in rows[at:end]:
        if _TABLE.match(line) or not line.strip():
            continue
        cells = line.strip().strip("|").split("|") if grid else re.split(r"\s{2,}", line.strip())
        kept.append((number, "| " + " | ".join(_plain(cell.strip()) for cell in cells) + " |"))
    if kept:
        blocks.append(block(BlockKind.TABLE, kept, header=1 if len(kept) > 1 else 0))
    return end


def _paragraph(rows: Rows, at: int, blocks: list[Block]) -> int:
    kept: Rows = []
    literal = False
    start = at
    indent = len(rows[at][1]) - len(rows[at][1].lstrip())
    while at < len(rows) and rows[at][1].strip():
        number, line = rows[at]
        following = rows[at + 1][1] if at + 1 < len(rows) else ""
        if at > start and _RULE.match(following) and not line.startswith(" "):
            break
        field = _FIELD.match(line)
        text = f"{field[1]}: {field[2]}" if field else line
        if text.rstrip().endswith("::"):
            literal = True
            text = text.rstrip()[:-2].rstrip() + (":" if text.strip() != "::" else "")
        if text.strip():
            kept.append((number, _plain(text).rstrip()))
        at += 1
    items = sum(1 for _, line in kept if _ITEM.match(line))
    if kept:
        listed = items * 2 >= len(kept) and items > 0
        blocks.append(block(BlockKind.LIST, kept) if listed else prose(kept))
    if literal:
        inside, at = _indented(rows, at, indent)
        if inside:
            blocks.append(block(BlockKind.CODE, inside))
    return at


def _plain(line: str) -> str:
    if len(line) > MAX_LINE:
        return line
    for pattern, replacement in _INLINE:
        line = pattern.sub(replacement, line)
    return line
