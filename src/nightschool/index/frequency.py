"""In how many passages words stand: counted once, and remembered until the index changes.

The words that cost most to count are the common ones, and these come back in the next query.
"""

from __future__ import annotations

from nightschool.store import fulltext
from nightschool.store.db import Store

SAMPLE = 6_000
"""Of so many passages, the newest, the share of a common word is taken."""
REMEMBERED = 4_096
"""Words."""


class Frequencies:
    """Of one store. `forget` whenever passages came or went. Not thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: dict[tuple[str, int], int] = {}
        self._shares: dict[str, float] = {}
        self._newest: tuple[int, int] | None = None

    def forget(self) -> None:
        """The index has changed."""
        self._counts.clear()
        self._shares.clear()
        self._newest = None

    def count(self, word: str, most: int) -> int:
        """Passages that hold the (quoted) word, counted up to `most`."""
        if (word, most) not in self._counts:
            if len(self._counts) >= REMEMBERED:
                self._counts.clear()
            self._counts[word, most] = fulltext.count(self._store, word, most)
        return self._counts[word, most]

    def share(self, word: str) -> float:
        """The part (0..1) of the newest passages that holds the (quoted) word."""
        if word not in self._shares:
            if self._newest is None:
                self._newest = fulltext.newest(self._store, SAMPLE)
            first, passages = self._newest
            if len(self._shares) >= REMEMBERED:
                self._shares.clear()
            found = fulltext.count(self._store, word, passages, first)
            self._shares[word] = found / max(passages, 1)
        return self._shares[word]
