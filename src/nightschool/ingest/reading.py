"""One file, from bytes to redacted passages; runs in the sandbox."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

from nightschool.errors import ParseError
from nightschool.ingest.chunk import chunk
from nightschool.ingest.parse import Parsed, format_of, parse
from nightschool.ingest.redact import Redactor
from nightschool.records import Chunk, Locator


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one file. `note` is a remark for the user; `sha256` is that of its bytes."""

    title: str
    format: str
    chunks: tuple[Chunk, ...]
    redactions: dict[str, int]
    note: str = ""
    sha256: str = ""


def read(data: bytes, path: str) -> Reading:
    """Parse, cut and redact. Raises ParseError with a reason for the user."""
    if not data:
        raise ParseError("empty file")
    try:
        parsed = parse(data, path)
        passages = chunk(parsed.blocks)
    except RecursionError as error:
        raise ParseError("nested too deeply") from error
    if not passages:
        raise ParseError("no text in it")
    title = title_of(parsed, path)
    redactor = Redactor([title, "\n\n".join(item.text for item in parsed.blocks)])
    chunks = []
    for ordinal, item in enumerate(passages):
        locator = item.locator(path)
        headings = tuple(redactor.safe(text) for text in locator.headings)
        chunks.append(
            Chunk(
                ordinal,
                item.text,
                redactor.safe(item.text),
                Locator(path, headings, locator.lines, locator.page),
            )
        )
    found = format_of(path)
    return Reading(
        redactor.safe(title),
        found.name if found else "",
        tuple(chunks),
        dict(redactor.counts),
        parsed.note,
    )


def title_of(parsed: Parsed, path: str) -> str:
    """The file's own title, else its name without the type."""
    return parsed.title.strip()[:200] or name_title(path)


def name_title(path: str) -> str:
    """What a file without a title of its own is called."""
    return unicodedata.normalize("NFC", PurePosixPath(path).stem)
