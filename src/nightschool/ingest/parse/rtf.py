"""Rich text, as older word processors save it: its words, without looks."""

from __future__ import annotations

import re

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block
from nightschool.ingest.encoding import decode
from nightschool.ingest.parse.plaintext import blocks_of

_DATA = re.compile(rb"[0-9a-fA-F\r\n]{4000,}")
"""A picture in hexadecimal: nothing to read, and most of the file."""
_TITLE = re.compile(r"\{\\title ([^{}\\]{1,200})\}")


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Paragraphs, and the document's title."""
    from striprtf.striprtf import rtf_to_text

    if not data.lstrip()[:6].lower().startswith(b"{\\rtf"):
        raise ParseError("the content is not RTF, whatever the name says")
    source = _DATA.sub(b"", data).decode("latin-1")
    try:
        # The escapes name the code page; bytes outside it are replaced, not lost with the file.
        text = str(rtf_to_text(source, encoding="cp1252", errors="replace"))
    except (ValueError, LookupError, IndexError, UnicodeError, OverflowError) as error:
        raise ParseError("the RTF is damaged") from error
    text, _ = decode(text.encode("utf-8", "replace"))
    # Each line is a paragraph here: the program breaks lines, not the writer.
    blocks = blocks_of([(0, line) for line in text.split("\n")], wrapped=10**9)
    found = _TITLE.search(source)
    return blocks, found[1].strip() if found else "", ""
