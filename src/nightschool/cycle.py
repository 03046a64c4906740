"""One night, stages 4 to 7: the table of contents of the project.

    questions → plan → practise → export and parity → exams at the largest safe scale → verdict

Runs as a child process (`python -m nightschool.children.launch … nightschool.cycle HOME`). The
served version is not touched until the very last step, one atomic pointer; a kill at any moment
leaves it as it was, and the next call resumes from the checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nightschool import config as settings
from nightschool import evening, exams, regime
from nightschool.agent import lessons as taught
from nightschool.agent import planner
from nightschool.children.worker import Job, Worker
from nightschool.clock import Clock, SystemClock
from nightschool.config import Config
from nightschool.diary import Diary, superseded
from nightschool.engine.examinee import Remembered
from nightschool.engine.runtime import Runtime
from nightschool.engine.selftalk import selftalk
from nightschool.engine.tokens import ServedTokens
from nightschool.errors import (
    Forgotten,
    Interrupted,
    NightschoolError,
    Refused,
    StoreError,
    TrainError,
    of_disk,
    of_memory,
)
from nightschool.evaluate.power import spent
from nightschool.models.catalogue import ModelInfo
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.records import Outcome, Plan, Scorecard, Verdict
from nightschool.registry import forget, pointer, versions
from nightschool.store import db, pairs, runs
from nightschool.store import versions as version_rows
from nightschool.store.db import Store
from nightschool.syllabus import Syllabus, syllabus, write_questions
from nightschool.train import night as training
from nightschool.train import room
from nightschool.train.recipes import servable


@dataclass(frozen=True, slots=True)
class Night:
    """What one night came to; `version` is the number that was registered, if any."""

    outcome: Outcome
    message: str
    run_id: int = 0
    version: int | None = None
    scorecard: Scorecard | None = None
    plan: Plan | None = None
    facts: int = 0
    available: int = 0
    asked: tuple[str, ...] = ()
    """A dry run's hidden questions on the facts that the night would practise."""
    pairs: dict[str, int] | None = None
    estimate: dict[str, Any] | None = None
    """A dry run's memory and time (see `agent.lessons.estimate`)."""

    @property
    def verdict(self) -> str:
        return self.scorecard.verdict.value if self.scorecard else ""


def night(
    home: Home,
    store: Store,
    config: Config,
    *,
    wishes: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    report: Progress,
    check: Callable[[], None],
    clock: Clock | None = None,
    stopping: threading.Event | None = None,
) -> Night:
    """Learn once. Raises the error of the stage that failed; the run's outcome is stored first.

    `check` raises Interrupted when it shall stop, `stopping` is set at the same moment.
    """
    clock = clock or SystemClock()
    runtime = Runtime(home, store, config)
    diary = Diary(home, store, clock)
    try:
        model = evening.can_learn(runtime)
        room.require(home.runs, model.size, evening.adapter_bytes(home, store, model))
        parts = Remembered(runtime)
        written = write_questions(store, config, runtime, parts, _pausing(report, check))
        diary.wrote(written, config)
        budget_s = float((wishes or {}).get("budget_s", config.learn.budget_s))
        limit = evening.limit_of(store, runtime, budget_s, int((wishes or {}).get("facts", 0)))
        known = _practised_by_served(home, store, model)
        given: dict[str, Any] = {"recipe": config.learn.recipe, **(wishes or {})}
        start = regime.choose(
            home, store, config.learn, model.sha256, given["recipe"], clock, given.get("start", "")
        )
        earlier = start.facts if start.kind == "parent" else None
        lessons = syllabus(
            store, known, limit, config.pairs.file_share, earlier, config.pairs.folder_share,
            config.pairs.alike,
        )  # fmt: skip
        present = pointer.read(home)
        plan = planner.plan(
            planner.Situation(
                facts=lessons.facts,
                items=len(lessons.closed) + len(lessons.context),
                parameters=model.parameters,
                budget_s=budget_s,
                parent=present.version if present.base_sha == model.sha256 else 0,
                runs=runs.runs(store, 10),
                lessons=taught.known(store, model.sha256),
                recipe=config.learn.recipe,
                distil=config.learn.distil,
                preference=config.learn.preference,
            ),
            {**start.settings(), **(wishes or {})},
        )
        servable(plan.recipe)
        plan = replace(plan, facts=limit)
        diary.planned(lessons, plan, model)
        evening.enough(lessons)
        none = Night(
            Outcome.RUNNING, "", plan=plan, facts=lessons.facts, available=lessons.available
        )
        if dry_run:
            asked = tuple(question.prompt for question in lessons.material.recall)
            pace = taught.pace(store, model.sha256)
            needs = taught.estimate(plan, len(lessons.closed), model.learn_bytes, pace)
            if pace is None and model.parameters >= planner.LARGE:  # hours, on some
                subjects = 3 if exams.served_version(home, store, model) else 2
                needs["exams_s"] = exams.lasts(runtime.llama, lessons.material, subjects)
            counts = pairs.counts(store)
            if lessons.crowded:
                counts["facts left out, too many agree"] = lessons.crowded
            return replace(none, message="planned", pairs=counts, asked=asked, estimate=needs)
        fresh = wishes or (start.warm and lessons.new)
        if not fresh and evening.nothing_new(store, model, lessons):
            diary.came_to_nothing(Outcome.NOTHING_NEW, evening.NOTHING_NEW)
            return replace(none, outcome=Outcome.NOTHING_NEW, message=evening.NOTHING_NEW)
        run_id, plan = _open_run(home, store, model, plan, lessons, start, clock)
        diary.opened(run_id, plan)
        check, report = forget.watching(store, run_id, check, report)
        return _guarded(home, store, run_id, clock, lambda: _learn(
            home, store, config, runtime, parts, lessons, start, plan, diary, report, check, clock,
            stopping,
        ), diary)  # fmt: skip
    except NightschoolError as error:
        if not (dry_run or diary.run_id or isinstance(error, Interrupted)):
            diary.failed_early(error)
        raise
    finally:
        runtime.close()


