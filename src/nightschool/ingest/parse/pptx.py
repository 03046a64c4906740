"""Slides: title, text, tables and the speaker's notes, each under its slide's number."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, Rows, block
from nightschool.ingest.parse import archive
from nightschool.ingest.parse.tables import table

MAX_DEPTH = 8
"""Groups in groups of shapes."""


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks with their slide, and the deck's title."""
    import pptx
    from lxml.etree import LxmlError
    from pptx.exc import PythonPptxError

    with archive.opened(data, "presentation"):
        try:
            deck = pptx.Presentation(io.BytesIO(data))
            blocks: list[Block] = []
            for number, slide in enumerate(deck.slides, start=1):
                blocks += [replace(item, place=f"slide {number}") for item in _slide(slide)]
            title = (deck.core_properties.title or "").strip()
        except (PythonPptxError, LxmlError, KeyError, ValueError, AttributeError) as error:
            raise ParseError("the presentation is damaged or of another kind") from error
    first = next((item.text for item in blocks if item.kind is BlockKind.HEADING), "")
    return blocks, title if title != "PowerPoint Presentation" and title else first, ""


def _slide(slide: Any) -> Iterator[Block]:
    title = slide.shapes.title
    named = " ".join(title.text_frame.text.split()) if title is not None else ""
    if named:
        yield Block(BlockKind.HEADING, named, level=1)
    for shape in _shapes(slide.shapes, 0):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if getattr(shape, "has_table", False):
            made = table([(0, [one.text for one in row.cells]) for row in shape.table.rows])
            if made is not None:
                yield made
        elif shape.has_text_frame:
            yield from _words(shape.text_frame.paragraphs)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        text = " ".join(slide.notes_slide.notes_text_frame.text.split())
        if text:
            yield Block(BlockKind.PROSE, f"Notes: {text}")


def _shapes(shapes: Iterable[Any], depth: int) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes") and depth < MAX_DEPTH:
            yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _words(paragraphs: Iterable[Any]) -> Iterator[Block]:
    rows: Rows = []
    for item in paragraphs:
        text = " ".join(item.text.split())
        if text:
            rows.append((0, f"{'  ' * item.level}- {text}"))
    if len(rows) == 1:
        yield Block(BlockKind.PROSE, rows[0][1].removeprefix("- "))
    elif rows:
        yield block(BlockKind.LIST, rows)
