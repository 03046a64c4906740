"""One file per format. A new format is one function and one line in `FORMATS`.

A parser turns bytes into blocks in reading order and raises ParseError with a reason that a user
can read. It sees nothing but its arguments. What a library needs to be imported is imported when
the first file of its kind is read: most folders hold few kinds.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block
from nightschool.ingest.parse import (
    browser,
    code,
    commits,
    contacts,
    csvtable,
    data,
    docx,
    epub,
    events,
    html,
    mail,
    markdown,
    notebook,
    org,
    pdf,
    plaintext,
    pptx,
    rst,
    rtf,
    xlsx,
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parser found: blocks, a title of its own (or none), and a note for the user."""

    blocks: list[Block]
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """`parse(data, path) → (blocks, title, note)`. `names` are whole names, or ends of paths.

    `load(file, max_bytes) → data` is for what is more than the bytes of one file: a database with
    its log, the objects of a repository. It raises ParseError and OSError.
    """

    name: str
    suffixes: tuple[str, ...]
    parse: Callable[[bytes, str], tuple[list[Block], str, str]]
    names: tuple[str, ...] = ()
    load: Callable[[Path, int], bytes] | None = None


FORMATS = (
    Format("markdown", (".md", ".markdown", ".mdown"), markdown.parse),
    Format("text", (".txt", ".text", ".log"), plaintext.parse),
    Format("html", (".html", ".htm", ".xhtml"), html.parse),
    Format("pdf", (".pdf",), pdf.parse),
    Format("restructuredtext", (".rst", ".rest"), rst.parse),
    Format("org", (".org",), org.parse),
    Format("word", (".docx", ".docm", ".dotx"), docx.parse),
    Format("slides", (".pptx", ".pptm", ".ppsx"), pptx.parse),
    Format("spreadsheet", (".xlsx", ".xlsm"), xlsx.parse),
    Format("table", (".csv", ".tsv"), csvtable.parse),
    Format("epub", (".epub",), epub.parse),
    Format("rtf", (".rtf",), rtf.parse),
    Format("mail", (".eml",), mail.parse),
    Format("mailbox", (".mbox", ".mbx"), mail.parse_box, ("inbox", "sent", "drafts", "archives")),
    Format("calendar", (".ics", ".ical"), events.parse),
    Format("contacts", (".vcf", ".vcard"), contacts.parse),
    Format("notebook", (".ipynb",), notebook.parse),
    Format("json", (".json", ".canvas"), data.parse),
    Format("json lines", (".jsonl", ".ndjson"), data.parse_lines),
    Format("code", code.SUFFIXES, code.parse),
    Format("commits", (), commits.parse, (".git/logs/head",), commits.load),
    Format("history", (), browser.parse_history, ("places.sqlite", "history"), browser.load),
    Format("bookmarks", (), browser.parse_bookmarks, ("bookmarks",)),
)
_BY_SUFFIX = {suffix: item for item in FORMATS for suffix in item.suffixes}
_BY_NAME = {name: item for item in FORMATS for name in item.names}
_LONGEST = max(name.count("/") for name in _BY_NAME) + 1
_MAILDIR = ("cur", "new")
"""The folders of a maildir, whose files have names without a type."""
_ATTACHED = ("mail", "mailbox")
"""Not read out of a message: what they may hold is without end."""


def format_of(path: str) -> Format | None:
    """The format that reads files with this name, or None."""
    place = PurePosixPath(path)
    parts = path.lower().split("/")
    for length in range(1, _LONGEST + 1):
        if named := _BY_NAME.get("/".join(parts[-length:])):
            return named
    found = _BY_SUFFIX.get(place.suffix.lower())
    if found is None and place.parent.name in _MAILDIR and "." in place.name:
        return _BY_SUFFIX[".eml"]
    return found


def parse(data: bytes, path: str) -> Parsed:
    """The blocks of one file. Raises ParseError with the reason."""
    found = format_of(path)
    if found is None:
        raise ParseError(unread(path))
    return Parsed(*found.parse(data, path))


def attached(data: bytes, name: str) -> list[Block]:
    """The blocks of a file that came with a message. Raises ParseError with the reason."""
    found = _BY_SUFFIX.get(PurePosixPath(name).suffix.lower())
    if found is None or found.name in _ATTACHED:
        raise ParseError("not read out of a message")
    if not data:
        raise ParseError("empty")
    try:
        return found.parse(data, name)[0]
    except (ParseError, MemoryError, RecursionError):
        raise
    except Exception as error:  # one broken attachment must not cost the message
        traceback.print_exc()
        raise ParseError(f"its parser failed on it ({type(error).__name__})") from error


def unread(path: str) -> str:
    """The reason why no parser takes this name."""
    suffix = PurePosixPath(path).suffix.lower()
    return f"type {suffix} is not read" if suffix else "files without a type are not read"
