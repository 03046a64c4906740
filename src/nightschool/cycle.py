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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nightschool import config as settings
from nightschool.agent import planner
from nightschool.children.worker import Job, Worker
from nightschool.clock import Clock, SystemClock
from nightschool.config import Config
from nightschool.engine.examinee import Examinee, Remembered
from nightschool.engine.runtime import Runtime
from nightschool.engine.selftalk import selftalk
from nightschool.errors import Interrupted, NightschoolError, Refused, TooLittle, TrainError
from nightschool.evaluate import gate, probes
from nightschool.evaluate.subject import Material
from nightschool.models.catalogue import ModelInfo
from nightschool.pairs import synthesize
from nightschool.pairs.model_writer import ModelWriter
from nightschool.pairs.rules import RuleWriter
from nightschool.paths import Home
from nightschool.ports import PairWriter, Progress
from nightschool.records import Outcome, Plan, Scorecard, Verdict
from nightschool.registry import pointer, versions
from nightschool.store import db, pairs, runs
from nightschool.store import versions as version_rows
from nightschool.store.db import Store
from nightschool.syllabus import Syllabus, syllabus
from nightschool.train import night as training
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
        _write_questions(store, runtime, parts, report)
        budget_s = float((wishes or {}).get("budget_s", config.learn.budget_s))
        limit = _limit(store, model, budget_s)
        lessons = syllabus(store, _practised_by_served(home, store, model), limit)
        present = pointer.read(home)
        plan = planner.plan(
            planner.Situation(
                facts=lessons.facts,
                items=len(lessons.closed) + len(lessons.context),
                parameters=model.parameters,
                budget_s=budget_s,
                parent=present.version if present.base_sha == model.sha256 else 0,
                runs=runs.runs(store, 10),
            ),
            wishes,
        )
        plan = replace(plan, facts=limit)
        _enough(lessons)
        counts = pairs.counts(store)
        none = Night(
            Outcome.RUNNING, "", plan=plan, facts=lessons.facts, available=lessons.available
        )
        if dry_run:
            asked = tuple(question.prompt for question in lessons.material.recall)
            return replace(none, message="planned", pairs=counts, asked=asked)
        if not wishes and _nothing_new(store, model, lessons):
            return replace(none, outcome=Outcome.NOTHING_NEW, message=NOTHING_NEW)
        run_id, plan = _open_run(home, store, model, plan, lessons, clock)
        return _guarded(home, store, run_id, clock, lambda: _learn(
            home, store, config, runtime, parts, lessons, plan, run_id, report, check, clock
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
        training.Lesson(lessons.closed, lessons.context, lessons.rehearsal, texts),
        plan,
        folder,
        _served(runtime),
        threads=config.learn.threads,
        report=report,
        check=check,
    )
    card = examine(home, store, runtime, parts, lessons, fitted.directory, plan, report)
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
) -> Scorecard:
    """All exams of one candidate directory, at the largest scale that passes the first tier.

    Raises Refused when the adapter was fitted to another base model.
    """
    _fits(candidate, runtime.model)
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
        probes.examine(examinee, material, report), base_sheet, incumbent_sheet, POLICY, chosen
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
        if card.verdict is Verdict.PROMOTE:
            versions.promote(home, store, version)
    message = " ".join(card.reasons)
    runs.finish(
        store, run_id, outcome, scorecard=card, version=number, message=message, clock=clock
    )
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


def _write_questions(store: Store, runtime: Runtime, parts: Remembered, report: Progress) -> None:
    runtime.llama.activate(None)
    writers: list[PairWriter] = [RuleWriter(), ModelWriter(runtime.llama)]
    avoid = {item["question"] for name in ("reading", "abstain") for item in probes.load(name)}
    synthesize.write_pairs(store, writers, parts, parts, report, avoid)


