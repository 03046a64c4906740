"""The `Retriever`: words and meaning, each ranks, and the ranks are fused."""

from __future__ import annotations

from nightschool.errors import ModelError
from nightschool.index import lexical
from nightschool.index.fuse import diverse, fuse
from nightschool.index.query import parse
from nightschool.index.vectors import VectorIndex
from nightschool.paths import Home
from nightschool.ports import Embedder
from nightschool.records import Hit
from nightschool.store import choosing, documents
from nightschool.store.db import Store

CANDIDATES = 50
"""How far down each ranking is read, at least."""
REMEMBERED = 64
"""Answered queries that are kept, until the index changes."""
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
        self._answers: dict[tuple[str, int], list[Hit]] = {}
        self._generation = -1
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
        """The best `k` passages, best first; empty for a query without words.

        `query` may hold filters (see `index.query`). The same query is answered from memory until
        anything in the index changes.
        """
        if k < 1 or not query.strip():
            return []
        generation = documents.generation(self._store)
        if generation != self._generation:  # nothing that was forgotten may linger here
            self._answers.clear()
            self._generation = generation
        known = self._answers.get((query, k))
        if known is None:
            known = self._search(query, k)
            if not self._failure:
                self._answers[(query, k)] = known
                if len(self._answers) > REMEMBERED:
                    self._answers.pop(next(iter(self._answers)))
        return list(known)

    def _search(self, typed: str, k: int) -> list[Hit]:
        asked = parse(typed)
        among = None
        if asked.filtered:
            among = choosing.chosen(
                self._store, asked.folders, asked.types, asked.after_ns, asked.before_ns
            )
        query = asked.text
        if not query:
            return []
        depth = max(CANDIDATES, 4 * k)
        words = lexical.search(self._store, query, depth, among)
        near = self._dense(query, depth, among)
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

    def _dense(self, query: str, depth: int, among: list[int] | None) -> list[tuple[int, float]]:
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
        inside = None if among is None else choosing.chunk_ids(self._store, among)
        return self.vectors.search(vector, depth, inside)
