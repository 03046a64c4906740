"""The rule planner: tonight's plan from the size of the task, the budget and past outcomes.

A planner is a function `(Situation) -> Plan`; a new one is one new file. What it may see of
earlier nights are outcomes and settings, never an examined item.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from nightschool.agent.lessons import Lesson, heed
from nightschool.errors import TooLittle, UsageError
from nightschool.records import Outcome, Plan, Run

RATE_CUT = 0.5
"""After a night that diverged or forgot too much, the learning rate is multiplied by this."""


PRESENTATIONS = 44
"""Showings of a fact, all its wordings together, until the starter knows most of them."""
TOKENS_A_FACT = 27
FACT_SHARE = 0.5
FLOPS_PER_CORE = 20e9
LARGE_FLOPS_PER_CORE = 40e9
"""Wider matrices use a core better."""
MIN_LIMIT = 40
LARGE = 30_000_000
"""Parameters from which every fact costs minutes: such a night takes fewer of them, or none, where
a small model's simply tries `MIN_LIMIT`."""
SHORT_TEMPLATE = 4
"""Tokens of a question mark in the starter's chat template; others bring more, each time."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is made from. `parameters` is the base model's size; `runs` newest first,
    `lessons` what nights on it have taught."""

    facts: int
    items: int
    parameters: int
    budget_s: float
    parent: int
    runs: Sequence[Run] = ()
    lessons: Sequence[Lesson] = ()
    recipe: str = "lora"
    distil: float = 0.0
    preference: float = 0.0


def plan(situation: Situation, wishes: Mapping[str, Any] | None = None) -> Plan:
    """Tonight's plan; `wishes` are the user's own settings by field name and win.

    Raises UsageError for a wish that is no setting of a plan.
    """
    chosen = replace(
        Plan(),
        recipe=situation.recipe,
        distil=situation.distil,
        preference=situation.preference,
        learning_rate=learning_rate(situation.parameters),
        rank=16,
        alpha=32,
        budget_s=situation.budget_s,
        parent=situation.parent,
    )
    for run in situation.runs[:3]:
        if run.outcome in (Outcome.NAN, Outcome.REJECTED):
            chosen = replace(
                chosen,
                learning_rate=chosen.learning_rate * RATE_CUT,
                hypothesis=f"run {run.id} was {run.outcome}: half its learning rate forgets less",
            )
            break
        if run.outcome is Outcome.PROMOTED:
            break
    chosen, used = heed(chosen, situation.lessons)
    if used:
        chosen = replace(chosen, hypothesis=f"{used[0].why} (night {used[0].run}); less will do")
    known = {item.name: item.type for item in fields(Plan)}
    unknown = set(wishes or {}) - set(known)
    if unknown:
        raise UsageError(
            f"A plan has no setting {sorted(unknown)[0]!r}.", f"It has: {', '.join(known)}."
        )
    try:
        given = {k: _like(k, getattr(chosen, k), v) for k, v in (wishes or {}).items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"A setting of the plan is ill-typed: {error}.", "") from error
    return replace(chosen, **given)


def fact_limit(
    parameters: int, budget_s: float, cores: int, template: int = SHORT_TEMPLATE, item_s: float = 0
) -> int:
    """How many facts a budget can teach well: each wants `PRESENTATIONS` showings.

    A step costs about 6 floating-point operations a parameter and token; small models reach
    `FLOPS_PER_CORE` on a laptop core, and half of the tokens are rehearsal. `template` are the
    tokens that a chat template puts around the shortest question. For a large model `item_s`, the
    seconds an item took on an earlier night, takes the place of that; it may be none at all.
    """
    seconds = budget_s * FACT_SHARE
    flops = 6 * max(parameters, 1)
    if parameters < LARGE:
        tokens = seconds * cores * FLOPS_PER_CORE / flops
        return max(MIN_LIMIT, int(tokens / (PRESENTATIONS * TOKENS_A_FACT)))
    if not item_s:
        tokens_an_item = TOKENS_A_FACT + max(template - SHORT_TEMPLATE, 0)
        item_s = tokens_an_item * flops / (cores * LARGE_FLOPS_PER_CORE)
    return int(seconds / (PRESENTATIONS * item_s))


def affordable(
    name: str, parameters: int, budget_s: float, cores: int, least: int,
    *, template: int = SHORT_TEMPLATE, item_s: float = 0.0,
) -> int:  # fmt: skip
    """`fact_limit`, if it is worth a night. Raises TooLittle, with the budget that would be, when
    it is under `least` facts."""
    fits = fact_limit(parameters, budget_s, cores, template, item_s)
    if fits >= least:
        return fits
    longer = fact_limit(parameters, 1000 * budget_s, cores, template, item_s)
    minutes = math.ceil(1.2 * 1000 * budget_s * least / max(longer, 1) / 60)
    raise TooLittle(
        f"A night of {budget_s / 60:.0f} min would teach {name} about {fits} facts on this machine "
        f"as it is now; fewer than {least} are not worth one.",
        f"Give it {minutes} min (`nightschool learn --minutes {minutes}`, or the setting "
        "learn.budget_s), or learn with a smaller model.",
    )


def learning_rate(parameters: int) -> float:
    """AdamW's peak for LoRA by model size: 2e-3 at 5 M parameters, 2e-4 at 500 M and above.

    The upper end is methods.md 6; the lower end was measured on the starter (docs/experiments.md).
    """
    if parameters >= 500_000_000:
        return 2e-4
    if parameters >= 100_000_000:
        return 5e-4
    return 2e-3 if parameters < 30_000_000 else 1e-3


def _like(name: str, current: Any, value: Any) -> Any:
    if name == "layers":
        return tuple(int(v) for v in value)
    if isinstance(current, tuple):
        return tuple(float(v) for v in value)
    return type(current)(value)
