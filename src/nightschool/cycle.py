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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nightschool import config as settings
from nightschool import regime
from nightschool.agent import lessons as taught
from nightschool.agent import planner
from nightschool.children.worker import Job, Worker
from nightschool.clock import Clock, SystemClock
from nightschool.config import Config
from nightschool.engine.examinee import Examinee, Remembered
from nightschool.engine.runtime import Runtime
from nightschool.engine.selftalk import selftalk
from nightschool.errors import (
    Forgotten,
    Interrupted,
    NightschoolError,
    Refused,
    StoreError,
    TooLittle,
    TrainError,
    of_disk,
)
from nightschool.evaluate import gate, probes
from nightschool.evaluate.power import spent
from nightschool.evaluate.subject import Material
from nightschool.models.catalogue import ModelInfo
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.records import Outcome, Plan, Scorecard, Verdict
from nightschool.registry import forget, pointer, versions
from nightschool.store import db, feedback, pairs, runs
from nightschool.store import versions as version_rows
from nightschool.store.db import Store
from nightschool.syllabus import Syllabus, syllabus, write_questions
from nightschool.train import night as training
from nightschool.train.recipes import servable
from nightschool.train.threads import free_cores

MIN_FACTS = 8
"""Fewer facts than this teach nothing that an exam could see."""
POLICY = gate.Policy()


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
) -> Night:
    """Learn once. Raises the error of the stage that failed; the run's outcome is stored first."""
    clock = clock or SystemClock()
    runtime = Runtime(home, store, config)
    try:
        model = _can_learn(runtime)
        parts = Remembered(runtime)
        write_questions(store, config, runtime, parts, report)
        budget_s = float((wishes or {}).get("budget_s", config.learn.budget_s))
        limit = _limit(store, model, budget_s, int((wishes or {}).get("facts", 0)))
        known = _practised_by_served(home, store, model)
        given: dict[str, Any] = {"recipe": config.learn.recipe, **(wishes or {})}
        start = regime.choose(
            home, store, config.learn, model.sha256, given["recipe"], clock, given.get("start", "")
        )
        earlier = start.facts if start.kind == "parent" else None
        lessons = syllabus(store, known, limit, config.pairs.file_share, earlier)
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
        _enough(lessons)
        none = Night(
            Outcome.RUNNING, "", plan=plan, facts=lessons.facts, available=lessons.available
        )
        if dry_run:
            asked = tuple(question.prompt for question in lessons.material.recall)
            pace = taught.pace(store, model.sha256)
            needs = taught.estimate(plan, len(lessons.closed), model.learn_bytes, pace)
            counts = pairs.counts(store)
            return replace(none, message="planned", pairs=counts, asked=asked, estimate=needs)
        if not wishes and not (start.warm and lessons.new) and _nothing_new(store, model, lessons):
            return replace(none, outcome=Outcome.NOTHING_NEW, message=NOTHING_NEW)
        run_id, plan = _open_run(home, store, model, plan, lessons, start, clock)
        check, report = forget.watching(store, run_id, check, report)
        return _guarded(home, store, run_id, clock, lambda: _learn(
            home, store, config, runtime, parts, lessons, start, plan, run_id, report, check, clock
        ))  # fmt: skip
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
    run_id: int,
    report: Progress,
    check: Callable[[], None],
    clock: Clock,
) -> Night:
    """Practise, examine, decide."""
    folder = home.runs / str(run_id)
    model = runtime.model
    texts = (*lessons.texts, *selftalk(home, runtime.llama, model.sha256, report))
    fitted = training.fit(
        model.path,
        model.sha256,
        lessons.lesson(texts),
        plan,
        folder,
        _served(runtime),
        start=regime.matrices(home, store, start, plan.rank, plan.seed),
        threads=config.learn.threads,
        report=report,
        check=check,
    )
    began = time.monotonic()
    regime.note(fitted.directory, start, lessons.chosen if plan.passes > 0 else frozenset())
    policy = POLICY
    if config.learn.spend_alpha:
        tries = runs.tries(store, model.sha256, lessons.sources)
        policy = replace(POLICY, alpha=spent(POLICY.alpha, tries))
    card = examine(home, store, runtime, parts, lessons, fitted.directory, plan, report, policy)
    done = time.monotonic()
    if fitted.steps > fitted.resumed_at:
        step = fitted.seconds / fitted.steps
        taught.note_pace(store, model.sha256, taught.Pace(step, plan.batch_size, done - began))
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    (folder / "scorecard.json").write_text(json.dumps(asdict(card), indent=1), encoding="utf-8")
    return _conclude(home, store, model, card, fitted, run_id, clock)


