"""Jupyter notebooks: text and code by cell, with what the cells printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, block
from nightschool.ingest.encoding import decode
from nightschool.ingest.parse import markdown
from nightschool.ingest.parse.data import loaded

MAX_OUTPUT = 2000
"""Characters of one cell's output that are kept."""


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks by cell; the title is the first heading of level 1."""
    text, note = decode(data)
    raw = loaded(text)
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if cells is None and isinstance(raw, dict) and "worksheets" in raw:  # version 3
        sheets = raw["worksheets"]
        cells = [
            cell
            for sheet in (sheets if isinstance(sheets, list) else [])
            if isinstance(sheet, dict)
            for cell in sheet.get("cells") or []
        ]
    if not isinstance(cells, list):
        raise ParseError("the content is not a notebook, whatever the name says")
    blocks: list[Block] = []
    for number, cell in enumerate(cells, start=1):
        if isinstance(cell, dict):
            blocks += [replace(item, place=f"cell {number}", marks=()) for item in _cell(cell)]
    title = next(
        (one.text for one in blocks if one.kind is BlockKind.HEADING and one.level == 1), ""
    )
    return blocks, title, note


def _cell(cell: dict[str, Any]) -> Iterator[Block]:
    text = _joined(cell.get("source", cell.get("input")))
    kind = cell.get("cell_type")
    if kind in ("markdown", "heading"):
        if text.strip():
            yield from markdown.parse(text.encode("utf-8", "replace"), "")[0]
    elif text.strip():
        yield block(BlockKind.CODE, [(0, line) for line in text.strip("\n").split("\n")])
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        shown = _output(output).strip("\n")
        if shown.strip():
            yield block(BlockKind.CODE, [(0, line) for line in shown[:MAX_OUTPUT].split("\n")])


def _output(output: object) -> str:
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    plain = data.get("text/plain") if isinstance(data, dict) else None
    failed = " ".join(str(output.get(key, "")) for key in ("ename", "evalue")).strip()
    return _joined(plain) or _joined(output.get("text")) or failed


def _joined(value: object) -> str:
    if isinstance(value, list):
        return "".join(str(part) for part in value)
    return value if isinstance(value, str) else ""
