"""Giving way: the last whole step is kept, whenever it happens, and nothing else is lost."""

from __future__ import annotations

import copy
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from nightschool import cycle, exams
from nightschool.errors import Interrupted
from nightschool.evaluate import probes
from nightschool.evaluate.subject import Material
from nightschool.models.base import TorchBase
from nightschool.records import Plan
from nightschool.train import loop, preference, soft
from nightschool.train.batches import Schedule
from nightschool.train.items import Item, chat_item, text_items
from nightschool.train.preference import DISLIKED, LIKED
from nightschool.train.recipes import recipe
from tiny_night import go_on, loaded, quiet

PLAN = Plan(
    passes=10, batch_size=4, replay=0.5, budget_s=1000.0, rank=4, alpha=8, distil=0.3,
    preference=0.2,
)  # fmt: skip
"""Every loss that asks the base once an item and keeps its answer."""


@pytest.fixture(scope="module")
def base() -> TorchBase:
    return loaded()


@pytest.fixture(scope="module")
def lesson(base: TorchBase) -> Schedule:
    def item(question: str, answer: str, group: str) -> Item:
        found = chat_item(base, question, answer, group, 200)
        assert found is not None
        return found

    facts = [item(f"Where is key {n}?", f"in box {n * 7}", "fact") for n in range(5)]
    taught = {f: item(f"Key {n} is in box {n * 7}. Where is key {n}?", f"in box {n * 7}", "teacher")
              for n, f in enumerate(facts)}  # fmt: skip
    replay = [item(f"Who rules {n}?" + " really" * n, "I don't know.", "rehearsal")
              for n in range(5)]  # fmt: skip
    replay += text_items(base, ["The river bends twice before the mill, under old willows."], 32)
    judged = (item("Is it so?", "yes", LIKED), item("And now?", "no", DISLIKED))
    return Schedule(tuple(facts), tuple(replay), 4, 0.5, 3, judged, taught)


def fresh() -> Any:
    return recipe(PLAN.recipe).build(copy.deepcopy(loaded().model), PLAN)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.fixture(scope="module", autouse=True)
def company() -> Iterator[None]:
    """What the base says of an item depends in its last bits on the items asked beside it.

    It does so by itself on some processors and not on others (an AMD EPYC with AVX-512); here it
    does on each, so that asking in other company is seen wherever these tests run.
    """

    def asked(model: Any, batch: Sequence[Item]) -> list[torch.Tensor]:
        among = zlib.crc32(repr([item.ids for item in batch]).encode()) % 64
        return [logits * (1 + among * 2**-22) for logits in answer_logits(model, batch)]

    answer_logits = soft.answer_logits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soft, "answer_logits", asked)
        patch.setattr(preference, "answer_logits", asked)
        yield


