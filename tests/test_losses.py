"""Losses beside the facts': what was liked becomes likelier, what was disliked less likely, and a
model that reads right with the passage teaches itself without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nightschool.models.base import TorchBase, load_torch
from nightschool.records import Plan
from nightschool.train import loop
from nightschool.train.batches import Schedule
from nightschool.train.distil import Distillation
from nightschool.train.items import Item, chat_item
from nightschool.train.preference import DISLIKED, LIKED, Preferences, logprobs, mismatched
from nightschool.train.recipes import recipe
from nightschool.train.soft import SoftLabels, answer_logits

STARTER = Path(__file__).parents[1] / "src/nightschool/models/box/starter.gguf"
PLAN = Plan(passes=12, batch_size=2, replay=0.0, budget_s=1000.0, rank=4, alpha=8, preference=4.0)
NOTE = "Context:\nThe jar is green. The tin is blue.\n\nQuestion: What colour is the jar?"


@pytest.fixture(scope="module")
def base() -> TorchBase:
    return load_torch(STARTER, threads=1)


def item(base: TorchBase, prompt: str, answer: str, group: str) -> Item:
    found = chat_item(base, prompt, answer, group, 200)
    assert found is not None
    return found


def trained(schedule: Schedule, plan: Plan, folder: Path) -> Any:
    model = recipe("lora").build(load_torch(STARTER, threads=1).model, plan)
    loop.train(model, schedule, plan, folder, report=lambda *_: None, check=lambda: None)
    return model


def test_liked_answers_become_likelier_and_disliked_ones_less(
    base: TorchBase, tmp_path: Path
) -> None:
    fact = item(base, "Where is the Brannok key kept?", "under the flowerpot", "fact")
    judged = (
        item(base, "Who tunes the piano?", "Hedda Quarnby", LIKED),
        item(base, "When is the market?", "on Sunday", DISLIKED),
    )
    schedule = Schedule((fact,), (), 1, 0.0, 1, judged)
    model = trained(schedule, PLAN, tmp_path / "kto")
    with torch.no_grad():
        after = logprobs(model, list(judged))
        with model.disable_adapter():
            before = logprobs(model, list(judged))
    assert after[0] > before[0] + 0.5
    assert after[1] < before[1]
    assert after[0] - before[0] > after[1] - before[1] + 0.5


def test_without_a_weight_judged_answers_change_nothing(base: TorchBase, tmp_path: Path) -> None:
    fact = item(base, "Where is the Brannok key kept?", "under the flowerpot", "fact")
    judged = (item(base, "When is the market?", "on Sunday", DISLIKED),)
    plan = replace(PLAN, preference=0.0, passes=3)
    plain = trained(Schedule((fact,), (), 1, 0.0, 1), plan, tmp_path / "a")
    weighed = trained(Schedule((fact,), (), 1, 0.0, 1, judged), plan, tmp_path / "b")
    for one, other in zip(plain.parameters(), weighed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_untrained_adapter_is_neither_rewarded_nor_punished(base: TorchBase) -> None:
    model = recipe("lora").build(load_torch(STARTER, threads=1).model, PLAN)
    judged = [
        item(base, "Who tunes the piano?", "Hedda Quarnby", LIKED),
        item(base, "When is the market?", "on Sunday", DISLIKED),
    ]
    assert float(Preferences(model).loss(judged).detach()) == pytest.approx(0.5, abs=1e-4)
    assert len(mismatched(judged)) == 2 and mismatched(judged[:1]) == []


def test_the_base_with_the_passage_teaches_the_answer_without_it(
    base: TorchBase, tmp_path: Path
) -> None:
    plain = item(base, "What colour is the jar?", "green", "fact")
    teacher = item(base, NOTE, "green", "teacher")
    other = item(base, "Where is the Brannok key kept?", "under the flowerpot", "fact")
    schedule = Schedule((plain, other), (), 2, 0.0, 1, (), {plain: teacher})
    model = trained(schedule, replace(PLAN, preference=0.0, distil=1.0, passes=10), tmp_path)
    taught = Distillation(model, schedule.taught, SoftLabels(model))
    with torch.no_grad():
        after = float(taught.loss([(plain, answer_logits(model, [plain])[0])]))
        with model.disable_adapter():
            before = float(taught.loss([(plain, answer_logits(model, [plain])[0])]))
    assert before > 1.0, "the base knows it only with the passage"
    assert after < before / 2


def test_a_teacher_that_reads_wrong_teaches_nothing(base: TorchBase) -> None:
    model = recipe("lora").build(load_torch(STARTER, threads=1).model, PLAN)
    plain = item(base, "What colour is the jar?", "purple", "fact")
    wrong = item(base, NOTE, "purple", "teacher")
    taught = Distillation(model, {plain: wrong}, SoftLabels(model))
    assert float(taught.loss([(plain, answer_logits(model, [plain])[0].detach())])) == 0.0
