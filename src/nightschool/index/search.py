"""The `Retriever`: words and meaning, each ranks, and the ranks are fused."""

from __future__ import annotations

from nightschool.errors import ModelError
from nightschool.index import lexical
from nightschool.index.fuse import diverse, fuse
from nightschool.index.vectors import VectorIndex
from nightschool.paths import Home
from nightschool.ports import Embedder
from nightschool.records import Hit
from nightschool.store import documents
from nightschool.store.db import Store

CANDIDATES = 50
"""How far down each ranking is read, at least."""
PER_DOCUMENT = 3
"""Passages of one file that come before those of other files."""


class Search:
    """Finds passages. Works by words alone without an embedder or while vectors are missing."""

    def __init__(
        self,
        store: Store,
        home: Home,
        embedder: Embedder | None,
        *,
        per_document: int = PER_DOCUMENT,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._per_document = per_document
        self._failure = "" if embedder is not None else "no embedder is loaded"
        self.vectors = (
            VectorIndex(store, home.index, embedder.name, embedder.dim)
            if embedder is not None
            else None
        )

    @property
    def note(self) -> str:
        """Why a search is weaker than it could be, in words; empty when it is complete."""
        if self._failure:
            return f"Searched by words only: {self._failure}."
        assert self._embedder is not None
        waiting = documents.backlog(self._store, self._embedder.name)
        if not waiting:
            return ""
        if self.vectors is not None and not len(self.vectors):
            return f"Searched by words only: {waiting} passages wait for their vectors."
        return f"{waiting} passages wait for their vectors and are found by words only."

    def search(self, query: str, k: int = 8) -> list[Hit]:
        """The best `k` passages, best first; empty for a query without words."""
        if k < 1 or not query.strip():
            return []
        depth = max(CANDIDATES, 4 * k)
        words = lexical.search(self._store, query, depth)
        near = self._dense(query, depth)
        similarity = dict(near)
        dense = [number for number, _ in near]
        ranked = fuse([words, dense])
        found = documents.chunks(self._store, [number for number, _ in ranked])
        ranked = [pair for pair in ranked if pair[0] in found]
        owner = {number: chunk.document_id for number, chunk in found.items()}
        by_words = {number: rank for rank, number in enumerate(words, start=1)}
        by_meaning = {number: rank for rank, number in enumerate(dense, start=1)}
        return [
            Hit(
                number,
                found[number].document_id,
                found[number].text,
                found[number].locator,
                score,
                by_words.get(number),
                by_meaning.get(number),
                similarity.get(number),
            )
            for number, score in diverse(ranked, owner, self._per_document)[:k]
        ]

    def _dense(self, query: str, depth: int) -> list[tuple[int, float]]:
        if self._embedder is None or self.vectors is None:
            return []
        self.vectors.refresh()
        if not len(self.vectors):
            return []
        try:
            vector = self._embedder.embed([query])[0]
        except ModelError as error:
            self._failure = error.message.rstrip(".")
            return []
        self._failure = ""
        return self.vectors.search(vector, depth)
