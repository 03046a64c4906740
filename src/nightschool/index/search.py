"""The `Retriever`: words and meaning, each ranks, and the ranks are fused."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from nightschool.errors import ModelError
from nightschool.index import lexical
from nightschool.index.frequency import Frequencies
from nightschool.index.fuse import diverse, fuse
from nightschool.index.query import Query, parse
from nightschool.index.vectors import VectorIndex
from nightschool.paths import Home
from nightschool.ports import Embedder
from nightschool.records import Hit
from nightschool.store import choosing, documents
from nightschool.store.db import Store, keep_pages

CANDIDATES = 50
"""How far down each ranking is read, at least."""
REMEMBERED = 64
"""Answered queries that are kept, until the index changes."""
PAGES_MB = 64
"""Of the database, in memory: the full text of 100,000 passages reads most of these every time."""
FILTERS = 4
"""Filters whose passages are kept, for the same time."""
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
        self._beside = ThreadPoolExecutor(1)
        keep_pages(store, PAGES_MB)
        self._chosen: dict[Query, list[int]] = {}
        self._words = Frequencies(store)
        self._waiting = -1
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
        self._in_step()
        if self._waiting < 0:  # counting takes longer than a search, so only when it is asked for
            self._waiting = documents.backlog(self._store, self._embedder.name)
        if not self._waiting:
            return ""
        if self.vectors is not None and not len(self.vectors):
            return f"Searched by words only: {self._waiting} passages wait for their vectors."
        return f"{self._waiting} passages wait for their vectors and are found by words only."

    def search(self, query: str, k: int = 8) -> list[Hit]:
        """The best `k` passages, best first; empty for a query without words.

        `query` may hold filters (see `index.query`). The same query is answered from memory until
        anything in the index changes.
        """
        if k < 1 or not query.strip():
            return []
        self._in_step()
        known = self._answers.get((query, k))
        if known is None:
            known = self._search(query, k)
            if not self._failure:
                self._answers[(query, k)] = known
                if len(self._answers) > REMEMBERED:
                    self._answers.pop(next(iter(self._answers)))
        return list(known)

    def _in_step(self) -> None:
        """Nothing that was forgotten may linger in what is remembered between queries."""
        generation = documents.generation(self._store)
        if generation != self._generation:
            self._answers.clear()
            self._chosen.clear()
            self._words.forget()
            self._waiting = -1
            self._generation = generation

    def _search(self, typed: str, k: int) -> list[Hit]:
        asked = parse(typed)
        if not asked.text:
            return []
        among = self._among(asked) if asked.filtered else None
        depth = max(CANDIDATES, 4 * k)
        pending = self._embedding(asked.text)
        words = lexical.search(self._store, asked.text, depth, among, self._words)
        near = self._dense(pending, depth, among)
        similarity = dict(near)
        dense = [number for number, _ in near]
        best = self._best(fuse([words, dense]), k)
        found = documents.chunks(self._store, [number for number, _ in best])
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
            for number, score in best
            if number in found
        ]

    def _among(self, asked: Query) -> list[int]:
        """The passages that the filters leave, ascending."""
        key = replace(asked, text="")
        if key not in self._chosen:
            self._chosen[key] = choosing.passages(
                self._store, asked.folders, asked.types, asked.after_ns, asked.before_ns
            )
            if len(self._chosen) > FILTERS:
                self._chosen.pop(next(iter(self._chosen)))
        return self._chosen[key]

    def _best(self, ranked: list[tuple[int, float]], k: int) -> list[tuple[int, float]]:
        """The first `k` with room for several files; only as far down as that takes.

        Whose a passage is stands beside its text, on a page of its own: the costliest look-up.
        """
        looked = k + k // 2
        while True:
            owner = documents.owners(self._store, [number for number, _ in ranked[:looked]])
            there = [pair for pair in ranked[:looked] if pair[0] in owner]
            roomy = Counter(owner[number] for number, _ in there)
            limit = self._per_document or k
            if looked >= len(ranked) or sum(min(limit, n) for n in roomy.values()) >= k:
                return diverse(there, owner, self._per_document)[:k]
            looked *= 4

    def _embedding(self, query: str) -> Future[Any] | None:
        """The query's vector is made beside the search for its words: two cores, half the time."""
        if self._embedder is None or self.vectors is None:
            return None
        self.vectors.refresh()
        if not len(self.vectors):
            return None
        return self._beside.submit(self._embedder.embed, [query])

    def _dense(
        self, pending: Future[Any] | None, depth: int, among: list[int] | None
    ) -> list[tuple[int, float]]:
        if pending is None or self.vectors is None:
            return []
        try:
            vector = pending.result()[0]
        except ModelError as error:
            self._failure = error.message.rstrip(".")
            return []
        self._failure = ""
        return self.vectors.search(vector, depth, among)
