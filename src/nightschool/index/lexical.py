"""Full-text search with whatever a person types: a safe FTS5 expression, ranked by BM25."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from nightschool.store import documents
from nightschool.store.db import Store

MAX_TERMS = 40
_TERM = re.compile(r"\w+(?:[.\-'’/:@&+]\w+)*")
_STOP = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "hers",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "out",
        "over",
        "she",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "up",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "tell",
        "show",
        "find",
        "give",
        "please",
        "many",
        "much",
    ]
)


def terms(query: str) -> list[str]:
    """The words that tell something; all of them when there are only small ones."""
    text = unicodedata.normalize("NFC", query.encode("utf-8", "replace").decode()).lower()
    words = list(dict.fromkeys(re.sub(r"['’]s$", "", word) for word in _TERM.findall(text)))
    telling = [word for word in words if word not in _STOP]
    return (telling or words)[:MAX_TERMS]


def expression(query: str) -> str:
    """An FTS5 expression that matches any of the words, empty when there is none.

    Each word is quoted, so that no character of it is an operator; one like `TX-44` becomes the
    phrase of its parts.
    """
    return " OR ".join(f'"{term}"' for term in terms(query))


def search(store: Store, query: str, limit: int, among: Sequence[int] | None = None) -> list[int]:
    """Chunk ids, best first. BM25 weighs rare words up, so any-of needs no all-of beside it.

    With `among`, only passages of these files.
    """
    wanted = expression(query)
    if not wanted:
        return []
    return [chunk_id for chunk_id, _ in documents.match(store, wanted, limit, among)]
