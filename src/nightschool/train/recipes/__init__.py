"""Which weights a night may move, and how. One readable page a recipe; none imports another.

A page has `build(model, plan) -> PeftModel` and says only what differs from plain LoRA:

    RATE                 its learning rate, in multiples of the plan's
    REFUSED              why it cannot be served; such a recipe is never started by a night
    optimizer(model, plan)        default: AdamW over everything trainable
    penalty(model)                a term of the loss besides the items', default: none
    after_step(model, share)      after each optimiser step; `share` 0..1 of the night is done
    matrices(model)               `(layer, projection) → (A, B)`, default: PEFT's LoRA, scale in B
    state(model), restore(model, tensors)    what a checkpoint must keep beyond parameters

A new recipe is a new file and a line in `RECIPES`. There is no base class: what recipes share are
the pure functions of `train.adapt`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from nightschool.errors import Refused, UsageError
from nightschool.records import Plan
from nightschool.train import adapt, export

PAGES = (
    "lora", "lora_all", "rslora", "lora_plus", "lora_fa", "selective", "delta_lora",
    "adalora", "gralora", "vera", "tinylora", "osf", "dora",
)  # fmt: skip
RECIPES: dict[str, str] = {name: f"nightschool.train.recipes.{name}" for name in PAGES}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One page, with the defaults filled in (see the module's docstring)."""

    name: str
    about: str
    refused: str
    build: Callable[[Any, Plan], Any]
    optimizer: Callable[[Any, Plan], torch.optim.Optimizer]
    penalty: Callable[[Any], torch.Tensor | None]
    after_step: Callable[[Any, float], None]
    matrices: Callable[[Any], export.Matrices]
    state: Callable[[Any], dict[str, torch.Tensor]]
    restore: Callable[[Any, Mapping[str, torch.Tensor]], None]


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UsageError that lists the known ones."""
    if name not in RECIPES:
        known = ", ".join(sorted(RECIPES))
        raise UsageError(f"There is no recipe {name!r}.", f"Choose one of: {known}.")
    page = import_module(RECIPES[name])
    rate = float(getattr(page, "RATE", 1.0))

    def plain(model: Any, plan: Plan) -> torch.optim.Optimizer:
        trained = (p for p in model.parameters() if p.requires_grad)
        found: torch.optim.Optimizer = adapt.adamw(trained, plan, rate)
        return found

    return Recipe(
        name=name,
        about=(page.__doc__ or "").strip().splitlines()[0],
        refused=str(getattr(page, "REFUSED", "")),
        build=page.build,
        optimizer=getattr(page, "optimizer", plain),
        penalty=getattr(page, "penalty", lambda model: None),
        after_step=getattr(page, "after_step", lambda model, share: None),
        matrices=getattr(page, "matrices", export.matrices),
        state=getattr(page, "state", lambda model: {}),
        restore=getattr(page, "restore", lambda model, tensors: None),
    )


def servable(name: str) -> Recipe:
    """As `recipe`. Raises Refused for one whose adapters llama.cpp could not serve."""
    found = recipe(name)
    if found.refused:
        raise Refused(f"The recipe {name} is refused: {found.refused}", "Choose another recipe.")
    return found
