"""What a night that failed teaches the next one: the same mistake is not made twice on one device.

A lesson is a bound on one setting of the plan, with its reason. Lessons belong to a base model and
to a machine with so much memory; they are kept in the store, and `nightschool learn --dry-run`
shows those that shaped the plan. Also how fast nights went here, for the estimate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil

from nightschool.records import Outcome, Plan
from nightschool.store import runs, state
from nightschool.store.db import Store

KEPT = 20


@dataclass(frozen=True, slots=True)
class Lesson:
    """`setting` must be at most `bound` (for `recipe`: must not be `bound`). `memory` is that of
    the machine in bytes."""

    run: int
    outcome: str
    setting: str
    bound: Any
    why: str
    memory: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How the last finished night went: seconds a step of `items` items, and of all exams."""

    step_s: float
    items: int
    exams_s: float


def classify(message: str) -> Outcome:
    """The class of a training that failed, from the words of its error."""
    if any(sign in message for sign in ("loss became", "gradient became", "not finite")):
        return Outcome.NAN
    if "memory" in message:
        return Outcome.OUT_OF_MEMORY
    return Outcome.PARITY_FAILED if "logits differ" in message else Outcome.FAILED


def draw(run: int, outcome: Outcome, plan: Plan, memory: int) -> Lesson | None:
    """The lesson of a night that ended this way, if there is one."""
    if outcome is Outcome.OUT_OF_MEMORY and plan.batch_size > 1:
        half = max(1, plan.batch_size // 2)
        why = f"{plan.batch_size} items a step did not fit into memory"
        return Lesson(run, outcome.value, "batch_size", half, why, memory)
    if outcome is Outcome.NAN:
        half_rate = plan.learning_rate / 2
        why = f"it diverged at a learning rate of {plan.learning_rate:g}"
        return Lesson(run, outcome.value, "learning_rate", half_rate, why, memory)
    if outcome is Outcome.PARITY_FAILED and plan.recipe != Plan().recipe:
        why = f"the adapter of {plan.recipe} was not what was trained"
        return Lesson(run, outcome.value, "recipe", plan.recipe, why, memory)
    return None


def heed(plan: Plan, lessons: Iterable[Lesson]) -> tuple[Plan, tuple[Lesson, ...]]:
    """The plan within all bounds, and the lessons that changed it."""
    used = []
    for lesson in lessons:
        present = getattr(plan, lesson.setting)
        if lesson.setting == "recipe":
            if present == lesson.bound:
                plan = replace(plan, recipe=Plan().recipe)
                used.append(lesson)
        elif present > lesson.bound:
            plan = replace(plan, **{lesson.setting: type(present)(lesson.bound)})
            used.append(lesson)
    return plan, tuple(used)


def remember(store: Store, run_id: int) -> Lesson | None:
    """Keep the lesson of a finished run, if it has one."""
    run = runs.run(store, run_id)
    if run is None:
        return None
    found = draw(run.id, run.outcome, runs.plan_of(run), _memory())
    if found is not None:
        kept = [asdict(found), *state.get(store, f"lessons/{run.base_sha}", [])]
        state.put(store, f"lessons/{run.base_sha}", kept[:KEPT])
    return found


def known(store: Store, base_sha: str) -> list[Lesson]:
    """The lessons for this base that hold on this machine; memory helps only what ran out of it.

    A night whose process was ended for want of memory could not draw its own: that is done here.
    """
    taught = {row["run"] for row in state.get(store, f"lessons/{base_sha}", [])}
    for run in reversed(runs.runs(store, KEPT)):
        ours = run.base_sha == base_sha and run.outcome is Outcome.OUT_OF_MEMORY
        if ours and run.id not in taught:
            remember(store, run.id)
    found = [Lesson(**row) for row in state.get(store, f"lessons/{base_sha}", [])]
    enough = _memory() * 0.95
    return [
        lesson
        for lesson in found
        if lesson.outcome != Outcome.OUT_OF_MEMORY or enough <= lesson.memory
    ]


def note_pace(store: Store, base_sha: str, pace: Pace) -> None:
    """Remember how fast a night went on this base."""
    state.put(store, f"pace/{base_sha}", asdict(pace))


def pace(store: Store, base_sha: str) -> Pace | None:
    """How fast the last night on this base went, if there was one."""
    row = state.get(store, f"pace/{base_sha}")
    return None if row is None else Pace(**row)


def estimate(plan: Plan, items: int, learn_bytes: int, pace: Pace | None) -> dict[str, Any]:
    """What tonight takes: `memory` and `free` in bytes, `steps`, `practice_s` and `exams_s`.

    Without a pace the practice is bounded by the budget, and the exams are unknown (None).
    """
    facts_a_step = max(1, plan.batch_size - max(1, round(plan.batch_size * plan.replay)))
    steps = -(-items * plan.passes // facts_a_step)
    practice = plan.budget_s if plan.passes else 0.0
    if pace is not None:
        step = pace.step_s * plan.batch_size / max(pace.items, 1)
        practice = min(practice, steps * step)
    return {
        "memory": learn_bytes,
        "free": int(psutil.virtual_memory().available),
        "steps": steps,
        "practice_s": round(practice, 1),
        "exams_s": None if pace is None else round(pace.exams_s, 1),
    }


def _memory() -> int:
    return int(psutil.virtual_memory().total)
