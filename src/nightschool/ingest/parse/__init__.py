"""One file per format. A new format is one function and one line in `FORMATS`.

A parser turns bytes into blocks in reading order and raises ParseError with a reason that a user
can read. It sees nothing but its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block
from nightschool.ingest.parse import html, markdown, pdf, plaintext


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parser found: blocks, a title of its own (or none), and a note for the user."""

    blocks: list[Block]
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    suffixes: tuple[str, ...]
    parse: Callable[[bytes, str], tuple[list[Block], str, str]]
    """`(data, path) → (blocks, title, note)`."""


FORMATS = (
    Format("markdown", (".md", ".markdown", ".mdown"), markdown.parse),
    Format("text", (".txt", ".text", ".log"), plaintext.parse),
    Format("html", (".html", ".htm", ".xhtml"), html.parse),
    Format("pdf", (".pdf",), pdf.parse),
)


def format_of(path: str) -> Format | None:
    """The format that reads files with this name, or None."""
    suffix = PurePosixPath(path).suffix.lower()
    return next((item for item in FORMATS if suffix in item.suffixes), None)


def parse(data: bytes, path: str) -> Parsed:
    """The blocks of one file. Raises ParseError with the reason."""
    found = format_of(path)
    if found is None:
        raise ParseError(unread(path))
    return Parsed(*found.parse(data, path))


def unread(path: str) -> str:
    """The reason why no parser takes this name."""
    suffix = PurePosixPath(path).suffix.lower()
    return f"type {suffix} is not read" if suffix else "files without a type are not read"
