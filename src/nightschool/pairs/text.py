"""Comparing questions and answers: normal form, words, token F1, fingerprints."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter

_WORD = re.compile(r"[^\W_]+(?:[.,:'’-][^\W_]+)*|[£$€¥%°]")
_ARTICLE = {"a", "an", "the"}
TOKENISH = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[A-Za-z0-9+/_=-]{20,}")
"""What looks like a key or a token."""


def bag(words: str) -> frozenset[str]:
    """A set of words, written as one line of text."""
    return frozenset(words.split())


STOPWORDS = bag(
    "a an the of to in on at for from with by and or but is are was were be been being am do does "
    "did has have had i my me we our us you your he his him she her it its they their them this "
    "that these those there what when where who whom whose which why how many much long often can "
    "could would should will shall may might must tell know say says need want like please about "
    "according notes note not no as if so than then into out up down over under again also "
    "i'd don't forgot remind remember"
)


def words(text: str) -> list[str]:
    """Lower-case words and currency signs, accents kept, in order."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower().replace("’", "'"))


def normal(text: str) -> str:
    """The form in which two questions or answers count as the same."""
    return " ".join(word for word in words(text) if word not in _ARTICLE)


def content(text: str) -> frozenset[str]:
    """The words that carry meaning."""
    return frozenset(word for word in words(text) if word not in STOPWORDS)


def f1(one: str, other: str) -> float:
    """Token F1 of two answers, 0..1; 1 for the same normal form."""
    first, second = normal(one).split(), normal(other).split()
    if not first or not second:
        return float(first == second)
    common = sum((Counter(first) & Counter(second)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(first), common / len(second)
    return 2 * precision * recall / (precision + recall)


def holds(text: str, answer: str) -> bool:
    """Whether `answer` stands in `text` as whole words, case and punctuation aside."""
    needle = normal(answer)
    return bool(needle) and f" {needle} " in f" {normal(text)} "


def fingerprint(*parts: str) -> str:
    """A short stable id of some text: 16 hexadecimal digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def share(key: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but `key` and `salt`."""
    digest = hashlib.sha256(f"{salt}\x1f{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
