"""Bytes to text: byte order marks, then UTF-8, then a guess that says so; binary is refused."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from nightschool.errors import ParseError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 200_000
_MAGIC = (b"PK\x03\x04", b"\x7fELF", b"%PDF-", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"MZ\x90",
          b"\x1f\x8b", b"SQLite format 3", b"Rar!", b"7z\xbc\xaf", b"GGUF")  # fmt: skip
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufffe\U000e0000-\U000e007f]"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)")


def decode(data: bytes) -> tuple[str, str]:
    """The text, with `\\n` line ends, and a note when the encoding had to be guessed.

    Raises ParseError when the bytes are not text. Control, invisible and terminal-escape
    characters are taken out: they say nothing and can hide something.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            try:
                return _clean(data.decode(name)), ""
            except UnicodeDecodeError:
                return _clean(data.decode(name, "replace")), f"damaged {name.upper()}"
    if data.startswith(_MAGIC):
        raise ParseError("the content is not text, whatever the name says")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _guess(data)
    if _binary(data):
        raise ParseError("the content is not text (control bytes)")
    return _clean(text), ""


def _guess(data: bytes) -> tuple[str, str]:
    sample = data[:_SAMPLE]
    if b"\x00" in sample:
        for name in ("utf-16-le", "utf-16-be"):
            odd = sample[1::2] if name == "utf-16-le" else sample[0::2]
            if odd.count(0) > 0.4 * len(odd) and len(data) % 2 == 0:
                try:
                    return _clean(data.decode(name)), f"read as {name.upper()}"
                except UnicodeDecodeError:
                    continue
    if _binary(data):
        raise ParseError("the content is not text (control bytes)")
    best = from_bytes(sample).best()
    name = best.encoding if best is not None else "cp1252"
    if name in ("utf_8", "ascii"):  # only the sample is: something further on is damaged
        return _clean(data.decode("utf-8", "replace")), "damaged UTF-8"
    try:
        return _clean(data.decode(name)), f"read as {name.replace('_', '-')}"
    except (UnicodeDecodeError, LookupError):
        return _clean(data.decode("latin-1")), "read as latin-1"


def _binary(data: bytes) -> bool:
    sample = data[:_SAMPLE]
    return b"\x00" in sample or len(_CONTROL.findall(sample)) > max(3, len(sample) // 200)


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return _INVISIBLE.sub("", text)
