"""Which weights a night may move. One readable page a recipe; none imports another.

A recipe is a function `(model, plan) -> PeftModel`. A new one is a new file and a line in
`RECIPES`. There is no base class: what recipes share are the pure functions of `train`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from nightschool.errors import UsageError
from nightschool.records import Plan

RECIPES: dict[str, str] = {
    "lora": "nightschool.train.recipes.lora",
}


def recipe(name: str) -> Callable[[Any, Plan], Any]:
    """The `build` function of a recipe. Raises UsageError that lists the known ones."""
    if name not in RECIPES:
        known = ", ".join(sorted(RECIPES))
        raise UsageError(f"There is no recipe {name!r}.", f"Choose one of: {known}.")
    build: Callable[[Any, Plan], Any] = import_module(RECIPES[name]).build
    return build
