"""Mail: one message (.eml, a file of a maildir) or many in one file (.mbox).

A message is its headers that people read, its text (the plain form before the HTML one) and the
attachments that some parser reads; the others are named. Each stands under its message id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, block
from nightschool.ingest.encoding import decode
from nightschool.ingest.parse import html
from nightschool.ingest.parse.plaintext import blocks_of

Reader = Callable[[bytes, str], list[Block]]
"""Reads an attachment of some name; raises ParseError when it cannot."""

MAX_MESSAGES = 20_000
MAX_ATTACHMENTS = 20
MAX_DEPTH = 3
"""A message in a message in a message; deeper ones are named, not read."""
_HOSTILE = (ValueError, LookupError, AttributeError, TypeError)
"""What the standard library's mail classes raise on headers that no program should write."""
_SHOWN = ("From", "To", "Cc", "Date", "Subject")
_BORDER = re.compile(rb"(?:\A|\n\r?\n)From [^\n]*\d{4}[^\n]*\n")


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks of one message and its subject."""
    message = _message(data)
    if not message.keys():
        raise ParseError("the content is not a mail message, whatever the name says")
    return list(_blocks(message, _name(message, 1), 0)), _subject(message), ""


def parse_box(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks of all messages of an mbox file."""
    if not data.startswith(b"From "):
        raise ParseError("the content is not an mbox, whatever the name says")
    borders = [match.span() for match in _BORDER.finditer(data)]
    ends = [start for start, _ in borders[1:]] + [len(data)]
    blocks: list[Block] = []
    damaged = 0
    for number, ((_, begin), end) in enumerate(zip(borders, ends, strict=True), start=1):
        if number > MAX_MESSAGES:
            break
        try:
            message = _message(re.sub(rb"(?m)^>(>*From )", rb"\1", data[begin:end]))
            blocks += list(_blocks(message, _name(message, number), 0))
        except (ParseError, *_HOSTILE):
            damaged += 1
    notes = []
    if damaged:
        notes.append(f"{damaged} of {len(borders)} messages could not be read")
    if len(borders) > MAX_MESSAGES:
        notes.append(f"only the first {MAX_MESSAGES} of {len(borders)} messages were read")
    return blocks, "", "; ".join(notes)


def _message(data: bytes) -> EmailMessage:
    return message_from_bytes(data, policy=policy.default)


def _header(message: Message, name: str) -> str:
    """A header in words. The library's own parser fails on some hostile ones: then as it stands."""
    try:
        value = message.get(name)
        return " ".join(str(value or "").split())[:2000]
    except _HOSTILE:
        raw = next((text for key, text in message.raw_items() if key.lower() == name.lower()), "")
        return " ".join(str(raw).split())[:2000]


def _subject(message: Message) -> str:
    return _header(message, "Subject")


def _name(message: Message, number: int) -> str:
    identity = _header(message, "Message-ID")
    return f"message {identity[:200] or number}"


def _blocks(message: EmailMessage, place: str, depth: int) -> Iterator[Block]:
    subject = _subject(message)
    yield Block(BlockKind.SCOPE, subject or "(no subject)", level=1 + depth, place=place)
    lines = [(0, f"{name}: {value}") for name in _SHOWN if (value := _header(message, name))]
    if lines:
        yield replace(block(BlockKind.FRONT, lines), place=place)
    for item in _text(message):
        yield replace(item, place=place)
    for number, part in enumerate(_parts(message), start=1):
        if number > MAX_ATTACHMENTS:
            yield Block(BlockKind.PROSE, "More attachments are not read.", place=place)
            return
        yield from _attachment(part, place, depth)


def _text(message: EmailMessage) -> list[Block]:
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return []
    data = _payload(body)
    if not data.strip():
        return []
    if body.get_content_type() == "text/html":
        try:
            return html.parse(data, "")[0]
        except ParseError as error:
            return [Block(BlockKind.PROSE, f"(its HTML was not read: {error.message})")]
    text, _ = decode(_as_utf8(data, body.get_content_charset()))
    return blocks_of([(0, line) for line in text.split("\n")], wrapped=65)


def _parts(message: EmailMessage) -> list[Message]:
    if message.get_content_type() == "message/rfc822":
        return [message]
    try:
        return list(message.iter_attachments())
    except _HOSTILE as error:
        raise ParseError("the message is damaged") from error


def _payload(part: Message) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError) as error:
        raise ParseError("the message is damaged") from error
    return found if isinstance(found, bytes) else b""


def _as_utf8(data: bytes, charset: str | None) -> bytes:
    try:
        return data.decode(charset or "utf-8").encode("utf-8", "replace")
    except (LookupError, UnicodeDecodeError):
        return data


def _attachment(part: Message, place: str, depth: int) -> Iterator[Block]:
    """An attachment's own blocks, or one line that names it and says why it was not read."""
    from nightschool.ingest.parse import attached

    name = " ".join((part.get_filename() or "").split())[:200] or part.get_content_type()
    at = f"{place}, attachment {name}"
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        first = inner[0] if isinstance(inner, list) and inner else None
        if isinstance(first, EmailMessage) and depth + 1 < MAX_DEPTH:
            yield from _blocks(first, at, depth + 1)
        else:
            yield Block(BlockKind.PROSE, f"Attachment {name}: nested too deeply", place=place)
        return
    try:
        blocks = attached(_payload(part), name)
    except ParseError as error:
        yield Block(BlockKind.PROSE, f"Attachment {name}: {error.message}", place=place)
        return
    yield Block(BlockKind.PROSE, f"Attachment: {name}", place=at)
    for item in blocks:
        inside = f"{at}, {item.place}" if item.place else at
        if item.page is not None:
            inside = f"{at} p. {item.page}"
        yield replace(item, place=inside, page=None, marks=(), columns=None)
