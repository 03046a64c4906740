"""Answers that carry a file's words cannot make a client load, link or draw anything.

A hostile note may hold a picture whose address carries your secrets away (EchoLeak,
CVE-2025-32711), and filters that look for bad addresses miss some. So every address in an answer
from files is written so that no renderer takes it for one (`https[://]host[.]example/…`), links,
pictures and tags are broken, and terminal codes and invisible letters are dropped. What was found
stays readable, and the file itself is untouched. Each word is changed by itself, so a stream and
a whole answer come out alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from nightschool.records import Answer, Hit

_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[@-~]|.)?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
    "|[\U000e0000-\U000e007f]"
)
"""Terminal codes, other control characters, zero-width and direction-changing ones, and tags. The
joiners U+200C and U+200D stay: scripts and emoji need them."""
_ADDRESS = re.compile(
    r"(?i)(?:\b[a-z][a-z0-9+.-]{1,20}:|(?<![\w/]))/{2,}[^\s]+|\bwww\.[^\s]+"
    r"|\b(?:javascript|vbscript|data|file|mailto|tel):[^\s]+"
)
_PARTS = re.compile(r"(?is)([a-z][a-z0-9+.-]*:)?(/*)([\w.:@%-]*)(.*)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_JOINED = re.compile(r"\](?=[(:\[])")
_WORD = re.compile(r"\S+")


def plain(text: str) -> str:
    """`text` without terminal codes, invisible and direction-changing characters."""
    return _CODES.sub("", text)


def word(text: str) -> str:
    """One word in which nothing is an address, a link, a picture or a tag."""
    text = _ADDRESS.sub(_spelled, text)
    text = _TAG.sub("‹", text)
    return _JOINED.sub("] ", text)


def text(whole: str) -> str:
    """A whole text, word by word."""
    return _WORD.sub(lambda found: word(found.group()), plain(whole))


def answer(found: Answer) -> Answer:
    """An answer from files whose text is safe to render; quotes lose their codes only, so that
    they can still be found in the file."""
    citations = tuple(
        replace(item, quote=plain(item.quote), locator=text(item.locator))
        for item in found.citations
    )
    return replace(found, text=text(found.text), citations=citations)


def hit(found: Hit) -> Hit:
    """A passage without terminal codes and invisible characters."""
    return replace(found, text=plain(found.text))


class Cleaner:
    """The same for a stream: what may be an unfinished word is held back."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._held = ""

    def push(self, piece: str) -> None:
        """Add text; whole words are shown."""
        self._held += piece
        cut = max(self._held.rfind(space) for space in (" ", "\n", "\t")) + 1
        if cut:
            self._show(text(self._held[:cut]))
            self._held = self._held[cut:]

    def flush(self) -> None:
        """Show what was held back, once nothing more comes."""
        if self._held:
            self._show(text(self._held))
            self._held = ""


def _spelled(found: re.Match[str]) -> str:
    scheme, slashes, host, rest = _PARTS.fullmatch(found.group()).groups()  # type: ignore[union-attr]
    opening = f"{(scheme or '').removesuffix(':')}[{':' if scheme else ''}{slashes}]"
    if not scheme and not slashes:  # www.
        opening = ""
    # An address may stand inside another one.
    return f"{opening}{host.replace('.', '[.]')}{_ADDRESS.sub(_spelled, rest)}"