def examine(
    home: Home,
    store: Store,
    runtime: Runtime,
    parts: Remembered,
    lessons: Syllabus,
    candidate: Path,
    plan: Plan,
    report: Progress,
    policy: gate.Policy = POLICY,
) -> Scorecard:
    """All exams of one candidate directory, at the largest scale that passes the first tier.

    Raises Refused when the adapter was fitted to another base model.
    """
    versions.fits(candidate, runtime.model.sha256)
    adapter = candidate / versions.ADAPTER
    answering = parts.answering()
    base = Examinee(runtime, "the base", None, 1.0, answering)
    material = lessons.material
    base_sheet = probes.examine(base, material, report)
    served = _served_version(home, store, runtime.model)
    incumbent_sheet = None
    if served is not None:
        number, path, scale = served
        incumbent = Examinee(runtime, f"version {number}", path, scale, answering)
        incumbent_sheet = probes.examine(incumbent, material, report)
    chosen, tried = _sweep(runtime, adapter, answering, material, base_sheet, plan, report)
    examinee = Examinee(runtime, "the candidate", adapter, chosen, answering)
    card = gate.judge(
        probes.examine(examinee, material, report), base_sheet, incumbent_sheet, policy, chosen
    )
    return replace(card, reasons=(*card.reasons, *tried))


def _sweep(
    runtime: Runtime,
    adapter: Path,
    answering: Any,
    material: Material,
    base: gate.Sheet,
    plan: Plan,
    report: Progress,
) -> tuple[float, tuple[str, ...]]:
    """The largest adapter scale that passes the continuous bounds; the smallest if none does."""
    failed: list[float] = []
    for scale in plan.scales:
        examinee = Examinee(runtime, f"scale {scale:g}", adapter, scale, answering)
        if gate.screen(probes.examine(examinee, material, report, probes.FAST), base, POLICY):
            note = f"Served at scale {scale:g}: larger ones forget too much." if failed else ""
            return scale, (note,) if note else ()
        failed.append(scale)
    return plan.scales[-1], (f"No adapter scale of {', '.join(map(str, plan.scales))} passes.",)


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


def _can_learn(runtime: Runtime) -> ModelInfo:
    model = runtime.model
    if not model.can_learn:
        raise Refused(
            f"{model.name} can be served but cannot learn here: {model.why_not}",
            "Choose a model that `nightschool model list` marks as able to learn.",
        )
    return model


def _enough(lessons: Syllabus) -> None:
    if lessons.facts < MIN_FACTS:
        raise TooLittle(
            f"Only {lessons.facts} facts could be found in these files; "
            f"at least {MIN_FACTS} are needed to learn.",
            "Watch a folder with more notes (`nightschool watch add DIR`).",
        )


def _limit(store: Store, model: ModelInfo, budget_s: float, wished: int = 0) -> int:
    """How many facts to learn: those of the night that was interrupted, `wished`, or what fits.

    A resumed night must practise the same items, whatever cores are free by now: its checkpoint
    belongs to them.
    """
    broken = runs.unfinished(store)
    if broken is not None and broken.base_sha == model.sha256:
        return int(broken.plan.get("facts", 0))
    return wished or planner.fact_limit(model.parameters, budget_s, free_cores())


NOTHING_NEW = "Nothing new to learn: every fact was practised by the last night on this model."


def _nothing_new(store: Store, model: ModelInfo, lessons: Syllabus) -> bool:
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
    with store.transaction():
        run_id = runs.start(store, plan, model.sha256, parent=plan.parent, clock=clock)
        tonight = lessons.documents if plan.passes > 0 else {}
        runs.record_documents(store, run_id, {**start.lineage, **tonight})
    (home.runs / str(run_id)).mkdir(parents=True, exist_ok=True)
    return run_id, plan


def _guarded(
    home: Home, store: Store, run_id: int, clock: Clock, work: Callable[[], Night]
) -> Night:
    """Store how a night ended that did not reach its verdict, then let the error go on."""
    try:
        return work()
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
        shutil.rmtree(home.runs / str(run_id) / "checkpoint", ignore_errors=True)
        raise
    except (NightschoolError, OSError) as error:
        known = of_disk(error) if isinstance(error, OSError) else error
        text = known.message if known else str(error)
        with contextlib.suppress(StoreError):  # on a full disk not even this can be written
            runs.finish(store, run_id, Outcome.FAILED, message=text, clock=clock)
        raise


# -- the served artefact -------------------------------------------------------------------------


def _served(runtime: Runtime) -> training.Served:
    def logits(adapter: Path | None) -> Callable[[Sequence[int]], Any]:
        def run(ids: Sequence[int]) -> Any:
            loaded = None if adapter is None else runtime.llama.adapter(adapter)
            runtime.llama.activate(loaded)
            return runtime.llama.logits(ids)

        return run

    return logits


def _served_version(home: Home, store: Store, model: ModelInfo) -> tuple[int, Path, float] | None:
    present = pointer.read(home)
    if not present.version or present.base_sha != model.sha256:
        return None
    version = version_rows.version(store, present.version)
    if version is None:
        return None
    return present.version, versions.verify(home, version), present.scale


def _practised_by_served(home: Home, store: Store, model: ModelInfo) -> set[tuple[str, str, str]]:
    served = _served_version(home, store, model)
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
                examine(home, store, runtime, parts, lessons, candidate, Plan(), reporter(job))
            )
        finally:
            runtime.close()

    worker = Worker({"learn": learn, "examine": exam})
    worker.run({"learner": "ready"})
