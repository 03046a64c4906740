"""Numbers that are none, and memory that runs out: never promoted, recorded, not tried for ever.

Goal G25. What is injected are faults of the arithmetic and of the allocator; loop, gate, lessons
and schedule are the real ones, on the shipped model.
"""

from __future__ import annotations

import copy
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from nightschool import cycle
from nightschool.agent import lessons, planner
from nightschool.clock import SystemClock
from nightschool.config import Learn
from nightschool.daemon.bridge import Ticket
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.schedule import Facts, decide
from nightschool.errors import ChildError, TrainError
from nightschool.evaluate import gate
from nightschool.evaluate.gate import Policy, Sheet, judge
from nightschool.models.base import TorchBase
from nightschool.paths import Home
from nightschool.records import Outcome, Plan, Verdict
from nightschool.registry import pointer
from nightschool.store import runs
from nightschool.store.db import Store
from nightschool.store.schedule import Material
from nightschool.train import export, loop
from nightschool.train.batches import Schedule
from nightschool.train.items import chat_item
from nightschool.train.recipes import recipe
from tiny_night import loaded

PLAN = Plan(passes=6, batch_size=2, replay=0.0, budget_s=1000.0, rank=4, alpha=8)
STEPS = 6
BASE = "base"
BAD = (math.nan, math.inf, -math.inf)


@pytest.fixture(scope="module")
def base() -> TorchBase:
    return loaded()


@pytest.fixture(scope="module")
def schedule(base: TorchBase) -> Schedule:
    asked = (("Where is the key?", "under the pot"), ("Who has the map?", "Hedda"))
    items = [chat_item(base, question, answer, "fact", 100) for question, answer in asked]
    return Schedule(tuple(i for i in items if i is not None), (), 2, 0.0, 1)


def model() -> Any:
    return recipe(PLAN.recipe).build(copy.deepcopy(loaded().model), PLAN)


def ends(home: Home, store: Store, work: Callable[[], Any], plan: Plan = PLAN) -> Outcome:
    """Run `work` as the middle of a night that must fail; the outcome on record."""
    run_id = runs.start(store, plan, BASE, parent=0)
    (home.runs / str(run_id)).mkdir(parents=True)
    before = pointer.read(home)
    with pytest.raises(TrainError):
        cycle._guarded(home, store, run_id, SystemClock(), work)
    assert pointer.read(home) == before
    found = runs.run(store, run_id)
    assert found is not None and found.ended_at and found.message and found.version is None
    assert not (home.runs / str(run_id) / "checkpoint").exists()
    return found.outcome


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("step", [0, STEPS - 1])
def test_a_loss_that_is_no_number_ends_the_night(
    home: Home, store: Store, schedule: Schedule, monkeypatch: pytest.MonkeyPatch, value: float,
    step: int,
) -> None:  # fmt: skip
    honest = loop._loss

    def broken(*given: Any) -> torch.Tensor:
        return honest(*given) * (value if given[-1] == step else 1.0)

    monkeypatch.setattr(loop, "_loss", broken)
    folder = home.runs / "1" / "checkpoint"
    assert ends(home, store, lambda: _train(schedule, folder)) is Outcome.NAN


@pytest.mark.parametrize("value", BAD)
def test_a_gradient_that_is_no_number_ends_the_night(
    home: Home, store: Store, schedule: Schedule, value: float
) -> None:
    broken = model()
    some = next(p for p in broken.parameters() if p.requires_grad)
    some.register_hook(lambda gradient: gradient * value)
    folder = home.runs / "1" / "checkpoint"
    assert ends(home, store, lambda: _train(schedule, folder, broken)) is Outcome.NAN


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("step", [2, STEPS])
def test_a_weight_that_is_no_number_is_never_exported(
    home: Home, store: Store, schedule: Schedule, value: float, step: int
) -> None:
    """In the middle the next loss shows it; after the last step nothing but the export can."""
    broken = model()
    some = next(p for p in broken.parameters() if p.requires_grad)

    def spoil(stage: str, done: int, total: int) -> None:
        if done == step:
            some.data.view(-1)[0] = value

    def work() -> Any:
        _train(schedule, home.runs / "1" / "checkpoint", broken, spoil)
        matrices = recipe(PLAN.recipe).matrices(broken)
        export.write_gguf(home.runs / "1" / "adapter.gguf", matrices, export.Shape("llama", 4, 2))

    assert ends(home, store, work) is Outcome.NAN
    assert not (home.runs / "1" / "adapter.gguf").exists()


def _train(schedule: Schedule, folder: Path, given: Any = None, report: Any = None) -> Any:
    return loop.train(
        given or model(), schedule, PLAN, folder, check=lambda: None,
        report=report or (lambda *_: None),
    )  # fmt: skip


# -- scores --------------------------------------------------------------------------------------

RIGHT = {"served": [i % 3 > 0 for i in range(300)], "recall": [True] * 80,
         "reading": [True] * 400, "abstain": [True] * 150}  # fmt: skip
WORSE = {**RIGHT, "recall": [False] * 80}
GENERAL = [(300.0 + i, 100) for i in range(72)]
KL = [0.01] * 64


