"""Word documents: headings, paragraphs, lists and tables in their order, and the notes."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, block, prose
from nightschool.ingest.parse import archive
from nightschool.ingest.parse.tables import table

if TYPE_CHECKING:
    from docx.table import Table

_HEADING = re.compile(r"(?:heading|überschrift|titre|encabezado|rubrik|kop) (\d)", re.IGNORECASE)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MAX_NESTED = 3
"""Tables in tables in tables."""


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks, the document's title, and a note when comments or boxes were left out."""
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import LxmlError

    with archive.opened(data, "Word document"):
        try:
            document = docx.Document(io.BytesIO(data))
            blocks = _blocks(document)
            blocks += _notes(document)
            title = (document.core_properties.title or "").strip()
        except (PackageNotFoundError, LxmlError, KeyError, ValueError, AttributeError) as error:
            raise ParseError("the Word document is damaged or of another kind") from error
    named = next((item.text for item in blocks if item.kind is BlockKind.HEADING), "")
    return blocks, title or named, ""


def _blocks(document: Any) -> list[Block]:
    from docx.table import Table

    blocks: list[Block] = []
    items: list[str] = []

    def flush() -> None:
        if items:
            blocks.append(block(BlockKind.LIST, [(0, line) for line in items]))
            items.clear()

    for item in document.iter_inner_content():
        if isinstance(item, Table):
            flush()
            made = table([(0, row) for row in _rows(item, 0)])
            if made is not None:
                blocks.append(made)
            continue
        text = _text(item._p).strip()
        style = (item.style.name if item.style is not None else "") or ""
        heading = _HEADING.match(style)
        if not text:
            continue
        if heading or style in ("Title", "Titel"):
            flush()
            level = int(heading[1]) if heading else 1
            blocks.append(Block(BlockKind.HEADING, " ".join(text.split()), level=level))
        elif "List" in style or item._p.find(f"{_W}pPr/{_W}numPr") is not None:
            items.append(f"- {' '.join(text.split())}")
        else:
            flush()
            blocks.append(prose([(0, line) for line in text.split("\n")], wrapped=10**9))
    flush()
    return blocks


def _rows(item: Table, depth: int) -> list[list[str]]:
    """Cells by row; a merged cell is said once. A table inside a cell becomes its text."""
    rows: list[list[str]] = []
    for row in item.rows:
        cells: list[str] = []
        last: object = None
        for one in row.cells:
            if one._tc is last:
                cells.append("")
                continue
            last = one._tc
            words = [_text(part._p) for part in one.paragraphs]
            if depth < MAX_NESTED:
                words += [
                    " ".join(line) for inner in one.tables for line in _rows(inner, depth + 1)
                ]
            cells.append(" ".join(words))
        rows.append(cells)
    return rows


def _text(node: Any) -> str:
    """A paragraph's words, links and inserted text too; deleted text and boxes' copies are not."""
    parts: list[str] = []
    for child in node.iter(f"{_W}t", f"{_W}tab", f"{_W}br", f"{_W}noBreakHyphen"):
        tag = child.tag.removeprefix(_W)
        if tag == "t":
            parts.append(child.text or "")
        else:
            parts.append({"tab": "\t", "br": "\n"}.get(tag, "-"))
    return "".join(parts)


def _notes(document: Any) -> list[Block]:
    """Footnotes and endnotes, which lie in parts of their own."""
    from lxml.etree import XMLParser, fromstring

    lines: list[str] = []
    for part in document.part.package.iter_parts():
        if str(part.partname) in ("/word/footnotes.xml", "/word/endnotes.xml"):
            parser = XMLParser(resolve_entities=False, no_network=True)
            for note in fromstring(part.blob, parser):
                text = " ".join(_text(note).split())
                if text:
                    lines.append(f"- {text}")
    return [block(BlockKind.LIST, [(0, line) for line in lines])] if lines else []
