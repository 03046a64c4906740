"""Address books (.vcf): each contact as lines of `what: value` (RFC 6350, and the older 2.1)."""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, block
from nightschool.ingest.encoding import decode

_SHOWN = {
    "NICKNAME": "Nickname", "ORG": "Organisation", "TITLE": "Title", "ROLE": "Role", "TEL": "Phone",
    "EMAIL": "E-mail", "ADR": "Address", "BDAY": "Birthday", "ANNIVERSARY": "Anniversary",
    "URL": "Web", "RELATED": "Related", "CATEGORIES": "Groups", "NOTE": "Note",
}  # fmt: skip
_TYPES = ("home", "work", "cell", "mobile", "fax", "pager")
_SPLIT = re.compile(r"(?<!\\)[;]")
MAX_CONTACTS = 50_000


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """A passage for each contact, under the contact's name."""
    text, note = decode(data)
    if "BEGIN:VCARD" not in text[:2000].upper():
        raise ParseError("the content is not an address book, whatever the name says")
    blocks: list[Block] = []
    for number, (line, card) in enumerate(_cards(_unfold(text)), start=1):
        if number > MAX_CONTACTS:
            note = f"only the first {MAX_CONTACTS} contacts were read"
            break
        name, rows = _contact(card)
        name = name or f"contact {number}"
        blocks.append(Block(BlockKind.SCOPE, name, level=1))
        blocks.append(block(BlockKind.PROSE, [(line, name), *((line, row) for row in rows)]))
    return blocks, "", note


def _unfold(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first one."""
    begun, kept = 0, ""
    for number, line in enumerate(text.split("\n"), start=1):
        soft = kept.endswith("=") and "QUOTED-PRINTABLE" in kept.upper()
        if begun and (line[:1] in (" ", "\t") or soft):
            kept = kept[:-1] + line if soft else kept + line[1:]
            continue
        if begun:
            yield begun, kept
        begun, kept = number, line
    if begun:
        yield begun, kept


def _cards(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    card: list[str] = []
    begun = 0
    for number, line in lines:
        word = line.strip().upper()
        if word == "BEGIN:VCARD":
            begun, card = number, []
        elif word == "END:VCARD" and begun:
            yield begun, card
            begun = 0
        elif begun:
            card.append(line)
    if begun and card:  # cut off: what is there is kept
        yield begun, card


def _contact(card: list[str]) -> tuple[str, list[str]]:
    name = inverted = ""
    rows: list[str] = []
    for line in card:
        head, colon, value = line.partition(":")
        if not colon:
            continue
        what, *options = head.upper().split(";")
        what = what.rpartition(".")[2]
        if any(option.startswith("ENCODING=B") or option == "BASE64" for option in options):
            continue
        if "ENCODING=QUOTED-PRINTABLE" in options or "QUOTED-PRINTABLE" in options:
            value = _unquoted(value)
        parts = [_plain(part) for part in _SPLIT.split(value)]
        if what == "FN":
            name = parts[0]
        elif what == "N":
            inverted = " ".join(part for part in (*parts[1:3], parts[0]) if part)
        elif what in _SHOWN and any(parts):
            kinds = [one for one in _TYPES if any(one.upper() in option for option in options)]
            label = _SHOWN[what] + (f" ({', '.join(kinds)})" if kinds else "")
            shown = ", ".join(part for part in parts if part).removeprefix("tel:")
            rows.append(f"{label}: {shown}")
    return name or inverted, rows


def _unquoted(value: str) -> str:
    try:
        data = quopri.decodestring(value.encode("utf-8"))
    except (binascii.Error, ValueError):
        return value
    return data.decode("utf-8", "replace")


def _plain(part: str) -> str:
    text = re.sub(r"\\n", " ", part, flags=re.IGNORECASE)
    return " ".join(re.sub(r"\\([\\,;:])", r"\1", text).split())