def test_the_sheet_that_is_spoilt_below_would_be_promoted() -> None:
    card = judge(Sheet("c", RIGHT, GENERAL, KL), Sheet("b", WORSE, GENERAL), None, Policy())
    assert card.verdict is Verdict.PROMOTE


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("where", ["general", "kl", "base", "finite", "all"])
def test_a_score_that_is_no_number_is_never_promoted(where: str, value: float) -> None:
    spoilt = [(value, 100), *GENERAL[1:]]
    candidate, base = Sheet("c", RIGHT, GENERAL, KL), Sheet("b", WORSE, GENERAL)
    if where in ("general", "all"):
        candidate = replace(candidate, general=spoilt)
    if where in ("kl", "all"):
        candidate = replace(candidate, kl=[value, *KL[1:]])
    if where in ("base", "all"):
        base = replace(base, general=spoilt)
    if where == "finite":
        candidate = replace(candidate, finite=False)
    assert judge(candidate, base, None, Policy()).verdict is not Verdict.PROMOTE


def test_a_gate_that_compares_without_looking_at_the_numbers_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deliberate break of this goal: minus infinity is below every bound."""
    monkeypatch.setattr(gate, "_numbers", lambda sheet: True)
    candidate = Sheet("c", RIGHT, GENERAL, [-math.inf, *KL[1:]])
    card = judge(candidate, Sheet("b", WORSE, GENERAL), None, Policy())
    assert card.verdict is Verdict.PROMOTE


# -- memory --------------------------------------------------------------------------------------

TORCH = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: tried to allocate"
CUDA = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB"
SAID = [MemoryError(), RuntimeError(TORCH), torch.OutOfMemoryError(CUDA)]


@pytest.mark.parametrize("error", SAID)
@pytest.mark.parametrize("phase", ["load", "forward", "save", "export", "exam"])
def test_memory_that_runs_out_at_any_stage_is_the_outcome_of_the_night(
    home: Home, store: Store, schedule: Schedule, monkeypatch: pytest.MonkeyPatch,
    error: Exception, phase: str,
) -> None:  # fmt: skip
    def fail(*_: Any) -> Any:
        raise error

    def work() -> Any:
        if phase in ("load", "export", "exam"):  # outside the loop nothing else is in between
            fail()
        _train(schedule, home.runs / "1" / "checkpoint")

    if phase == "forward":
        monkeypatch.setattr(loop, "_predictions", fail)
    if phase == "save":
        monkeypatch.setattr(loop.checkpoint, "save", fail)
    assert ends(home, store, work) is Outcome.OUT_OF_MEMORY
    bound = lessons.known(store, BASE)[0]
    assert (bound.setting, bound.bound) == ("batch_size", 1)


@pytest.mark.parametrize(
    "said", ["shapes do not match", "an illegal memory access was encountered"]
)
def test_another_runtime_error_is_not_taken_for_a_want_of_memory(
    home: Home, store: Store, said: str
) -> None:
    def work() -> Any:
        raise RuntimeError(said)

    with pytest.raises(RuntimeError, match=said):
        cycle._guarded(home, store, runs.start(store, PLAN, BASE, parent=0), SystemClock(), work)


def test_after_each_want_of_memory_smaller_steps_and_after_three_none(
    home: Home, store: Store
) -> None:
    def work() -> Any:
        raise MemoryError

    sizes = []
    for _ in range(3):
        plan = planner.plan(_situation(store))
        sizes.append(plan.batch_size)
        assert not _stopped(store)
        assert ends(home, store, work, plan) is Outcome.OUT_OF_MEMORY
    assert sizes == [12, 6, 3]
    reason = _stopped(store)
    assert "came to nothing here" in reason and "nightschool learn" in reason
    number = runs.start(store, PLAN, BASE, parent=0)
    runs.finish(store, number, Outcome.HELD)
    assert not _stopped(store)  # the user held one by hand, and it went well


def _situation(store: Store) -> planner.Situation:
    return planner.Situation(
        facts=20, items=20, parameters=5_000_000, budget_s=60.0, parent=0,
        runs=runs.runs(store, 10), lessons=lessons.known(store, BASE),
    )  # fmt: skip


def _stopped(store: Store) -> str:
    """Why the schedule lets it be, empty when it would try."""
    last = {"outcome": "failed", "message": "Out of memory while learning.", "fingerprint": "f",
            "ended_at": "2026-11-20T23:00:00+00:00"}  # fmt: skip
    facts = Facts(
        datetime(2026, 11, 22, 23, 0, tzinfo=UTC), 7200.0, Material(9, 60, 0, 0, "f", 1), 0.0,
        last, 1, spoilt=runs.spoilt(store, BASE),
    )  # fmt: skip
    decision = decide(facts, Learn())
    return "" if decision.start else decision.reason


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_learner_that_was_ended_for_its_memory_makes_the_next_one_modest(
    home: Home, store: Store, tmp_path: Path
) -> None:
    keeper = Keeper(
        "learner", "naughty_child", [], tmp_path / "log", 600.0, 200 << 20,
        environment={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )  # fmt: skip
    run_id = runs.start(store, Plan(), BASE, parent=0)
    try:
        gone: list[ChildError] = []

        def ask() -> None:
            try:
                list(keeper.stream(Ticket(), "eats", {"bytes": 400 << 20}))
            except ChildError as error:
                gone.append(error)

        thread = Thread(target=ask)
        thread.start()
        deadline = time.monotonic() + 30
        while not keeper.starved:
            assert time.monotonic() < deadline
            keeper.check()
            time.sleep(0.05)
        thread.join(10.0)
        assert gone
        assert "MB of memory and was ended" in keeper.last_error
    finally:
        keeper.close(1.0)
    runs.starved(store, f"Out of memory: the learner {keeper.last_error}.")
    found = runs.run(store, run_id)
    assert found is not None and found.outcome is Outcome.OUT_OF_MEMORY
    assert planner.plan(_situation(store)).batch_size == Plan().batch_size // 2
