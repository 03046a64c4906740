"""Full-text search with whatever a person types: a safe FTS5 expression, ranked by BM25.

Among 100,000 passages a word like `meeting` stands in tens of thousands, and scoring them all takes
longer than everything else in a search. So passages are chosen by the words that tell them apart,
and the common words only order those (the essential lists of MaxScore, Turtle and Flood 1995): the
ranking of what is chosen is BM25 over all words, as if every match had been scored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from nightschool.index.frequency import Frequencies
from nightschool.store import fulltext
from nightschool.store.db import Store

MAX_TERMS = 40
READ = 4_000
"""About so many matches are scored for one query, at 1 µs each."""
MAX_COMMON = 8
"""So many common words order what the others chose."""
NARROWING = 4
"""So many common words are required together, at first, where there are no others."""
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


def search(
    store: Store,
    query: str,
    limit: int,
    among: Sequence[int] | None = None,
    known: Frequencies | None = None,
) -> list[int]:
    """Chunk ids, best first. BM25 weighs rare words up, so any-of needs no all-of beside it.

    With `among`, only these passages, every one of them. `known` remembers what words are common.
    """
    if among is not None:
        wanted = expression(query)
        return _ids(fulltext.match(store, wanted, limit, among)) if wanted else []
    known = known or Frequencies(store)
    telling, common = _split(known, terms(query))
    if not common:
        return _ids(fulltext.match(store, " OR ".join(telling), limit)) if telling else []
    found: list[int] = []
    common.sort(key=known.share)
    if telling:
        either = " OR ".join(telling)
        scores = dict(fulltext.match(store, either, limit))
        ordering = " OR ".join(common[:MAX_COMMON])
        scores.update(fulltext.match(store, f"({either}) AND ({ordering})", limit))
        found = sorted(scores, key=lambda number: (-scores[number], number))[:limit]
    if len(found) < limit:
        found = list(dict.fromkeys([*found, *_by_common(store, common, limit)]))
    return found[:limit]


def _split(known: Frequencies, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words (quoted, rarest first) whose matches may all be scored, and the common others.

    A word that stands nowhere is in neither.
    """
    counted = sorted((known.count(f'"{word}"', READ + 1), word) for word in words)
    telling: list[str] = []
    common: list[str] = []
    total = 0
    for number, word in counted:
        total += number
        if number:
            (telling if total <= READ else common).append(f'"{word}"')
    return telling, common


def _by_common(store: Store, common: Sequence[str], limit: int) -> list[int]:
    """Passages with the first of the common words together, then with fewer, then with one.

    Only the newest matches of each are scored: by such words alone few are better than others.
    """
    rarest = common[:NARROWING]
    read = READ if len(rarest) > 1 else 4 * READ  # one word is all there is to rank by
    found: dict[int, None] = {}
    for size in range(len(rarest), 0, -1):
        wanted = " AND ".join(rarest[:size])
        found |= dict.fromkeys(_ids(fulltext.match(store, wanted, limit, read=read)))
        if len(found) >= limit:
            break
    return list(found)


def _ids(found: Sequence[tuple[int, float]]) -> list[int]:
    return [number for number, _ in found]
