"""What must hold before a night begins: a model that learns, enough facts, something new."""

from __future__ import annotations

from nightschool.agent import lessons as taught
from nightschool.agent import planner
from nightschool.engine.runtime import Runtime
from nightschool.errors import Refused, TooLittle
from nightschool.models.catalogue import ModelInfo
from nightschool.paths import Home
from nightschool.records import Outcome
from nightschool.registry import forget, versions
from nightschool.store import feedback, runs
from nightschool.store import versions as version_rows
from nightschool.store.db import Store
from nightschool.syllabus import MIN_FACTS, Syllabus
from nightschool.train.threads import free_cores


def can_learn(runtime: Runtime) -> ModelInfo:
    """The base model. Raises Refused for one that cannot learn here."""
    model = runtime.model
    if not model.can_learn:
        raise Refused(
            f"{model.name} can be served but cannot learn here: {model.why_not}",
            "Choose a model that `nightschool model list` marks as able to learn.",
        )
    return model


def enough(lessons: Syllabus) -> None:
    """Raises TooLittle for fewer facts than an exam could see."""
    if lessons.facts < MIN_FACTS:
        raise TooLittle(
            f"Only {lessons.facts} facts could be found in these files; "
            f"at least {MIN_FACTS} are needed to learn.",
            "Watch a folder with more notes (`nightschool watch add DIR`).",
        )


def adapter_bytes(home: Home, store: Store, model: ModelInfo) -> int:
    """The size of the newest adapter on this model; 0 when there is none yet."""
    for version in version_rows.versions(store, model.sha256):
        path = home.root / version.directory / versions.ADAPTER
        if version.directory and path.is_file():
            return path.stat().st_size
    return 0


def limit_of(store: Store, runtime: Runtime, budget_s: float, wished: int = 0) -> int:
    """How many facts to learn: those of the night that was interrupted, `wished`, or what fits.

    A resumed night must practise the same items, whatever cores are free by now: its checkpoint
    belongs to them. Raises TooLittle when the budget teaches this model next to nothing.
    """
    model = runtime.model
    broken = runs.unfinished(store)
    if broken is not None and broken.base_sha == model.sha256:
        return int(broken.plan.get("facts", 0))
    if wished:
        return wished
    pace = taught.pace(store, model.sha256)
    template = len(runtime.llama.prompt([("user", "?")]))
    return planner.affordable(
        model.name, model.parameters, budget_s, free_cores(), MIN_FACTS,
        template=template, item_s=pace.step_s / max(pace.items, 1) if pace else 0.0,
    )  # fmt: skip


NOTHING_NEW = "Nothing new to learn: every fact was practised by the last night on this model."


def nothing_new(store: Store, model: ModelInfo, lessons: Syllabus) -> bool:
    """Whether the newest concluded night on this base practised exactly these documents."""
    if forget.relearn_wanted(store):
        return False
    for run in runs.runs(store, 20):
        if feedback.given(store, since=run.started_at):
            return False
        if run.outcome in (Outcome.PROMOTED, Outcome.HELD, Outcome.REJECTED):
            if run.base_sha != model.sha256:
                return False
            return runs.practised(store, [run.id]) == lessons.sources
        if run.outcome in (Outcome.RUNNING, Outcome.INTERRUPTED):
            return False
    return False