def _learn(
    home: Home,
    store: Store,
    config: Config,
    runtime: Runtime,
    parts: Remembered,
    lessons: Syllabus,
    start: regime.Start,
    plan: Plan,
    diary: Diary,
    report: Progress,
    check: Callable[[], None],
    clock: Clock,
    stopping: threading.Event | None,
) -> Night:
    """Practise, examine, decide."""
    pausing = _pausing(report, check)
    run_id = diary.run_id
    folder = home.runs / str(run_id)
    model = runtime.model
    texts = (*lessons.texts, *selftalk(home, runtime.llama, model.sha256, pausing))
    fitted = training.fit(
        model.path,
        model.sha256,
        lessons.lesson(texts),
        plan,
        folder,
        _served(runtime),
        start=regime.matrices(home, store, start, plan.rank, plan.seed),
        tokens=ServedTokens(runtime.llama),
        threads=config.learn.threads,
        report=report,
        check=check,
        stopping=stopping,
    )
    diary.practised(fitted)
    began = time.monotonic()
    regime.note(fitted.directory, start, lessons.chosen if plan.passes > 0 else frozenset())
    policy = exams.POLICY
    if config.learn.spend_alpha:
        tries = runs.tries(store, model.sha256, lessons.sources)
        policy = replace(policy, alpha=spent(policy.alpha, tries))
    card = exams.examine(
        home, store, runtime, parts, lessons, fitted.directory, plan, pausing, policy,
        exams.begun(folder, store, model.sha256, lessons.material), diary.sittings,
    )  # fmt: skip
    done = time.monotonic()
    diary.examined(lessons, parts, plan.seed, done - began)
    if fitted.steps > fitted.resumed_at:
        step = fitted.seconds / fitted.steps
        taught.note_pace(store, model.sha256, taught.Pace(step, plan.batch_size, done - began))
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    exams.over(folder)
    (folder / "scorecard.json").write_text(json.dumps(asdict(card), indent=1), encoding="utf-8")
    return _conclude(home, store, model, card, fitted, run_id, clock)


def _conclude(
    home: Home,
    store: Store,
    model: ModelInfo,
    card: Scorecard,
    fitted: training.Fitted,
    run_id: int,
    clock: Clock,
) -> Night:
    """Register what was promoted or held, move the pointer last, close the run."""
    outcome = {
        Verdict.PROMOTE: Outcome.PROMOTED,
        Verdict.HOLD: Outcome.HELD,
        Verdict.REJECT: Outcome.REJECTED,
    }[card.verdict]
    number = None
    if card.verdict is not Verdict.REJECT:
        version = versions.register(
            home,
            store,
            fitted.directory,
            base_sha=model.sha256,
            status="promoted" if card.verdict is Verdict.PROMOTE else "held",
            scale=card.scale,
            run_id=run_id,
            note=card.reasons[0] if card.reasons else "",
            clock=clock,
        )
        number = version.number
    forget.allow(store, run_id, number)
    if card.verdict is Verdict.PROMOTE:
        versions.promote(home, store, version)
        forget.settle(home, store)  # whatever was forgotten in this very moment
    message = " ".join(card.reasons)
    runs.finish(
        store, run_id, outcome, scorecard=card, version=number, message=message, clock=clock
    )
    forget.relearned(store, run_id)
    return Night(outcome, message, run_id, number, card)


# -- before the night ----------------------------------------------------------------------------


def _open_run(
    home: Home, store: Store, model: ModelInfo, plan: Plan, lessons: Syllabus,
    start: regime.Start, clock: Clock,
) -> tuple[int, Plan]:  # fmt: skip
    """Continue the night that was interrupted, if it practised the same; else open a new one."""
    broken = runs.unfinished(store)
    if broken is not None:
        same = broken.base_sha == model.sha256 and start.resumes(broken)
        resumed = runs.plan_of(broken)
        if same and runs.practised(store, [broken.id]) == lessons.sources:
            return broken.id, resumed
        runs.finish(
            store,
            broken.id,
            Outcome.FAILED,
            message="Its files or its model have changed since it was interrupted.",
            clock=clock,
        )
        shutil.rmtree(home.runs / str(broken.id), ignore_errors=True)
        superseded(home, store, broken.id)
    for left in home.runs.glob("*/checkpoint*"):  # of nights whose process was ended for good
        shutil.rmtree(left, ignore_errors=True)
    with store.transaction():
        run_id = runs.start(store, plan, model.sha256, parent=plan.parent, clock=clock)
        tonight = lessons.documents if plan.passes > 0 else {}
        runs.record_documents(store, run_id, {**start.lineage, **tonight})
    (home.runs / str(run_id)).mkdir(parents=True, exist_ok=True)
    return run_id, plan


