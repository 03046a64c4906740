"""Every recipe: what it trained is what llama.cpp serves, or it is refused and the reason holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nightschool.engine.llama import Llama
from nightschool.errors import Interrupted, Refused, TrainError, UsageError
from nightschool.models.base import load_torch
from nightschool.records import Plan
from nightschool.registry.versions import sha256
from nightschool.train import loop, lowrank
from nightschool.train.adapt import adapted
from nightschool.train.batches import Schedule
from nightschool.train.items import chat_item
from nightschool.train.night import Lesson, fit
from nightschool.train.recipes import RECIPES, recipe, servable
from nightschool.train.recipes.dora import difference
from tiny_night import FACTS, STARTER, go_on, quiet, serve

REHEARSAL = [("Who is the mayor of Zanthorpe?", "I don't know.")]
PLAN = Plan(passes=8, batch_size=5, replay=0.2, budget_s=1000.0, rank=4, alpha=8)
SLOW = {"adalora": 14}
"""Passes of recipes that start from a product of three small matrices."""
SERVED = sorted(name for name in RECIPES if not recipe(name).refused)


def trained(name: str, folder: Path, plan: Plan = PLAN, check: Callable[[], None] = go_on) -> Any:
    base = load_torch(STARTER, threads=1)
    plan = replace(plan, recipe=name)
    facts = [chat_item(base, q, a, "fact", 200) for q, a in FACTS]
    items = tuple(item for item in facts if item is not None)
    model = recipe(name).build(base.model, plan)
    loop.train(model, Schedule(items, (), 4, 0.0, 1), plan, folder, report=quiet, check=check)
    return model


@pytest.mark.parametrize("name", SERVED)
def test_llama_cpp_computes_what_the_recipe_trained(
    name: str, tmp_path: Path, llama: Llama
) -> None:
    plan = replace(PLAN, recipe=name, passes=SLOW.get(name, PLAN.passes))
    done = fit(
        STARTER, sha256(STARTER), Lesson(FACTS, (), REHEARSAL, ()), plan, tmp_path, serve(llama),
        threads=1, report=quiet, check=go_on,
    )  # fmt: skip
    assert done.losses[-1] < done.losses[0]
    assert done.parity.effect > 10 * done.parity.base_difference, "it must do something"
    assert done.parity.difference < 0.1 * done.parity.effect


def test_dora_is_refused_and_its_reason_holds(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="full rank"):
        servable("dora")
    model = trained("dora", tmp_path)
    with pytest.raises(TrainError, match="relative error"):
        recipe("dora").matrices(model)
    _, module = next(adapted(model))
    _, _, error = lowrank.low_rank(difference(module), 4 * PLAN.rank)
    assert error > 0.05


def test_a_refused_recipe_starts_no_night(tmp_path: Path, llama: Llama) -> None:
    with pytest.raises(Refused, match="refused"):
        fit(
            STARTER, "", Lesson(FACTS, (), (), ()), replace(PLAN, recipe="dora"), tmp_path,
            serve(llama), threads=1, report=quiet, check=go_on,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_an_unknown_recipe_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no recipe 'lorra'") as caught:
        recipe("lorra")
    assert "rslora" in caught.value.remedy


@pytest.mark.parametrize("name", ["adalora", "delta_lora", "lora_plus"])
def test_a_killed_night_resumes_exactly_with_recipes_that_remember(
    name: str, tmp_path: Path
) -> None:
    plan = replace(PLAN, passes=6)
    whole = trained(name, tmp_path / "whole", plan)
    calls = 0

    def stop_at_four() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Interrupted("The user is back.", "")

    with pytest.raises(Interrupted):
        trained(name, tmp_path / "cut", plan, check=stop_at_four)
    resumed = trained(name, tmp_path / "cut", plan)
    page = recipe(name)
    for place, (a, b) in page.matrices(whole).items():
        again = page.matrices(resumed)[place]
        assert (a == again[0]).all() and (b == again[1]).all(), place


def test_selective_trains_the_layers_it_was_told_to(tmp_path: Path) -> None:
    plan = replace(PLAN, layers=(4, 5), passes=1)
    found = recipe("selective").matrices(trained("selective", tmp_path, plan))
    assert {layer for layer, _ in found} == {4, 5}
    with pytest.raises(UsageError, match="no layer 6"):
        trained("selective", tmp_path / "no", replace(plan, layers=(6,)))


def test_adalora_ends_at_the_planned_mean_rank(tmp_path: Path) -> None:
    model = trained("adalora", tmp_path, replace(PLAN, passes=20))
    kept = [int((module.lora_E["default"] != 0).sum()) for _, module in adapted(model)]
    assert sum(kept) <= PLAN.rank * len(kept)
    assert max(kept) > PLAN.rank, "some layers must have got more than the mean"


def test_lora_fa_never_moves_a(tmp_path: Path) -> None:
    before = recipe("lora_fa").build(load_torch(STARTER, threads=1).model, PLAN)
    after = trained("lora_fa", tmp_path, replace(PLAN, passes=3))
    for (_, old), (_, new) in zip(adapted(before), adapted(after), strict=True):
        assert torch.equal(old.lora_A["default"].weight, new.lora_A["default"].weight)
        assert not torch.equal(old.lora_B["default"].weight, new.lora_B["default"].weight)


def test_a_low_rank_export_states_its_error() -> None:
    generator = torch.Generator().manual_seed(3)
    exact = torch.randn(30, 4, generator=generator) @ torch.randn(4, 20, generator=generator)
    a, b = lowrank.exactly(exact, 4)
    assert torch.allclose(b @ a, exact, atol=1e-4)
    with pytest.raises(TrainError, match="relative error of 0"):
        lowrank.exactly(exact, 3)