def _enough(lessons: Syllabus) -> None:
    if lessons.facts < MIN_FACTS:
        raise TooLittle(
            f"Only {lessons.facts} facts could be found in these files; "
            f"at least {MIN_FACTS} are needed to learn.",
            "Watch a folder with more notes (`nightschool watch add DIR`).",
        )


def _limit(store: Store, model: ModelInfo, budget_s: float) -> int:
    """How many facts to learn: those of the night that was interrupted, or what the budget fits.

    A resumed night must practise the same items, whatever cores are free by now: its checkpoint
    belongs to them.
    """
    broken = runs.unfinished(store)
    if broken is not None and broken.base_sha == model.sha256:
        return int(broken.plan.get("facts", 0))
    return planner.fact_limit(model.parameters, budget_s, free_cores())


NOTHING_NEW = "Nothing new to learn: every fact was practised by the last night on this model."


def _nothing_new(store: Store, model: ModelInfo, lessons: Syllabus) -> bool:
    """Whether the newest concluded night on this base practised exactly these documents."""
    for run in runs.runs(store, 20):
        if run.outcome in (Outcome.PROMOTED, Outcome.HELD, Outcome.REJECTED):
            if run.base_sha != model.sha256:
                return False
            return runs.practised(store, [run.id]) == lessons.sources
        if run.outcome in (Outcome.RUNNING, Outcome.INTERRUPTED):
            return False
    return False


def _open_run(
    home: Home, store: Store, model: ModelInfo, plan: Plan, lessons: Syllabus, clock: Clock
) -> tuple[int, Plan]:
    """Continue the night that was interrupted, if it practised the same; else open a new one."""
    broken = runs.unfinished(store)
    if broken is not None:
        same = broken.base_sha == model.sha256
        resumed = Plan(**{**broken.plan, "scales": tuple(broken.plan["scales"])})
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
    run_id = runs.start(store, plan, model.sha256, parent=plan.parent, clock=clock)
    runs.record_documents(store, run_id, lessons.documents)
    (home.runs / str(run_id)).mkdir(parents=True, exist_ok=True)
    return run_id, plan


def _guarded(
    home: Home, store: Store, run_id: int, clock: Clock, work: Callable[[], Night]
) -> Night:
    """Store how a night ended that did not reach its verdict, then let the error go on."""
    try:
        return work()
    except Interrupted as error:
        runs.finish(store, run_id, Outcome.INTERRUPTED, message=error.message, clock=clock)
        raise
    except TrainError as error:
        text = error.message
        outcome = Outcome.FAILED
        if "loss became" in text or "gradient became" in text or "not finite" in text:
            outcome = Outcome.NAN
        elif "memory" in text:
            outcome = Outcome.OUT_OF_MEMORY
        elif "logits differ" in text:
            outcome = Outcome.PARITY_FAILED
        runs.finish(store, run_id, outcome, message=text, clock=clock)
        shutil.rmtree(home.runs / str(run_id) / "checkpoint", ignore_errors=True)
        raise
    except NightschoolError as error:
        runs.finish(store, run_id, Outcome.FAILED, message=error.message, clock=clock)
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


def _fits(candidate: Path, model: ModelInfo) -> None:
    """Refuse an adapter without manifest, changed after training, or of another base model."""
    try:
        manifest = json.loads((candidate / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(
            f"{candidate} has no readable manifest: its origin is unknown.",
            "Only adapters that Nightschool trained can be examined.",
        ) from error
    if manifest.get("base_sha") != model.sha256:
        raise Refused(
            f"The adapter was fitted to another base model "
            f"({str(manifest.get('base_sha'))[:12]}…, this one is {model.sha256[:12]}…).",
            "Adapters fit only the base they were trained on; learn again on this one.",
        )
    if manifest.get("adapter_sha") != versions.sha256(candidate / versions.ADAPTER):
        raise Refused("The adapter was changed after training.", "Learn again.")


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
    lock = FileLock(home.learning, timeout=0)
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
