"""Spreadsheets: each sheet a table, located as `Sheet!A2:D9`; formulas by their last value."""

from __future__ import annotations

import datetime
import io
import warnings
from typing import Any

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind
from nightschool.ingest.parse import archive
from nightschool.ingest.parse.tables import table

MAX_CELLS = 300_000
"""More are data for a program, not for a reader; what is left out is said."""
MAX_ROWS = 50_000
MAX_COLUMNS = 200


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """A table for each sheet; the title of the workbook; a note on what was left out."""
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    broken = (InvalidFileException, KeyError, ValueError, TypeError, AttributeError, IndexError)
    with archive.opened(data, "spreadsheet"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions it leaves out
        try:
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            blocks, left = _sheets(book)
            title = (book.properties.title or "").strip()
        except (*broken, SyntaxError) as error:  # XML's parse error is a SyntaxError
            raise ParseError("the spreadsheet is damaged or of another kind") from error
    note = f"only the first {MAX_CELLS - max(0, left)} cells were read" if left <= 0 else ""
    return blocks, title, note


def _sheets(book: Any) -> tuple[list[Block], int]:
    from openpyxl.utils import get_column_letter

    blocks: list[Block] = []
    left = MAX_CELLS
    for sheet in book.worksheets:
        rows: list[tuple[int, list[str]]] = []
        width = 0
        for number, cells in enumerate(
            sheet.iter_rows(max_row=MAX_ROWS, max_col=MAX_COLUMNS, values_only=True), start=1
        ):
            texts = [_value(value) for value in cells]
            filled = max((i for i, text in enumerate(texts, start=1) if text), default=0)
            if filled:
                width = max(width, filled)
                rows.append((number, texts[:filled]))
            left -= len(texts)
            if left <= 0:
                break
        columns = ("A", get_column_letter(max(1, width)))
        made = table(rows, place=sheet.title, columns=columns)
        if made is not None:
            blocks += [Block(BlockKind.SCOPE, sheet.title, level=1, place=sheet.title), made]
    return blocks, left


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        at = value.time()
        return value.date().isoformat() if at == datetime.time() else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)
