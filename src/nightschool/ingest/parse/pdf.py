"""PDF through PDFium: the text of each page, its running heads left out."""

from __future__ import annotations

import re
from collections import Counter

import pypdfium2
import pypdfium2.raw

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block
from nightschool.ingest.parse.plaintext import blocks_of

MIN_CHARACTERS = 12
"""Fewer characters than this in a whole file are a stamp on a scan, not its text."""
_HYPHEN = re.compile(r"(\w)[\u0002\ufffe\u00ad]\r?\n?(?=\w)")
_BROKEN = re.compile(r"([a-zà-ÿ]{2})-\r?\n(?=[a-zà-ÿ]{2})")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\u200b\ufffe\uffff\u00ad]")


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks with their page; the file's own title where the first page bears it out."""
    document = _open(data)
    try:
        pages, damaged = _pages(document)
        if sum(len(line) for page in pages for line in page) < MIN_CHARACTERS:
            raise ParseError("the PDF holds no text (a scan?): it needs OCR first")
        own = _squeeze(document.get_metadata_dict().get("Title", ""))
    finally:
        document.close()
    running = _running(pages)
    blocks: list[Block] = []
    for number, lines in enumerate(pages, start=1):
        kept = [line for line in lines if _shape(line) not in running]
        rows = [(0, line) for line in kept]
        blocks += blocks_of(rows, page=number, wrapped=_full(kept))
    title = own if own and own.lower() in _squeeze(" ".join(pages[0])).lower() else ""
    note = f"{damaged} of {len(pages)} pages could not be read" if damaged else ""
    return blocks, title, note


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY):
            raise ParseError("the PDF is encrypted: it opens only with its password") from error
        raise ParseError("the PDF is damaged or cut off") from error


def _pages(document: pypdfium2.PdfDocument) -> tuple[list[list[str]], int]:
    pages: list[list[str]] = []
    damaged = 0
    for index in range(len(document)):
        try:
            page = document[index]
            text = page.get_textpage().get_text_bounded()
        except pypdfium2.PdfiumError:
            damaged += 1
            text = ""
        text = _BROKEN.sub(r"\1", _HYPHEN.sub(r"\1", text))
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
        pages.append([line.rstrip() for line in text.split("\n")])
    if not pages or damaged == len(pages):
        raise ParseError("the PDF is damaged or cut off")
    return pages, damaged


def _running(pages: list[list[str]]) -> set[str]:
    """Shapes of first and last lines that come back on most pages: running heads, page numbers."""
    if len(pages) < 3:
        return set()
    counts: Counter[str] = Counter()
    for lines in pages:
        filled = [line for line in lines if line.strip()]
        counts.update({_shape(line) for line in filled[:1] + filled[-1:]})
    return {shape for shape, count in counts.items() if count >= max(3, 0.6 * len(pages))}


def _shape(line: str) -> str:
    return re.sub(r"\d+", "0", _squeeze(line)).lower()


def _full(lines: list[str]) -> int:
    """The length from which a line of this page counts as full width."""
    lengths = sorted(len(line) for line in lines if line.strip())
    return max(45, int(0.8 * lengths[int(0.9 * (len(lengths) - 1))])) if lengths else 55


def _squeeze(text: str) -> str:
    return " ".join(text.split())
