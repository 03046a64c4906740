"""Which reranker reads, and the order that comes of what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from nightschool.errors import ChildError
from nightschool.index.fuse import diverse
from nightschool.index.query import parse
from nightschool.index.rerank import READER, Wish
from nightschool.index.rerank.by_reader import ByReader
from nightschool.index.rerank.cross_encoder import CrossEncoder
from nightschool.index.search import PER_DOCUMENT
from nightschool.models.reader import Reader
from nightschool.paths import Home
from nightschool.ports import Reranker
from nightschool.records import Hit

REMEMBERED = 256
"""Queries whose scores are kept: numbers of passages and of their scores, no text of a file."""


@dataclass
class Reranking:
    """Holds one reranker, opened when it is first asked for. Not thread-safe.

    `reader` gives the reader that the engine has anyway; `threads` 0 = as the library chooses.
    """

    home: Home
    reader: Callable[[], Reader]
    threads: int = 0
    _open: Reranker | None = None
    _known: dict[tuple[object, ...], tuple[float | None, ...]] = field(default_factory=dict)

    def order(self, typed: str, hits: Sequence[Hit], wish: Wish, k: int) -> list[Hit]:
        """The best `k` of `hits` (best first), of which the first `wish.depth` are read.

        What was read goes first, by its score; then the others as they were, so that a budget
        that was too short costs no passage. Raises NotFound or ModelError when the reranker cannot
        be had, ChildError when it died; never returns an order that nobody asked for.
        """
        first, rest = list(hits[: wish.depth]), list(hits[wish.depth :])
        scores = self._scores(typed, first, wish)
        read = [
            replace(hit, rerank_score=score)
            for hit, score in zip(first, scores, strict=True)
            if score is not None
        ]
        left = [hit for hit, score in zip(first, scores, strict=True) if score is None]
        read.sort(key=lambda hit: -(hit.rerank_score or 0.0))
        ranked = [(hit, hit.score) for hit in [*read, *left, *rest]]
        roomy = diverse(ranked, {hit: hit.document_id for hit, _ in ranked}, PER_DOCUMENT)
        return [hit for hit, _ in roomy[:k]]

    def _scores(self, typed: str, hits: Sequence[Hit], wish: Wish) -> Sequence[float | None]:
        """From memory, or from the reranker; what a short budget left unread is not kept."""
        query = parse(typed).text
        reranker = self._reranker(wish.by)
        key = (reranker.name, query, *(hit.chunk_id for hit in hits))
        known: Sequence[float | None] | None = self._known.get(key)
        if known is not None or not hits:
            return known or ()
        try:
            found = reranker.score(query, [_shown(hit) for hit in hits], wish.budget_ms / 1000)
        except ChildError:
            self.close()  # it is opened again for the next query
            raise
        if None not in found:
            self._known[key] = tuple(found)
            if len(self._known) > REMEMBERED:
                self._known.pop(next(iter(self._known)))
        return found

    def _reranker(self, by: str) -> Reranker:
        if self._open is None or self._open.name != by:
            self.close()
            self._open = (
                ByReader(self.reader())
                if by == READER
                else CrossEncoder(by, self.home.logs / "reranker.log", self.threads)
            )
        return self._open

    def close(self) -> None:
        """Free what is open. Idempotent."""
        if self._open is not None:
            with suppress(ChildError):
                self._open.close()
            self._open = None


def _shown(hit: Hit) -> str:
    """What is read: the passage below the heading it stands under, as it was embedded."""
    above = [name for name in hit.locator.headings[-1:] if name not in hit.text[:200]]
    return "\n".join([*above, hit.text])
