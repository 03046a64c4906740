"""HTML: what a reader of the page sees, without its scripts, menus and frames.

There are no line numbers in a page, so passages are located by heading.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, Rows, block
from nightschool.ingest.encoding import decode

_DROPPED = frozenset(
    {"script", "style", "noscript", "template", "svg", "nav", "footer", "aside", "form", "iframe",
     "button", "head", "canvas", "object", "select", "input", "video", "audio", "math", "dialog"}
)  # fmt: skip
_ROLES = frozenset({"navigation", "contentinfo", "search", "banner", "dialog", "alert", "menu"})
_NOISE = re.compile(
    r"(?:^|[\s_-])(?:cookies?|breadcrumbs?|sidebar|share|sharing|social|newsletter|advert|ads|promo"
    r"|related|subscribe|pagination|skip-?link|screen-reader|sr-only|visually-hidden)(?:$|[\s_-])",
    re.IGNORECASE,
)
_INVISIBLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0", re.IGNORECASE
)
_BLOCKS = frozenset(
    {"p", "div", "section", "article", "main", "header", "blockquote", "figure", "figcaption",
     "address", "details", "summary", "fieldset", "dl", "dt", "dd", "li", "ul", "ol", "table", "tr",
     "body", "html", "center", "hr"}
)  # fmt: skip
_HEADING = re.compile(r"h([1-6])$")
_SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
MAIN_CHARACTERS = 250
"""A `main` or `article` with at least this much text is taken for the whole content."""


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks, the page's title, and a note on the encoding."""
    text, note = _decode(data)
    tree = LexborHTMLParser(text)
    body = tree.body
    if body is None:
        raise ParseError("the page has no text")
    blocks = _Reader().read(_content(tree, body))
    tops = [item.text for item in blocks if item.kind is BlockKind.HEADING and item.level == 1]
    named = tree.css_first("title")
    title = tops[0] if len(tops) == 1 else (_squeeze(named.text()) if named is not None else "")
    return blocks, title, note


