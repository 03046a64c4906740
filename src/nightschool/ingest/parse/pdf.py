"""PDF through PDFium: the text of each page, its running heads left out."""

from __future__ import annotations

import re
from collections import Counter

import pypdfium2
import pypdfium2.raw

from nightschool.errors import ParseError
from nightschool.ingest import ocr
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
        pages, damaged, notes = _pages(document)
        if sum(len(line) for page in pages for line in page) < MIN_CHARACTERS:
            raise ParseError(
                "; ".join(["the PDF holds no text (a scan?): it needs OCR", *notes[1:]])
            )
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
    if damaged:
        notes.insert(0, f"{damaged} of {len(pages)} pages could not be read")
    return blocks, title, "; ".join(notes)


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY):
            raise ParseError("the PDF is encrypted: it opens only with its password") from error
        raise ParseError("the PDF is damaged or cut off") from error


def _pages(document: pypdfium2.PdfDocument) -> tuple[list[list[str]], int, list[str]]:
    """The lines of each page, how many pages are damaged, and what is to be said of scans."""
    pages: list[list[str]] = []
    damaged = scans = 0
    scanner = ocr.reader()
    for index in range(len(document)):
        try:
            page = document[index]
            text = page.get_textpage().get_text_bounded()
            if len(text.strip()) < MIN_CHARACTERS and _pictured(page):
                read = scanner.read(page)
                scans += not read.strip()
                text = read or text
        except pypdfium2.PdfiumError:
            damaged += 1
            text = ""
        text = _BROKEN.sub(r"\1", _HYPHEN.sub(r"\1", text))
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
        pages.append([line.rstrip() for line in text.split("\n")])
    if not pages or damaged == len(pages):
        raise ParseError("the PDF is damaged or cut off")
    notes = [f"{scans} of {len(pages)} pages are scans: they need OCR"] if scans else []
    return pages, damaged, [*notes, *([scanner.note] if scanner.note else [])]


def _pictured(page: pypdfium2.PdfPage) -> bool:
    """Whether a page shows a picture, as a scan does."""
    kind = pypdfium2.raw.FPDF_PAGEOBJ_IMAGE
    return any(item.type == kind for item in page.get_objects(max_depth=3))


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
