"""Nights that continue, relearn and merge: from the right versions, exactly, and never from one
that has seen a file which is gone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nightschool import regime
from nightschool.clock import FakeClock
from nightschool.config import Learn
from nightschool.engine.llama import Llama
from nightschool.errors import Refused, TrainError, UsageError
from nightschool.ingest.reading import read
from nightschool.models.base import load_torch
from nightschool.pairs.rules import RuleWriter
from nightschool.pairs.synthesize import write_pairs
from nightschool.paths import Home
from nightschool.records import Document, FileStatus, Outcome, Plan
from nightschool.registry import versions
from nightschool.registry.versions import sha256
from nightschool.store import documents, pairs, runs
from nightschool.store import versions as rows
from nightschool.store.db import Store, open_store
from nightschool.syllabus import syllabus
from nightschool.train import export
from nightschool.train.merge import merge
from nightschool.train.night import Lesson, fit
from nightschool.train.recipes import recipe
from pair_notes import NOTES
from tiny_night import FACTS, STARTER, go_on, quiet, serve

PLAN = Plan(passes=10, batch_size=5, replay=0.2, budget_s=1000.0, rank=4, alpha=8)
SHAPE = export.Shape("llama", heads=4, kv_heads=2)
BASE = "b" * 64
CONTINUE = Learn(regime="continue")


def matrices(seed: int, rank: int = 4) -> export.Matrices:
    dice = np.random.default_rng(seed)

    def half(*shape: int) -> export.Matrix:
        return dice.normal(size=shape).astype(np.float32)

    sizes = {"q_proj": (256, 256), "k_proj": (128, 256), "up_proj": (704, 256)}
    return {
        (0, part): (half(rank, width), half(rows, rank)) for part, (rows, width) in sizes.items()
    }


def thin(seed: int) -> export.Matrices:
    """One small place: merging needs no more."""
    dice = np.random.default_rng(seed)
    a, b = dice.normal(size=(4, 48)), dice.normal(size=(64, 4))
    return {(0, "up_proj"): (a.astype(np.float32), b.astype(np.float32))}


def change(adapter: export.Matrices, part: str = "up_proj") -> np.ndarray[Any, Any]:
    a, b = adapter[0, part]
    found: np.ndarray[Any, Any] = b @ a
    return found


# -- merging ---------------------------------------------------------------------------------------


def test_a_linear_merge_is_the_mean_of_the_changes() -> None:
    one, two = thin(1), thin(2)
    merged, error = merge("linear", [one, two], rank=8)
    assert error < 1e-3
    assert np.allclose(change(merged), (change(one) + change(two)) / 2, atol=1e-3)


def test_ties_averages_only_what_agrees_with_the_elected_sign() -> None:
    def adapter(values: list[float]) -> export.Matrices:
        return {(0, "up_proj"): (np.eye(4, dtype=np.float32), np.diag(values).astype(np.float32))}

    one, two = adapter([4.0, 1.0, -3.0, 2.0]), adapter([2.0, -5.0, -1.0, 0.0])
    merged, _ = merge("ties", [one, two], rank=4)
    assert np.allclose(np.diag(change(merged)), [3.0, -5.0, -2.0, 2.0], atol=1e-4)


def test_slerp_keeps_the_length_that_a_mean_would_lose() -> None:
    one, two = thin(1), thin(2)
    arc, _ = merge("slerp", [one, two], rank=8)
    mean, _ = merge("linear", [one, two], rank=8)
    length = np.linalg.norm(change(one))
    assert np.linalg.norm(change(arc)) > 0.95 * length
    assert np.linalg.norm(change(mean)) < 0.8 * length


def test_dare_is_seeded_and_right_on_average() -> None:
    pair = [thin(1), thin(2)]
    once, again = merge("dare", pair, 48, seed=3)[0], merge("dare", pair, 48, seed=3)[0]
    assert np.array_equal(change(once), change(again))
    wanted = (change(pair[0]) + change(pair[1])) / 2
    slope = float((change(once) * wanted).sum() / (wanted * wanted).sum())
    assert slope == pytest.approx(1.0, abs=0.05)


def test_a_merge_states_what_its_rank_loses() -> None:
    _, exact = merge("linear", [thin(1), thin(2)], rank=8)
    _, short = merge("linear", [thin(1), thin(2)], rank=4)
    assert exact < 1e-3 < 0.1 < short
    with pytest.raises(UsageError, match="no merge"):
        merge("average", [thin(1), thin(2)], 4)
    with pytest.raises(TrainError, match="two adapters"):
        merge("ties", [thin(1)], 4)


# -- starting warm ---------------------------------------------------------------------------------


def test_what_was_written_is_read_back_with_its_scale(tmp_path: Path) -> None:
    written = matrices(5)
    export.write_gguf(tmp_path / "a.gguf", written, SHAPE)
    back = export.read_gguf(tmp_path / "a.gguf", SHAPE, scale=0.5)
    assert export.rank_of(tmp_path / "a.gguf") == 4
    for place, (a, b) in written.items():
        assert np.array_equal(back[place][0], a)
        assert np.allclose(back[place][1], b * 0.5)


def test_practice_goes_on_from_the_version_that_is_served(tmp_path: Path, llama: Llama) -> None:
    def night(folder: str, plan: Plan, start: Any = None) -> Any:
        return fit(
            STARTER, sha256(STARTER), Lesson(FACTS, (), (), ()), plan, tmp_path / folder,
            serve(llama), start=start, threads=1, report=quiet, check=go_on,
        )  # fmt: skip

    first = night("first", replace(PLAN, passes=16))
    adapter = first.directory / "adapter.gguf"

    def start(shape: export.Shape) -> export.Matrices:
        return export.read_gguf(adapter, shape, 0.8)

    second = night("second", replace(PLAN, start="parent", passes=1), start)
    assert second.losses[0] < 0.8 * first.losses[0], "it begins where the first one ended"
    merged = night("merged", replace(PLAN, start="merge:linear", passes=0), start)
    assert merged.steps == 0
    as_served = logits(llama, adapter, 0.8)
    assert np.allclose(as_served, logits(llama, merged.directory / "adapter.gguf", 1.0), atol=0.05)


def logits(llama: Llama, adapter: Path, scale: float) -> Any:
    """Of the first question, with an adapter at a scale."""
    llama.activate(llama.adapter(adapter), scale)
    return llama.logits(llama.prompt([("user", FACTS[0][0])]))[-1].copy()


def test_a_start_of_another_rank_or_place_is_refused() -> None:
    model = recipe("lora").build(load_torch(STARTER, threads=1).model, PLAN)
    with pytest.raises(TrainError, match="of layer 0, this recipe does not"):
        export.warm(model, matrices(1))
    only_up = {(0, "up_proj"): matrices(1, rank=8)[0, "up_proj"]}
    with pytest.raises(TrainError, match="rank 8"):
        export.warm(model, only_up)
    fitting = {(0, "up_proj"): matrices(1)[0, "up_proj"]}
    export.warm(model, fitting)
    assert torch.isfinite(next(iter(model.parameters()))).all()


# -- which start -----------------------------------------------------------------------------------


class School:
    """A home with files, and nights that are written rather than held."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root).create()
        self.store: Store = open_store(self.home.database)
        self.clock = FakeClock(datetime(2026, 11, 1, 3, tzinfo=UTC))
        self.root = documents.add_root(self.store, "/notes", learn=True).id
        for path, text in NOTES.items():
            found = read(text.encode(), path)
            sha = hashlib.sha256(text.encode()).hexdigest()
            item = Document(self.root, path, len(text), 1, sha, FileStatus.INDEXED)
            documents.save(self.store, item, found.chunks)

    def night(self, start: str = "base", facts: Sequence[str] = ("f1", "f2")) -> int:
        """A promoted night a day later; its version."""
        self.clock.at += timedelta(days=1)
        plan = Plan(start=start)
        run_id = runs.start(self.store, plan, BASE, parent=0, clock=self.clock)
        counts = {item.id: 3 for item in documents.documents(self.store)}
        runs.record_documents(self.store, run_id, counts)
        candidate = self.home.runs / str(run_id) / "candidate"
        candidate.mkdir(parents=True)
        export.write_gguf(candidate / "adapter.gguf", matrices(run_id), SHAPE)
        regime.note(candidate, regime.Start(), frozenset(facts))
        made = versions.register(
            self.home, self.store, candidate, base_sha=BASE, status="promoted", scale=0.9,
            run_id=run_id, clock=self.clock,
        )  # fmt: skip
        versions.promote(self.home, self.store, made)
        runs.finish(self.store, run_id, Outcome.PROMOTED, version=made.number, clock=self.clock)
        return made.number

    def choose(self, learn: Learn = CONTINUE, name: str = "lora", wish: str = "") -> regime.Start:
        return regime.choose(self.home, self.store, learn, BASE, name, self.clock, wish)


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    made = School(tmp_path / "home")
    yield made
    made.store.close()


