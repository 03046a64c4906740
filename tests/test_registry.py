"""Versions: immutable, one atomic pointer, rollback that needs no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightschool.errors import NotFound, Refused, StoreError
from nightschool.paths import Home
from nightschool.records import Outcome, Plan
from nightschool.registry import pointer, versions
from nightschool.store import db, runs
from nightschool.store import versions as rows
from nightschool.store.db import Store

BASE = "b" * 64


@pytest.fixture
def store(home: Home) -> Store:
    return db.open_store(home.database)


def candidate(home: Home, text: str) -> Path:
    folder = home.runs / text
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter.gguf").write_bytes(text.encode())
    (folder / "plan.toml").write_text("rank = 16\n")
    return folder


def promoted(home: Home, store: Store, text: str, base: str = BASE) -> int:
    run = runs.start(store, Plan(), base, parent=0)
    runs.finish(store, run, Outcome.PROMOTED)
    version = versions.register(
        home, store, candidate(home, text), base_sha=base, status="promoted", scale=0.5, run_id=run
    )
    versions.promote(home, store, version)
    return version.number


def test_a_new_home_serves_the_base(home: Home, store: Store) -> None:
    assert pointer.read(home).version == 0
    assert versions.describe(home, store)[-1].current


def test_promotion_moves_the_pointer_and_rollback_moves_it_back(home: Home, store: Store) -> None:
    first = promoted(home, store, "one")
    second = promoted(home, store, "two")
    assert pointer.read(home).version == second
    assert versions.rollback(home, store).number == first
    assert pointer.read(home).version == first
    assert versions.rollback(home, store).number == 0
    with pytest.raises(Refused, match="nothing to roll back"):
        versions.rollback(home, store)


def test_the_scale_that_passed_its_exams_is_the_scale_that_is_served(
    home: Home, store: Store
) -> None:
    promoted(home, store, "one")
    assert pointer.read(home).scale == 0.5


def test_a_held_version_is_kept_but_not_served(home: Home, store: Store) -> None:
    run = runs.start(store, Plan(), BASE, parent=0)
    held = versions.register(
        home, store, candidate(home, "h"), base_sha=BASE, status="held", scale=1.0, run_id=run
    )
    with pytest.raises(Refused, match="held"):
        versions.use(home, store, held.number)
    assert pointer.read(home).version == 0


def test_an_adapter_changed_after_its_exams_is_refused(home: Home, store: Store) -> None:
    number = promoted(home, store, "one")
    versions.use(home, store, 0)
    (home.versions / f"v{number}" / "adapter.gguf").write_bytes(b"other")
    with pytest.raises(Refused, match="changed after its exams"):
        versions.use(home, store, number)
    assert pointer.read(home).version == 0


def test_a_version_of_another_base_is_refused(home: Home, store: Store) -> None:
    number = promoted(home, store, "one")
    with pytest.raises(Refused, match="another base"):
        versions.use(home, store, number, base_sha="c" * 64)


def test_numbers_are_never_reused_even_after_a_crash_left_a_directory(
    home: Home, store: Store
) -> None:
    (home.versions / "v4").mkdir()
    assert promoted(home, store, "one") == 5


def test_an_unknown_version_is_named(home: Home, store: Store) -> None:
    with pytest.raises(NotFound, match="no version 9"):
        versions.use(home, store, 9)


def test_a_damaged_pointer_says_what_to_do_and_can_be_mended(home: Home, store: Store) -> None:
    home.pointer.write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        pointer.read(home)
    assert versions.use(home, store, 0).number == 0
    assert pointer.read(home).version == 0


def test_the_manifest_carries_hash_base_and_run(home: Home, store: Store) -> None:
    number = promoted(home, store, "one")
    found = versions.manifest(home, number)
    version = rows.version(store, number)
    assert version is not None
    assert found["adapter_sha"] == version.sha256
    assert found["base_sha"] == BASE
    assert json.loads((home.versions / f"v{number}" / "manifest.json").read_text()) == found


def test_a_blocked_version_is_never_rolled_back_to(home: Home, store: Store) -> None:
    first = promoted(home, store, "one")
    promoted(home, store, "two")
    rows.set_status(store, first, "blocked", "its document was deleted")
    assert versions.rollback(home, store).number == 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(["promote", "rollback", "base", "use"]), max_size=12))
def test_whatever_happens_the_served_version_passed_its_exams_and_loads(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    home = Home(tmp_path_factory.mktemp("h")).create()
    store = db.open_store(home.database)
    for number, step in enumerate(steps):
        if step == "promote":
            promoted(home, store, f"c{number}")
        elif step == "rollback":
            before = pointer.read(home)
            try:
                versions.rollback(home, store)
            except Refused:
                assert not [n for n in before.history if n != before.version] or not before.history
        elif step == "base":
            versions.use(home, store, 0)
        elif known := rows.versions(store):
            versions.use(home, store, known[number % len(known)].number)
        present = pointer.read(home)
        if present.version:
            version = rows.version(store, present.version)
            assert version is not None and version.status in ("promoted", "retired")
            assert versions.verify(home, version).is_file()
    store.close()
