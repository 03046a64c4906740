"""The per-file table: indexed, waiting, skipped and why, redacted, learned where, last seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightschool.clock import FakeClock, iso
from nightschool.config import Config
from nightschool.index.embed import NAME
from nightschool.intake import run_intake
from nightschool.paths import Home
from nightschool.records import Document, Outcome, Pair, PairKind, Plan, Root, Split, Version
from nightschool.sources.reconcile import reconcile
from nightschool.store import documents, pairs, runs, versions
from nightschool.store.db import Store, open_store
from test_search_filters import Letters


@pytest.fixture
def school(tmp_path: Path) -> Iterator[tuple[Home, Store, Root, Path]]:
    home = Home(tmp_path / "home").create()
    store = open_store(home.database)
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nThe key is AKIAIOSFODNN7EXAMPLE, keep it.\n")
    (folder / "b.xyz").write_text("binary")
    root = documents.add_root(store, str(folder))
    run_intake(home, store, Config(), embedder=Letters())
    yield home, store, root, folder
    store.close()


def one(store: Store, root: Root, path: str) -> Document:
    found = documents.by_path(store, root.id, path)
    assert found is not None
    return found


def test_each_file_says_where_it_stands(school: tuple[Home, Store, Root, Path]) -> None:
    _, store, root, _ = school
    item = one(store, root, "a.md")
    assert (item.status, item.chunks, item.waiting) == ("indexed", 1, 0)
    assert sum(item.redactions.values()) == 1
    skipped = one(store, root, "b.xyz")
    assert skipped.status == "skipped" and skipped.reason


def test_a_passage_without_a_vector_is_said_to_wait(
    school: tuple[Home, Store, Root, Path],
) -> None:
    _, store, root, _ = school
    with store.transaction() as db:
        db.execute("DELETE FROM vector")
    assert one(store, root, "a.md").waiting == 1
    assert documents.without_vector(store, NAME)


def test_learned_in_follows_a_file_that_was_moved(school: tuple[Home, Store, Root, Path]) -> None:
    home, store, root, folder = school
    item = one(store, root, "a.md")
    chunk = documents.chunks_of(store, item.id)[0]
    made = Pair(PairKind.CLOSED, "?", "key", "key", "f", 0, Split.TRAIN, (chunk.id,))
    pairs.replace(store, item.id, [made])
    run = runs.start(store, Plan(), "b", parent=0)
    runs.record_documents(store, run, {item.id: 1})
    runs.finish(store, run, Outcome.PROMOTED)
    versions.add(store, Version(1, "b", "promoted", "", run_id=run))
    (folder / "a.md").rename(folder / "moved.md")
    run_intake(home, store, Config(), embedder=Letters())
    moved = one(store, root, "moved.md")
    assert (moved.id, moved.learned_in, moved.pairs) == (item.id, (1,), 1)


def test_last_seen_is_the_last_whole_comparison(school: tuple[Home, Store, Root, Path]) -> None:
    _, store, root, _ = school
    later = datetime.now(UTC) + timedelta(hours=1)
    documents.seen(store, root.id, FakeClock(later))
    assert one(store, root, "a.md").last_seen == iso(later)
    reconcile(store, root, Config().files, only=["a.md"])
    assert one(store, root, "a.md").last_seen == iso(later)
    reconcile(store, root, Config().files)
    assert one(store, root, "a.md").last_seen < iso(later)