def test_the_default_starts_every_night_at_the_base_and_changes_no_plan(school: School) -> None:
    school.night()
    start = school.choose(Learn())
    assert start == regime.Start()
    assert start.settings() == {} and Plan().start == "base"


def test_a_night_continues_from_the_served_version_with_its_whole_lineage(school: School) -> None:
    assert school.choose().kind == "base", "nothing is served yet"
    number = school.night(facts=("a", "b"))
    start = school.choose()
    assert (start.kind, start.versions, start.rank) == ("parent", (number,), 4)
    assert start.facts == {"a", "b"}
    assert set(start.lineage) == {item.id for item in documents.documents(school.store)}
    plan = start.settings()
    assert (plan["parent"], plan["rank"]) == (number, 4)


def test_every_week_it_is_relearned_from_the_base(school: School) -> None:
    school.night()
    for _ in range(5):
        school.night("parent")
    assert school.choose().kind == "parent"
    school.night("parent")
    school.clock.at += timedelta(days=1)
    relearn = school.choose()
    assert relearn.kind == "base" and "7 days" in relearn.why


def test_a_merge_is_proposed_once_before_relearning(school: School) -> None:
    learn = replace(CONTINUE, relearn_days=2, merge="ties")
    school.night()
    school.night("parent")
    school.clock.at += timedelta(days=1)
    start = school.choose(learn)
    assert start.kind == "merge:ties" and len(start.versions) == 2
    assert start.settings()["passes"] == 0
    load = regime.matrices(school.home, school.store, start, start.rank, seed=1)
    assert load is not None and load(SHAPE)[0, "up_proj"][0].shape[0] == 8
    school.night("merge:ties")
    assert school.choose(learn).kind == "base"


