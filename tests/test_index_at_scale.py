"""What keeps search and saving quick in a large index, and costs nothing in what is found."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from nightschool.config import Config
from nightschool.index import lexical
from nightschool.index import vectors as index_vectors
from nightschool.index.frequency import Frequencies
from nightschool.index.search import Search
from nightschool.index.vectors import VectorIndex, to_bytes
from nightschool.intake import run_intake
from nightschool.paths import Home
from nightschool.records import Chunk, Document, FileStatus, Locator
from nightschool.store import documents, fulltext
from nightschool.store.db import Store, open_store

WIDTH = 16


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    made = open_store(home.database)
    documents.add_root(made, "/notes")
    yield made
    made.close()


def write(store: Store, path: str, passages: Sequence[str]) -> None:
    chunks = [Chunk(number, text, text, Locator(path)) for number, text in enumerate(passages)]
    documents.save(store, Document(1, path, 1, 1, path, FileStatus.INDEXED, title=path), chunks)


def embed_all(store: Store, seed: int = 1) -> None:
    """A random unit vector for every passage that has none."""
    ids = [item.id for _, item in documents.without_vector(store, "toy", 10_000)]
    rows = np.random.default_rng(seed).normal(size=(len(ids), WIDTH)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    documents.save_vectors(store, "toy", zip(ids, to_bytes(rows), strict=True))


def index(store: Store, home: Home, **more: int) -> VectorIndex:
    return VectorIndex(store, home.index, "toy", WIDTH, **more)


# -- full text -----------------------------------------------------------------------------------


@pytest.fixture
def crowded(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """600 passages; `meeting`, `budget` and `river` stand in most, each `rareN` in two."""
    draw = random.Random(5)
    words = ["meeting", "budget", "river", *(f"filler{n}" for n in range(40))]
    weights = [30, 20, 20, *([1] * 40)]
    for number in range(60):
        passages = []
        for place in range(10):
            text = draw.choices(words, weights, k=draw.randint(3, 12))
            passages.append(" ".join([*text, f"rare{(10 * number + place) // 2}"]))
        write(store, f"{number}.md", passages)
    monkeypatch.setattr(lexical, "READ", 60)
    return store


def test_common_words_order_what_the_rare_ones_choose(crowded: Store) -> None:
    """The very ranking that scoring every match gives, of the passages with a telling word."""
    for query in ("rare7 meeting budget", "rare3 rare9 filler1 river meeting", "rare250 river"):
        every = [number for number, _ in fulltext.match(crowded, lexical.expression(query), 600)]
        telling = {
            number
            for word in lexical.terms(query)
            if fulltext.count(crowded, word, 600) <= lexical.READ
            for number, _ in fulltext.match(crowded, word, 600)
        }
        best = [number for number in every if number in telling]
        found = lexical.search(crowded, query, 600)
        assert found[: len(best)] == best and len(found) > len(best)


def test_common_words_alone_are_looked_for_together_first(crowded: Store) -> None:
    found = lexical.search(crowded, "budget meeting river", 10)
    texts = [item.text.split() for item in documents.chunks(crowded, found).values()]
    assert len(found) == 10
    assert all({"budget", "meeting", "river"} <= set(text) for text in texts)


def test_one_common_word_finds_as_many_as_were_asked_for(crowded: Store) -> None:
    assert len(lexical.search(crowded, "meeting", 50)) == 50
    assert len(set(lexical.search(crowded, "meeting nosuchword", 50))) == 50
    assert lexical.search(crowded, "nosuchword", 50) == []


def test_words_are_counted_once_until_the_index_changes(crowded: Store, home: Home) -> None:
    known, search = Frequencies(crowded), Search(crowded, home, None)
    asked = "rare7 meeting"
    assert lexical.search(crowded, asked, 50, None, known) == lexical.search(crowded, asked, 50)
    assert "rare7" in search.search(asked)[0].text
    write(crowded, "new.md", [f"rare7 budget {'meeting ' * n}" for n in range(70)])
    now = lexical.search(crowded, asked, 50)  # rare7 is a common word from now on
    assert lexical.search(crowded, asked, 50, None, known) != now
    fresh = Search(crowded, home, None)
    assert search.search(asked, 50) == fresh.search(asked, 50)
    known.forget()
    assert lexical.search(crowded, asked, 50, None, known) == now


# -- vectors -------------------------------------------------------------------------------------


def test_one_saved_note_does_not_cost_the_whole_file(
    store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_vectors, "FILE_BELOW", 100)
    write(store, "many.md", [f"passage {number}" for number in range(1000)])
    embed_all(store)
    index(store, home).keep_file()
    file = home.index / "toy.faiss"
    before = file.stat().st_mtime_ns
    write(store, "one.md", ["a saved note"])
    embed_all(store, seed=2)
    index(store, home).keep_file()
    assert file.stat().st_mtime_ns == before
    searching = index(store, home)
    assert len(searching.search(np.eye(WIDTH, dtype=np.float32)[0], 2000)) == 1001
    assert searching.builds == 0
    write(store, "many.md", [f"passage {number}" for number in range(900)])
    index(store, home).keep_file()
    assert file.stat().st_mtime_ns != before


@pytest.mark.parametrize("flat_below", [100, 10_000])
def test_a_filter_compares_every_passage_that_it_leaves(
    store: Store, home: Home, flat_below: int
) -> None:
    write(store, "many.md", [f"passage {number}" for number in range(1500)])
    embed_all(store)
    ids = store.column("SELECT id FROM chunk ORDER BY id")
    stored = dict(store.db.execute("SELECT chunk_id, data FROM vector").fetchall())
    among = ids[3::50]
    query = np.frombuffer(stored[ids[0]], dtype="<f4")
    found = index(store, home, flat_below=flat_below).search(query, len(among) + 5, among)
    cosines = {
        number: float(np.frombuffer(stored[number], dtype="<f4") @ query) for number in among
    }
    assert {number for number, _ in found} == set(among)
    assert all(abs(score - cosines[number]) < 2e-3 for number, score in found)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_what_came_and_went_in_between_is_seen_without_a_rebuild(store: Store, home: Home) -> None:
    for name in ("a.md", "b.md", "c.md", "e.md", "f.md"):
        write(store, name, [f"{name} {number}" for number in range(100)])
    embed_all(store)
    searching = index(store, home)
    query = np.eye(WIDTH, dtype=np.float32)[0]
    searching.search(query, 5)
    documents.delete(store, 1, "b.md")
    write(store, "d.md", [f"d {number}" for number in range(50)])
    embed_all(store, seed=4)
    found = {number for number, _ in searching.search(query, 1000)}
    assert found == set(store.column("SELECT id FROM chunk"))
    assert searching.builds == 1


# -- filters -------------------------------------------------------------------------------------


def test_a_file_that_was_only_touched_is_found_by_its_new_time(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    note = folder / "a.md"
    note.write_text("The harbour opens at seven.\n")
    os.utime(note, (1_600_000_000, 1_600_000_000))
    store = open_store(home.database)
    documents.add_root(store, str(folder))

    class Nothing:
        name, dim = "toy", WIDTH

        def embed(self, texts: Sequence[str]) -> np.ndarray:
            return np.ones((len(texts), WIDTH), dtype=np.float32) / WIDTH**0.5

        def close(self) -> None: ...

    run_intake(home, store, Config(), embedder=Nothing())
    search = Search(store, home, Nothing())
    assert search.search("harbour after:2024") == []
    os.utime(note, (1_750_000_000, 1_750_000_000))
    run_intake(home, store, Config(), embedder=Nothing())
    assert len(search.search("harbour after:2024")) == 1
    store.close()
