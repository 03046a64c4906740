"""Filters among the words of a query, and answers that are remembered until the index changes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightschool.config import Config
from nightschool.index.query import parse
from nightschool.index.search import Search
from nightschool.intake import run_intake
from nightschool.paths import Home
from nightschool.store import documents
from nightschool.store.db import Store, open_store


class Letters:
    """A tiny embedder: how often each letter occurs. Counts how often it was asked."""

    name = "letters"
    dim = 26

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += 1
        rows = np.array(
            [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], np.float32
        )
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def close(self) -> None: ...


FILES = {
    "trade/plan.md": ("The harbour project starts in May.", "2024-05-03"),
    "trade/old/plan.txt": ("The harbour project of last year.", "2023-02-01"),
    "home_2/harbour.md": ("We saw the harbour on holiday.", "2024-04-30"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Store, Path]]:
    base = tmp_path_factory.mktemp("filters")
    folder = base / "notes"
    for name, (text, day) in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
        at = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
        os.utime(path, (at, at))
    home = Home(base / "home").create()
    store = open_store(home.database)
    documents.add_root(store, str(folder))
    run_intake(home, store, Config(), embedder=Letters())
    yield home, store, folder
    store.close()


def found(place: tuple[Home, Store, Path], query: str) -> set[str]:
    home, store, _ = place
    return {hit.locator.path for hit in Search(store, home, Letters()).search(query)}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("harbour", set(FILES)),
        ("harbour in:trade", {"trade/plan.md", "trade/old/plan.txt"}),
        ("harbour in:old", {"trade/old/plan.txt"}),
        ("harbour in:trade/old type:md", set()),
        ("harbour in:notes", set(FILES)),
        ("harbour in:home_2 in:old", {"home_2/harbour.md", "trade/old/plan.txt"}),
        ("harbour in:home%", set()),
        ("harbour in:homeX2", set()),
        ("type:txt harbour", {"trade/old/plan.txt"}),
        ("harbour type:markdown", {"trade/plan.md", "home_2/harbour.md"}),
        ("harbour after:2024-05", {"trade/plan.md"}),
        ("harbour before:2024-05-01", {"trade/old/plan.txt", "home_2/harbour.md"}),
        ("harbour after:2024 before:2024-05", {"home_2/harbour.md"}),
        ("harbour type:pdf", set()),
        ("in:trade", set()),
    ],
)
def test_filters_choose_files(place: tuple[Home, Store, Path], query: str, names: set[str]) -> None:
    assert found(place, query) == names


def test_a_folder_may_be_given_by_its_whole_path(place: tuple[Home, Store, Path]) -> None:
    assert found(place, f"harbour in:{place[2]}") == set(FILES)
    assert found(place, f'harbour in:"{place[2]}/trade/old"') == {"trade/old/plan.txt"}


def test_what_is_no_filter_stays_a_word() -> None:
    assert parse("after:lunch type: what").text == "after:lunch type: what"
    assert not parse("after:2024-13").filtered
    assert parse('in:"My Notes" cats').folders == ("My Notes",)
    assert parse("cats  after:2024 dogs").text == "cats dogs"


@given(st.text(max_size=80))
def test_any_text_can_be_asked(text: str) -> None:
    assert parse(text).text == " ".join(parse(text).text.split())


def test_the_same_query_is_not_computed_twice_until_the_index_changes(
    place: tuple[Home, Store, Path],
) -> None:
    home, store, _ = place
    encoder = Letters()
    search = Search(store, home, encoder)
    first = search.search("harbour")
    assert search.search("harbour") == first and encoder.asked == 1
    documents.save_vectors(store, "letters", [])
    assert search.search("harbour") == first and encoder.asked == 2