@pytest.fixture(scope="module")
def whole(
    lesson: Schedule, company: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    model = fresh()
    loop.train(model, lesson, PLAN, tmp_path_factory.mktemp("whole"), report=quiet, check=go_on)
    return weights(model)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


def test_a_step_that_takes_too_long_costs_only_itself(
    lesson: Schedule, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """The user comes in the middle of step 7, and the process is killed before it ends."""
    folder, stopping, steps = tmp_path / "c", threading.Event(), 0
    model = fresh()

    def at_step_seven(*_: object) -> None:
        if steps == 7 and not stopping.is_set():
            stopping.set()
            deadline = time.monotonic() + 10
            while not (folder / "state.json").exists():
                assert time.monotonic() < deadline, "the last whole step was never written"
                time.sleep(0.01)
            raise Killed

    def count(stage: str, done: int, total: int) -> None:
        nonlocal steps
        steps = done

    model.register_forward_pre_hook(at_step_seven)
    with pytest.raises(Killed):
        loop.train(model, lesson, PLAN, folder, report=count, check=go_on, stopping=stopping)
    second = fresh()
    done = loop.train(second, lesson, PLAN, folder, report=quiet, check=go_on)
    assert done.resumed_at == 7
    for name, tensor in weights(second).items():
        assert torch.equal(tensor, whole[name]), name


def test_a_night_that_gives_way_again_and_again_ends_in_the_very_same_weights(
    lesson: Schedule, whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    chance, stops, lost = random.Random(11), 0, 0

    def someday() -> None:
        if chance.random() < 0.25:
            raise Interrupted("The user is back.", "")

    reached = 0
    model = fresh()
    while True:
        starts: list[int] = []

        def note(stage: str, done: int, total: int, starts: list[int] = starts) -> None:
            starts.append(done)

        try:
            loop.train(model, lesson, PLAN, tmp_path / "c", report=note, check=someday)
        except Interrupted:
            stops += 1
            lost += bool(starts) and starts[0] != reached + 1
            reached = starts[-1] if starts else reached
            model = fresh()
            continue
        break
    assert stops >= 4
    assert lost == 0
    for name, tensor in weights(model).items():
        assert torch.equal(tensor, whole[name]), name


def test_labels_that_are_asked_in_other_company_would_be_noticed(
    lesson: Schedule, whole: dict[str, torch.Tensor], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The deliberate break of this goal: a resumed night that asks the base anew."""
    steps = 0

    def at_three() -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise Interrupted("The user is back.", "")

    with pytest.raises(Interrupted):
        loop.train(fresh(), lesson, PLAN, tmp_path / "c", report=quiet, check=at_three)
    monkeypatch.setattr(loop, "_remember", lambda *_: None)
    model = fresh()
    loop.train(model, lesson, PLAN, tmp_path / "c", report=quiet, check=go_on)
    assert not all(torch.equal(tensor, whole[name]) for name, tensor in weights(model).items())


def test_whoever_comes_during_the_exams_costs_no_practice(
    lesson: Schedule, tmp_path: Path, whole: dict[str, torch.Tensor]
) -> None:
    loop.train(fresh(), lesson, PLAN, tmp_path / "c", report=quiet, check=go_on)
    again = fresh()
    done = loop.train(again, lesson, PLAN, tmp_path / "c", report=quiet, check=go_on)
    assert done.resumed_at == done.steps
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights(again).items())


# -- exams ---------------------------------------------------------------------------------------


class Asked:
    """A subject that counts what it is asked."""

    name = "the candidate"

    def __init__(self) -> None:
        self.count = 0

    def generate(self, messages: Any, *, max_tokens: int = 64) -> str:
        self.count += 1
        return "I don't know."

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AssertionError(f"{name} is not asked by these probes")


NAMES = ("reading", "abstain", "safety")


def test_exams_stop_between_two_questions_and_go_on_with_the_probe_they_broke_off(
    tmp_path: Path,
) -> None:
    limit = 450  # in the second probe

    def check() -> None:
        if first.count >= limit:
            raise Interrupted("The user is back.", "")

    first = Asked()
    tick = cycle._pausing(quiet, check)
    kept = exams.Kept(tmp_path / "exams.json", "these")
    with pytest.raises(Interrupted):
        probes.examine(first, Material(), tick, NAMES, kept.of("candidate"))
    assert first.count == limit
    second, alone = Asked(), Asked()
    again = exams.Kept(tmp_path / "exams.json", "these").read()
    resumed = probes.examine(second, Material(), quiet, NAMES, again.of("candidate"))
    whole = probes.examine(alone, Material(), quiet, NAMES)
    assert resumed == whole
    assert 0 < second.count < alone.count
    other = exams.Kept(tmp_path / "exams.json", "other questions").read()
    assert other.of("candidate").get("reading") is None
    (tmp_path / "exams.json").write_text("{damaged")
    assert (
        exams.Kept(tmp_path / "exams.json", "these").read().of("candidate").get("reading") is None
    )