def _guarded(
    home: Home,
    store: Store,
    run_id: int,
    clock: Clock,
    work: Callable[[], Night],
    diary: Diary | None = None,
) -> Night:
    """Store how a night ended that did not reach its verdict, then let the error go on. Whatever
    it was, the night leaves its report, unless it gives way: then nothing may take time."""
    diary = diary or Diary(home, store, clock, run_id)
    try:
        found = _in_memory(work)
        diary.close()
        return found
    except Forgotten:
        # Its row says so already; weights that saw the file must not lie about.
        shutil.rmtree(home.runs / str(run_id), ignore_errors=True)
        raise
    except Interrupted as error:
        runs.finish(store, run_id, Outcome.INTERRUPTED, message=error.message, clock=clock)
        raise
    except TrainError as error:
        text = error.message
        runs.finish(store, run_id, taught.classify(text), message=text, clock=clock)
        taught.remember(store, run_id)
        diary.stopped()
        shutil.rmtree(home.runs / str(run_id) / "checkpoint", ignore_errors=True)
        diary.close()
        raise
    except (NightschoolError, OSError) as error:
        known = of_disk(error) if isinstance(error, OSError) else error
        text = known.message if known else str(error)
        with contextlib.suppress(StoreError):  # on a full disk not even this can be written
            runs.finish(store, run_id, Outcome.FAILED, message=text, clock=clock)
        diary.close()
        raise


def _in_memory(work: Callable[[], Night]) -> Night:
    """At whatever stage memory runs out, it is the outcome of the night."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not of_memory(error):
            raise
        raise TrainError(
            "Out of memory while learning.", "The next plan uses smaller batches."
        ) from error


def _pausing(report: Progress, check: Callable[[], None]) -> Progress:
    """`report` that also looks whether to stop: between two questions nothing is half done."""

    def reported(stage: str, done: int, total: int) -> None:
        check()
        report(stage, done, total)

    return reported


# -- the served artefact -------------------------------------------------------------------------


def _served(runtime: Runtime) -> training.Served:
    def logits(adapter: Path | None) -> Callable[[Sequence[int]], Any]:
        def run(ids: Sequence[int]) -> Any:
            loaded = None if adapter is None else runtime.llama.adapter(adapter)
            runtime.llama.activate(loaded)
            return runtime.llama.logits(ids)

        return run

    return logits


def _practised_by_served(home: Home, store: Store, model: ModelInfo) -> set[tuple[str, str, str]]:
    served = exams.served_version(home, store, model)
    if served is None:
        return set()
    version = version_rows.version(store, served[0])
    return runs.practised(store, [version.run_id] if version and version.run_id else [])


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One learner a home: two would write the same run."""
    lock = FileLock(home.learning, timeout=1.0)  # the service looks now and then whether it is free
    try:
        lock.acquire()
    except Timeout as error:
        raise Refused(
            "A night is already running on this home.", "Wait for it; see `nightschool runs`."
        ) from error
    try:
        yield
    finally:
        lock.release()


# -- as a child process --------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> None:
    """`HOME` as the only argument; serves `learn` and `examine` requests."""
    home = Home(Path(arguments[0])).create()
    store = db.open_store(home.database)
    config = settings.load(home.config)

    def reporter(job: Job) -> Progress:
        def report(stage: str, done: int, total: int) -> None:
            worker.beat()
            job.emit({"stage": stage, "done": done, "total": total})

        return report

    def learn(params: dict[str, Any], job: Job) -> dict[str, Any]:
        with _alone(home):
            return learn_alone(params, job)

    def learn_alone(params: dict[str, Any], job: Job) -> dict[str, Any]:
        found = night(
            home,
            store,
            config,
            wishes=params.get("plan") or {},
            dry_run=bool(params.get("dry_run")),
            report=reporter(job),
            check=job.check,
            stopping=job.cancelled,
        )
        return asdict(found) | {"verdict": found.verdict}

    def exam(params: dict[str, Any], job: Job) -> dict[str, Any]:
        runtime = Runtime(home, store, config)
        try:
            parts = Remembered(runtime)
            model = runtime.model
            lessons = syllabus(store, _practised_by_served(home, store, model))
            candidate = Path(params["directory"])
            return asdict(
                exams.examine(
                    home, store, runtime, parts, lessons, candidate, Plan(), reporter(job)
                )
            )
        finally:
            runtime.close()

    worker = Worker({"learn": learn, "examine": exam})
    worker.run({"learner": "ready"})
