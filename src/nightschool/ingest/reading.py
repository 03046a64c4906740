"""One file, from bytes to redacted passages; runs in the sandbox."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from nightschool.errors import ParseError
from nightschool.ingest.chunk import chunk
from nightschool.ingest.language import detect, name_of
from nightschool.ingest.parse import Parsed, format_of, parse
from nightschool.ingest.redact import Redactor
from nightschool.records import Chunk

NO_LANGUAGE = ("code", "table", "spreadsheet", "json", "json lines")
"""Formats whose words are names."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one file. `note` is a remark for the user; `sha256` is that of its bytes."""

    title: str
    format: str
    chunks: tuple[Chunk, ...]
    redactions: dict[str, int]
    note: str = ""
    sha256: str = ""
    language: str = ""
    """ISO 639-1; empty when there is too little text to tell."""


def read(data: bytes, path: str, *, people: bool = True, hide: bool = False) -> Reading:
    """Parse, cut and redact. Raises ParseError with a reason for the user.

    `people` redacts what names a person, too, not only secrets. `hide` keeps the redacted text
    alone, so that search cannot show the original.
    """
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
    redactor = Redactor([title, "\n\n".join(item.text for item in parsed.blocks)], people=people)
    chunks = []
    for ordinal, item in enumerate(passages):
        locator = item.locator(path)
        headings = tuple(redactor.safe(text) for text in locator.headings)
        safe = redactor.safe(item.text)
        chunks.append(
            Chunk(
                ordinal,
                safe if hide else item.text,
                safe,
                replace(locator, headings=headings),
            )
        )
    found = format_of(path)
    prose = found is None or found.name not in NO_LANGUAGE
    language = detect("\n".join(item.text for item in passages)) if prose else ""
    foreign = f"{name_of(language)}: see learn.languages" if language not in ("", "en") else ""
    return Reading(
        redactor.safe(title),
        found.name if found else "",
        tuple(chunks),
        dict(redactor.counts),
        "; ".join(part for part in (parsed.note, foreign) if part),
        language=language,
    )


def title_of(parsed: Parsed, path: str) -> str:
    """The file's own title, else its name without the type."""
    return parsed.title.strip()[:200] or name_title(path)


def name_title(path: str) -> str:
    """What a file without a title of its own is called."""
    return unicodedata.normalize("NFC", PurePosixPath(path).stem)