def _decode(data: bytes) -> tuple[str, str]:
    """The page's own word on its encoding counts when the bytes bear it out."""
    declared = _CHARSET.search(data[:2048])
    if declared and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            decoded = data.decode(declared[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            return decode(data)
        return decode(decoded.encode("utf-8", "replace"))
    return decode(data)


def _content(tree: LexborHTMLParser, body: LexborNode) -> LexborNode:
    for query in ("main", "[role=main]", "article"):
        found = tree.css(query)
        if len(found) == 1 and len(found[0].text()) >= MAIN_CHARACTERS:
            return found[0]
    return body


class _Reader:
    """Collects blocks in reading order; `words` is the paragraph being read."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.words: list[str] = []

    def read(self, node: LexborNode) -> list[Block]:
        self._children(node)
        self._flush()
        return self.blocks

    def _children(self, node: LexborNode) -> None:
        child = node.child
        while child is not None:
            self._node(child)
            child = child.next

    def _node(self, node: LexborNode) -> None:
        if node.is_text_node:
            self.words.append(node.text(deep=False))
            return
        tag = (node.tag or "").lower()
        if not node.is_element_node or _dropped(node, tag):
            return
        heading = _HEADING.match(tag)
        if heading:
            self._flush()
            self._add(Block(BlockKind.HEADING, _squeeze(_visible(node)), level=int(heading[1])))
        elif tag == "pre":
            self._flush()
            self._rows(
                BlockKind.CODE, [(0, line) for line in _visible(node).strip("\n").split("\n")]
            )
        elif tag in ("ul", "ol"):
            self._flush()
            self._rows(BlockKind.LIST, _items(node, 0))
        elif tag == "dl":
            self._flush()
            self._rows(BlockKind.LIST, _definitions(node))
        elif tag == "table" and node.css_first("table table") is None:
            self._flush()
            self._table(node)
        elif tag == "br":
            self.words.append("\n")
        elif tag in _BLOCKS:
            self._flush()
            self._children(node)
            self._flush()
        else:
            self._children(node)

    def _table(self, node: LexborNode) -> None:
        rows = [
            [_squeeze(_visible(cell)).replace("|", "/") for cell in row.css("th, td")]
            for row in node.css("tr")
        ]
        rows = [row for row in rows if any(row)]
        if not rows or max(map(len, rows)) < 2:
            for row in rows:
                self._add(Block(BlockKind.PROSE, " ".join(row)))
            return
        headed = node.css_first("th") is not None
        lines: Rows = [(0, "| " + " | ".join(row) + " |") for row in rows]
        if headed:
            lines.insert(1, (0, "|" + "---|" * len(rows[0])))
        self.blocks.append(block(BlockKind.TABLE, lines, header=2 if headed else 0))

    def _rows(self, kind: BlockKind, rows: Rows) -> None:
        if any(line.strip() for _, line in rows):
            self.blocks.append(block(kind, rows))

    def _flush(self) -> None:
        # A break that the page sets (`br`) stays a line; any other white space is one space.
        lines = [_squeeze(line) for line in _joined(self.words).split("\n")]
        self.words = []
        self._add(Block(BlockKind.PROSE, "\n".join(line for line in lines if line)))

    def _add(self, item: Block) -> None:
        if item.text.strip():
            self.blocks.append(item)


def _joined(words: list[str]) -> str:
    return "".join(word if word == "\n" else _SPACE.sub(" ", word) for word in words)


def _squeeze(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _dropped(node: LexborNode, tag: str) -> bool:
    if tag in _DROPPED:
        return True
    attributes = node.attributes
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    if (attributes.get("role") or "").lower() in _ROLES:
        return True
    if _INVISIBLE.search(attributes.get("style") or ""):
        return True
    names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return tag != "body" and bool(_NOISE.search(names))


def _visible(node: LexborNode) -> str:
    """The text below a node, without what a reader does not see."""
    parts: list[str] = []
    child = node.child
    while child is not None:
        if child.is_text_node:
            parts.append(child.text(deep=False))
        elif child.is_element_node and not _dropped(child, (child.tag or "").lower()):
            if child.tag == "br":
                parts.append("\n" if node.tag == "pre" else " ")
            elif child.tag in _BLOCKS:
                parts += [" ", _visible(child), " "]
            else:
                parts.append(_visible(child))
        child = child.next
    return "".join(parts)


def _items(node: LexborNode, depth: int) -> Rows:
    rows: Rows = []
    number = 0
    child = node.child
    while child is not None:
        if child.is_element_node and child.tag == "li" and not _dropped(child, "li"):
            number += 1
            inner = [sub for sub in (child.css("ul, ol")) if sub.parent == child]
            own = _squeeze(_own(child))
            mark = f"{number}." if node.tag == "ol" else "-"
            if own:
                rows.append((0, f"{'  ' * depth}{mark} {own}"))
            for sub in inner:
                rows += _items(sub, depth + 1)
        child = child.next
    return rows


def _own(item: LexborNode) -> str:
    """A list item's text without the lists inside it."""
    parts: list[str] = []
    child = item.child
    while child is not None:
        if child.is_text_node:
            parts.append(child.text(deep=False))
        elif child.is_element_node:
            tag = (child.tag or "").lower()
            if tag not in ("ul", "ol") and not _dropped(child, tag):
                parts.append(f" {_visible(child)} " if tag in _BLOCKS else _visible(child))
        child = child.next
    return "".join(parts)


def _definitions(node: LexborNode) -> Rows:
    rows: Rows = []
    for child in node.css("dt, dd"):
        text = _squeeze(_visible(child))
        if child.tag == "dt":
            rows.append((0, text))
        elif rows and text:
            at, before = rows[-1]
            rows[-1] = (at, before + (", " if ": " in before else ": ") + text)
    return [row for row in rows if row[1]]