def test_a_version_that_saw_a_file_which_is_gone_is_never_continued(school: School) -> None:
    school.night()
    item = documents.documents(school.store)[0]
    with school.store.transaction() as db:
        db.execute("DELETE FROM document WHERE id=?", (item.id,))
    start = school.choose()
    assert start.kind == "base" and item.path in start.why
    with pytest.raises(Refused, match="which is gone"):
        school.choose(wish="parent")


def test_an_interrupted_night_keeps_its_start_unless_its_parent_is_blocked(school: School) -> None:
    number = school.night()
    broken = runs.start(school.store, Plan(start="parent", parent=number), BASE, parent=number)
    found = runs.run(school.store, broken)
    assert found is not None
    start = school.choose(Learn())
    assert start.kind == "parent" and start.resumes(found)
    rows.set_status(school.store, number, "blocked", "its file was forgotten")
    anew = school.choose(Learn())
    assert anew.kind == "base" and not anew.resumes(found)


def test_recipes_that_cannot_go_on_start_at_the_base(school: School) -> None:
    school.night()
    assert school.choose(name="vera").kind == "base"


@pytest.mark.parametrize("wish", ["yesterday", "merge:magic"])
def test_a_start_that_does_not_exist_is_named(school: School, wish: str) -> None:
    with pytest.raises(UsageError, match=wish):
        school.choose(wish=wish)
    with pytest.raises(UsageError, match="sometimes"):
        school.choose(Learn(regime="sometimes"))


def test_a_night_that_continues_takes_new_facts_first_and_asks_about_all_old_ones(
    school: School,
) -> None:
    write_pairs(school.store, [RuleWriter()], None, None)
    every = list(dict.fromkeys(p.fact for p in pairs.all_pairs(school.store) if not p.context))
    first = syllabus(school.store, set(), 12)
    second = syllabus(school.store, first.sources, 12, 0.0, first.chosen)
    assert second.new == second.available - 12 > 12
    assert len(second.chosen & first.chosen) == 3 and second.facts == 12
    assert second.material.old, "what was learned before is asked"
    assert len(second.material.old) >= len(first.material.recall) - 3
    assert every


def test_the_facts_of_a_version_travel_with_it_as_hashes(school: School, tmp_path: Path) -> None:
    regime.note(tmp_path, regime.Start(facts=frozenset({"x"})), frozenset({"y"}))
    assert json.loads((tmp_path / "facts.json").read_text(encoding="utf-8")) == ["x", "y"]
    assert regime.practised(tmp_path / "nowhere") == set()
