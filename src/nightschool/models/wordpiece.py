"""BERT's uncased WordPiece tokenizer with character offsets, in plain Python.

llama.cpp gives token ids but not where they lie in the text, and its `bert` pre-tokenizer departs
from the original on rare input. The reader must point into the text, so ids are made here and
handed to llama.cpp ready. Equal to `BertNormalizer` + `BertPreTokenizer` + `WordPiece` of
huggingface/tokenizers (checked in tests), with one difference on purpose: `[SEP]`, `[CLS]` and the
like inside a text are ordinary characters, because a document must not be able to end its passage.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_WORD_CHARS = 100
"""Longer words become one [UNK], as in the original."""

_SKIP, _SPACE, _WORD, _ALONE = range(4)

_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True)
class Tokens:
    """Token ids and, for each, the characters [start, end) of the text it came from."""

    ids: list[int]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.ids)


@lru_cache(maxsize=8192)
def _normal(char: str) -> tuple[int, str]:
    """What one character becomes: its kind and its lower-case letters without accents."""
    if char in "\t\n\r":
        return _SPACE, " "
    category = unicodedata.category(char)
    if char in "\0\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
        return _SKIP, ""
    if char.isspace():
        return _SPACE, " "
    code = ord(char)
    if any(low <= code <= high for low, high in _IDEOGRAPHS):
        return _ALONE, unicodedata.normalize("NFD", char)
    plain = "".join(
        c for c in unicodedata.normalize("NFD", char) if unicodedata.category(c) != "Mn"
    )
    if not plain:
        return _SKIP, ""
    if len(plain) == 1 and (
        unicodedata.category(plain).startswith("P")
        or (33 <= ord(plain) <= 126 and not plain.isalnum())
    ):
        return _ALONE, plain
    return _WORD, "".join(c.lower() for c in plain)


class WordPiece:
    """Made from the vocabulary: `pieces[i]` is the text of id i, continuations start with `##`."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.ids: Mapping[str, int] = {piece: i for i, piece in enumerate(pieces)}
        self.unknown = self.ids["[UNK]"]
        self.cls, self.sep = self.ids["[CLS]"], self.ids["[SEP]"]
        self.line_break = self.ids["|"]
        self._word = lru_cache(maxsize=16384)(self._split)

    def encode(self, text: str, line_breaks: bool = False, limit: int | None = None) -> Tokens:
        """Tokens of `text`, without [CLS] and [SEP]; at least the first `limit`, if given.

        With `line_breaks`, every run of blank space that holds a line break also gives one `|`:
        WordPiece drops line breaks, and the reader needs them to tell lines of a list apart.
        """
        tokens = Tokens([], [], [])
        letters: list[str] = []
        places: list[int] = []
        broken = False
        for at, char in enumerate(text):
            kind, plain = _normal(char)
            if kind == _WORD:
                letters.extend(plain)
                places.extend([at] * len(plain))
                broken = False
                continue
            if kind == _SKIP:
                continue
            if limit is not None and len(tokens.ids) >= limit:
                return tokens
            self._flush(letters, places, tokens)
            if kind == _ALONE:
                self._flush(list(plain), [at] * len(plain), tokens)
                broken = False
            elif line_breaks and char == "\n" and not broken and tokens.ids:
                tokens.ids.append(self.line_break)
                tokens.starts.append(at)
                tokens.ends.append(at + 1)
                broken = True
        self._flush(letters, places, tokens)
        return tokens

    def _flush(self, letters: list[str], places: list[int], tokens: Tokens) -> None:
        if not letters:
            return
        for piece, first, last in self._word("".join(letters)):
            tokens.ids.append(piece)
            tokens.starts.append(places[first])
            tokens.ends.append(places[last - 1] + 1)
        letters.clear()
        places.clear()

    def _split(self, word: str) -> tuple[tuple[int, int, int], ...]:
        """(id, first letter, letter after the last) of the longest pieces from the left."""
        if len(word) > MAX_WORD_CHARS:
            return ((self.unknown, 0, len(word)),)
        found: list[tuple[int, int, int]] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self.ids.get(word[start:end] if start == 0 else "##" + word[start:end])
                if piece is not None:
                    found.append((piece, start, end))
                    start = end
                    break
            else:
                return ((self.unknown, 0, len(word)),)
        return tuple(found)
