"""Search by words and by meaning, and a FAISS cache that may be lost or damaged at any time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightschool.index import lexical
from nightschool.index.embed import BulkMiniLM, QuickMiniLM, embed_backlog
from nightschool.index.fuse import diverse, fuse
from nightschool.index.search import Search
from nightschool.index.vectors import VectorIndex, to_bytes
from nightschool.paths import Home
from nightschool.records import Chunk, Document, FileStatus, Locator
from nightschool.store import documents
from nightschool.store.db import Store, open_store

NOTES = {
    "boiler.md": [
        "The boiler was serviced on 6 March by Oskar.",
        "The stopcock is under the stairs.",
    ],
    "cake.md": ["Bake the plum cake for fifty minutes.", "Whisk eggs and sugar until pale."],
    "parts.md": ["Probe TX-44 costs 11.80 pounds.", "The radio module draws little current."],
    "cat.md": ["Tuppence went to the vet because of a sore paw."],
}


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    made = open_store(home.database)
    root = documents.add_root(made, "/notes")
    for path, passages in NOTES.items():
        write(made, root.id, path, passages)
    yield made
    made.close()


def write(store: Store, root_id: int, path: str, passages: list[str]) -> int:
    chunks = [Chunk(i, text, text, Locator(path)) for i, text in enumerate(passages)]
    item = Document(root_id, path, 1, 1, path, FileStatus.INDEXED, title=path.partition(".")[0])
    return documents.save(store, item, chunks)


def found(search: Search, query: str, k: int = 3) -> list[str]:
    return [hit.locator.path for hit in search.search(query, k)]


# -- what a user asks ----------------------------------------------------------------------------


def test_words_are_found_as_soon_as_a_file_is_stored(store: Store, home: Home) -> None:
    search = Search(store, home, None)
    assert found(search, "Who serviced the boiler?")[0] == "boiler.md"
    assert found(search, "TX-44")[0] == "parts.md"
    assert search.note == "Searched by words only: no embedder is loaded."


def test_other_words_of_the_same_meaning_are_found(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    search = Search(store, home, encoder)
    assert found(search, "animal doctor") == []
    assert "7 passages wait" in search.note
    assert embed_backlog(store, encoder) == 7
    hits = search.search("animal doctor", 3)
    assert hits[0].locator.path == "cat.md"
    assert (hits[0].lexical_rank, hits[0].dense_rank) == (None, 1)
    assert hits[0].similarity is not None and hits[0].similarity > 0.2
    assert search.note == ""


def test_a_passage_that_both_rankings_like_comes_first(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    embed_backlog(store, encoder)
    hits = Search(store, home, encoder).search("how long does the plum cake bake?", 4)
    assert hits[0].text == "Bake the plum cake for fifty minutes."
    assert (hits[0].lexical_rank, hits[0].dense_rank) == (1, 1)
    assert hits[0].score == pytest.approx(2 / 61)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_new_file_is_found_by_words_before_it_has_vectors(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    embed_backlog(store, encoder)
    search = Search(store, home, encoder)
    search.search("boiler")
    write(store, 1, "bike.md", ["The bicycle frame has number WF9."])
    assert found(search, "WF9 frame")[0] == "bike.md"
    assert search.note.startswith("1 passages wait")


def test_a_deleted_file_is_never_found_again(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    embed_backlog(store, encoder)
    search = Search(store, home, encoder)
    assert "cat.md" in found(search, "the vet", 7)
    documents.delete(store, 1, "cat.md")
    assert "cat.md" not in found(search, "the vet", 7)
    assert "cat.md" not in found(search, "animal doctor", 7)


def test_an_edit_is_found_by_its_new_meaning(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    embed_backlog(store, encoder)
    search = Search(store, home, encoder)
    write(store, 1, "cat.md", ["Our parrot learned to whistle."])
    assert embed_backlog(store, encoder) == 1
    assert found(search, "talking bird")[0] == "cat.md"
    assert not any("vet" in hit.text for hit in search.search("animal doctor", 7))


def test_one_long_file_does_not_crowd_out_the_others(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    write(store, 1, "mill.md", [f"The mill by the river, part {n}." for n in range(9)])
    write(store, 1, "trip.md", ["On the trip we saw a mill beside a stream, and a heron."])
    embed_backlog(store, encoder)
    assert "trip.md" in found(Search(store, home, encoder), "mill by the river", 4)
    plain = Search(store, home, encoder, per_document=0)
    assert found(plain, "mill by the river", 4) == ["mill.md"] * 4


@pytest.mark.parametrize(
    "query",
    ["", "   ", '"', "'", "*", "AND", "OR NOT", "NEAR(", 'a"b', "boiler OR", "title:x", "-boiler",
     "{boiler}", "(", "^boiler", "col:*", "boiler\x00", "\ud800", "🙂", "a" * 100_000,
     "' OR 1=1 --", "…", "is it the", "TX-44 & (x | y)!", "l'été c'est", "C++ foo_bar #tag @me"],
)  # fmt: skip
def test_odd_queries_do_not_fail(
    store: Store, home: Home, encoder: QuickMiniLM, query: str
) -> None:
    embed_backlog(store, encoder)
    assert isinstance(Search(store, home, encoder).search(query), list)


@given(st.text(max_size=60))
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_query_at_all_breaks_the_full_text(store: Store, query: str) -> None:
    lexical.search(store, query, 5)


def test_small_words_count_only_when_there_are_no_others() -> None:
    assert lexical.terms("When was the boiler's TX-44 serviced?") == ["boiler", "tx-44", "serviced"]
    assert lexical.terms("to be or not to be") == ["to", "be", "or", "not"]
    assert lexical.expression('say "hi" AND go') == '"say" OR "hi" OR "go"'


# -- fusing --------------------------------------------------------------------------------------


def test_ranks_are_fused_and_ties_keep_their_order() -> None:
    fused = fuse([["a", "b", "c"], ["b", "d"]])
    assert [item for item, _ in fused] == ["b", "a", "d", "c"]
    assert fused[0][1] == pytest.approx(1 / 62 + 1 / 61)


def test_diversity_moves_and_never_loses() -> None:
    ranked = [("a1", 5.0), ("a2", 4.0), ("a3", 3.0), ("b1", 2.0)]
    group = {item: item[0] for item, _ in ranked}
    assert [item for item, _ in diverse(ranked, group, 2)] == ["a1", "a2", "b1", "a3"]
    assert diverse(ranked, group, 0) == ranked


# -- vectors -------------------------------------------------------------------------------------


def test_both_encoders_give_the_same_vectors(encoder: QuickMiniLM) -> None:
    """Else the vectors of one could not be searched with the other."""
    texts = [text for passages in NOTES.values() for text in passages]
    texts += ["Ein Satz auf Deutsch, mit Häuschen.", "x", "word " * 400]
    bulk = BulkMiniLM(threads=1)
    cosines = np.sum(encoder.embed(texts) * bulk.embed(texts), axis=1)
    assert cosines.min() >= 0.999
    assert (bulk.name, bulk.dim) == (encoder.name, encoder.dim)


def test_a_long_note_says_in_every_vector_what_it_is_on(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    write(store, 1, "Dishwasher.md", ["It was repaired in May.", "The filter is under the basket."])
    embed_backlog(store, encoder)
    hits = Search(store, home, encoder).search("when was the machine for plates mended?", 1)
    assert hits[0].text == "It was repaired in May."


def vectors(store: Store, home: Home, encoder: QuickMiniLM) -> VectorIndex:
    return VectorIndex(store, home.index, encoder.name, encoder.dim)


def test_the_cache_is_used_when_it_is_right(store: Store, home: Home, encoder: QuickMiniLM) -> None:
    embed_backlog(store, encoder)
    first = vectors(store, home, encoder)
    first.refresh()
    second = vectors(store, home, encoder)
    second.refresh()
    assert (first.builds, second.builds, len(second)) == (1, 0, 7)
    query = encoder.embed(["the vet"])[0]
    assert first.search(query, 7) == second.search(query, 7)


@pytest.mark.parametrize("damage", ["no index", "no sidecar", "flipped", "cut", "sidecar"])
def test_a_missing_or_damaged_cache_is_built_again(
    store: Store, home: Home, encoder: QuickMiniLM, damage: str
) -> None:
    embed_backlog(store, encoder)
    before = vectors(store, home, encoder)
    query = encoder.embed(["the vet"])[0]
    expected = before.search(query, 7)
    file, sidecar = home.index / f"{encoder.name}.faiss", home.index / f"{encoder.name}.json"
    data = bytearray(file.read_bytes())
    if damage == "no index":
        file.unlink()
    elif damage == "no sidecar":
        sidecar.unlink()
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[:100])
    else:
        sidecar.write_text("{]")
    after = vectors(store, home, encoder)
    assert after.search(query, 7) == expected
    assert after.builds == 1


def test_a_stale_cache_is_brought_in_step(store: Store, home: Home, encoder: QuickMiniLM) -> None:
    embed_backlog(store, encoder)
    vectors(store, home, encoder).refresh()
    write(store, 1, "cat.md", ["Our parrot learned to whistle."])
    write(store, 1, "bike.md", ["The bicycle has a new chain."])
    embed_backlog(store, encoder)
    query = encoder.embed(["talking bird"])[0]
    stale = vectors(store, home, encoder)
    found = stale.search(query, 9)
    assert stale.builds == 0
    stale.save()
    later = vectors(store, home, encoder)
    assert later.search(query, 9) == found
    for file in home.index.iterdir():
        file.unlink()
    fresh = vectors(store, home, encoder)
    assert [n for n, _ in fresh.search(query, 9)] == [n for n, _ in found]
    assert (later.builds, fresh.builds, len(found)) == (0, 1, 8)


def test_a_new_title_gives_its_passages_new_vectors(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    write(store, 1, "Dishwasher.md", ["It was repaired in May."])
    embed_backlog(store, encoder)
    index = vectors(store, home, encoder)
    query = encoder.embed(["a boat"])[0]
    before = dict(index.search(query, 9))
    documents.move(store, 1, "Dishwasher.md", "Sailing boat.md", 2, "Sailing boat")
    embed_backlog(store, encoder)
    after = dict(index.search(query, 9))
    (changed,) = [number for number in after if abs(after[number] - before[number]) > 1e-6]
    assert after[changed] > before[changed] + 0.2
    assert index.builds == 1, "nothing else was built again"


def test_the_cache_of_another_database_is_not_taken(
    store: Store, home: Home, encoder: QuickMiniLM, tmp_path: Path
) -> None:
    embed_backlog(store, encoder)
    vectors(store, home, encoder).refresh()
    other = open_store(tmp_path / "other.db")
    documents.add_root(other, "/notes")
    while documents.generation(other) < documents.generation(store):
        write(other, 1, "a.md", [f"text {documents.generation(other)}"])
    index = vectors(other, home, encoder)
    index.refresh()
    assert (index.builds, len(index)) == (1, 0)
    other.close()


def test_every_change_of_passages_is_seen_at_the_next_search(
    store: Store, home: Home, encoder: QuickMiniLM
) -> None:
    embed_backlog(store, encoder)
    index = vectors(store, home, encoder)
    query = encoder.embed(["the vet"])[0]
    before = {number for number, _ in index.search(query, 9)}
    documents.delete(store, 1, "cat.md")
    after = {number for number, _ in index.search(query, 9)}
    assert len(before) == 7 and after < before


def test_a_large_index_with_inverted_lists_finds_nearly_the_same(store: Store, home: Home) -> None:
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(60, 32))
    matrix = centres[draw.integers(0, 60, 3000)] + 0.6 * draw.normal(size=(3000, 32))
    matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    write(store, 1, "many.md", [f"passage {n}" for n in range(3000)])
    ids = [chunk.id for _, chunk in documents.without_vector(store, "toy", 5000)][-3000:]
    documents.save_vectors(store, "toy", zip(ids, to_bytes(matrix), strict=True))
    exact = VectorIndex(store, home.index / "a", "toy", 32)
    listed = VectorIndex(store, home.index / "b", "toy", 32, flat_below=1000)
    shared = 0
    for query in matrix[::100]:
        shared += len(
            {n for n, _ in exact.search(query, 10)} & {n for n, _ in listed.search(query, 10)}
        )
    assert shared / 300 >= 0.9
    again = VectorIndex(store, home.index / "b", "toy", 32, flat_below=1000)
    assert again.search(matrix[0], 5) == listed.search(matrix[0], 5)
    write(store, 1, "many.md", [f"passage {n}" for n in range(100, 3000)])
    left = {number for number, _ in listed.search(matrix[0], 2900)}
    assert left and not left & set(ids[:100])
    assert len(listed) == 2900
    assert (again.builds, listed.builds) == (0, 1)


def test_an_empty_index_finds_nothing(home: Home, encoder: QuickMiniLM, tmp_path: Path) -> None:
    store = open_store(tmp_path / "empty.db")
    assert Search(store, home, encoder).search("anything") == []
    store.close()
