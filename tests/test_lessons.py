"""The same mistake is not made twice on one device; a plan says what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nightschool.agent import lessons, planner
from nightschool.api import Night
from nightschool.cli.nights import planned
from nightschool.records import Outcome, Plan
from nightschool.store import runs, state
from nightschool.store.db import Store, open_store

BASE = "c" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(tmp_path / "nightschool.db")
    yield made
    made.close()


def failed(store: Store, plan: Plan, message: str) -> lessons.Lesson | None:
    run_id = runs.start(store, plan, BASE, parent=0)
    runs.finish(store, run_id, lessons.classify(message), message=message)
    return lessons.remember(store, run_id)


def tonight(store: Store, **wishes: object) -> Plan:
    situation = planner.Situation(
        facts=80, items=500, parameters=5_000_000, budget_s=240, parent=0,
        runs=runs.runs(store, 10), lessons=lessons.known(store, BASE),
        recipe=str(wishes.pop("set_recipe", "lora")),
    )  # fmt: skip
    return planner.plan(situation, wishes)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("The loss became nan at step 3.", Outcome.NAN),
        ("Layer 2 up_proj is not finite.", Outcome.NAN),
        ("Out of memory while learning.", Outcome.OUT_OF_MEMORY),
        ("… logits differ by 3.0 of 20.", Outcome.PARITY_FAILED),
        ("No practice item fits.", Outcome.FAILED),
    ],
)
def test_every_way_a_training_fails_has_its_class(message: str, outcome: Outcome) -> None:
    assert lessons.classify(message) is outcome


def test_a_batch_that_did_not_fit_is_halved_for_good(store: Store) -> None:
    failed(store, Plan(batch_size=12), "Out of memory while learning.")
    for _ in range(4):  # good nights in between do not make it forget
        done = runs.start(store, Plan(batch_size=6), BASE, parent=0)
        runs.finish(store, done, Outcome.PROMOTED)
    plan = tonight(store)
    assert plan.batch_size == 6
    assert "did not fit into memory" in plan.hypothesis
    failed(store, plan, "Out of memory while learning.")
    assert tonight(store).batch_size == 3


def test_a_machine_with_more_memory_may_try_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(store, Plan(batch_size=12), "Out of memory while learning.")
    total = state.get(store, f"lessons/{BASE}")[0]["memory"]
    monkeypatch.setattr(lessons, "_memory", lambda: 2 * total)
    assert tonight(store).batch_size == Plan().batch_size


def test_a_rate_that_diverged_is_never_planned_again(store: Store) -> None:
    failed(store, Plan(learning_rate=2e-3), "The loss became nan at step 9.")
    for _ in range(4):
        done = runs.start(store, Plan(), BASE, parent=0)
        runs.finish(store, done, Outcome.PROMOTED)
    assert tonight(store).learning_rate == pytest.approx(1e-3)


def test_a_recipe_whose_export_failed_is_not_planned_but_may_be_wished(store: Store) -> None:
    failed(store, Plan(recipe="osf"), "… logits differ by 3.0 of 20.")
    assert tonight(store, set_recipe="osf").recipe == "lora"
    assert tonight(store, recipe="osf").recipe == "osf"


def test_lessons_of_another_base_do_not_count(store: Store) -> None:
    failed(store, Plan(batch_size=12), "Out of memory while learning.")
    assert lessons.known(store, "d" * 64) == []


def test_a_good_night_leaves_no_lesson_and_the_plan_as_it_was(store: Store) -> None:
    before = tonight(store)
    done = runs.start(store, Plan(), BASE, parent=0)
    runs.finish(store, done, Outcome.PROMOTED)
    assert lessons.remember(store, done) is None
    assert tonight(store) == before


def test_the_estimate_is_bounded_by_the_budget_and_sharpened_by_the_last_night() -> None:
    plan = Plan(passes=8, batch_size=12, budget_s=240.0)
    blind = lessons.estimate(plan, 500, 900_000_000, None)
    assert blind["practice_s"] == 240.0 and blind["exams_s"] is None
    known = lessons.estimate(plan, 500, 900_000_000, lessons.Pace(0.1, 12, 90.0))
    assert known["steps"] == 500 and known["practice_s"] == 50.0
    assert known["memory"] == 900_000_000 and known["free"] > 0
    merge = lessons.estimate(replace(plan, passes=0), 500, 1, None)
    assert merge["practice_s"] == 0.0


def test_a_dry_run_says_why_with_what_and_how_long() -> None:
    from dataclasses import asdict

    needs = lessons.estimate(Plan(), 500, 900_000_000, lessons.Pace(0.1, 12, 90.0))
    night = Night(0, Outcome.RUNNING, "planned", plan=asdict(Plan()), estimate=needs)
    words = planned(night, "80 of 200 facts fit.")
    for part in ("Hypothesis:", "Expected:", "Recipe lora", "MB of memory", "1.5 min of exams"):
        assert part in words, words
