"""The arms: one way of learning a night each, `name -> Arm`; a new one is a function and a line.

base    nothing is learned
rag     search and the base: the same weights as `base`, asked as users ask
naive   what continual fine-tuning is without us: it goes on from yesterday, on tonight's facts
        alone, no replay, no KL, no gate; the newest is served
ours    the product's night: replay, KL, exams, gate, continued from what is served
joint   all facts at once, after the last night, with the practice of all nights: what could be
        known if nothing ever came later
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nightschool.children.child import Child
from nightschool.config import load
from nightschool.engine.runtime import Runtime
from nightschool.engine.selftalk import selftalk
from nightschool.engine.tokens import ServedTokens
from nightschool.errors import NightschoolError
from nightschool.lab.stream.material import Night
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.records import Plan
from nightschool.registry import pointer
from nightschool.store import db
from nightschool.syllabus import syllabus
from nightschool.train import export
from nightschool.train import night as training

ARMS = ("base", "rag", "naive", "ours", "joint")
LOOK_S = 0.25
REPLAYED = Plan().replay
"""Of a step of `ours`, the share that `naive` has for its facts."""
ALL = 100_000
CONFIG = '[learn]\nregime = "continue"\n'


@dataclass(frozen=True, slots=True)
class Course:
    """What all nights share. `passes` over all items of a night of `ours`, in at most so many
    `seconds`; the other arms take as many steps."""

    home: Home
    folder: Path
    nights: int
    seed: int
    seconds: float
    passes: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What an arm serves after a night: an adapter at a scale (None: the base)."""

    outcome: str
    adapter: str = ""
    scale: float = 1.0
    minutes: float = 0.0
    megabytes: float = 0.0

    @property
    def path(self) -> Path | None:
        """The adapter's file; None for the base, and for one that had to go with a deleted note."""
        return path if self.adapter and (path := Path(self.adapter)).exists() else None


def learn(
    arm: str, course: Course, night: int, tonight: Night, before: Learned | None, report: Progress
) -> Learned:
    """One night (from 0) of one arm; `before` is what it served the night before."""
    if arm in ("base", "rag") or (arm == "joint" and night + 1 < course.nights):
        return Learned("nothing is learned")
    began = time.monotonic()
    with _memory() as peak:
        outcome, adapter, scale = _WAYS[arm](course, night, tonight, before, report, peak)
    return Learned(outcome, "" if adapter is None else str(adapter), scale,
                   (time.monotonic() - began) / 60, peak.megabytes)  # fmt: skip


def _ours(
    course: Course, night: int, tonight: Night, before: Learned | None, report: Progress, peak: Peak
) -> tuple[str, Path | None, float]:
    child = Child("nightschool.cycle", [str(course.home.root)],
                  log=course.home.logs / "learner.log")  # fmt: skip
    peak.watch(child.process.pid)
    plan = {"seed": course.seed, "budget_s": course.seconds, "facts": ALL,
            "passes": course.passes}  # fmt: skip
    result: dict[str, Any] = {}
    try:
        child.wait_ready()
        for message in child.stream("learn", {"plan": plan}):
            event = message.get("event") or {}
            if "stage" in event:
                report(f"night {night + 1}, ours: {event['stage']}", event["done"], event["total"])
            result = message.get("result", result)
        outcome = f"{result['outcome']}: {result['message']}"
    except NightschoolError as error:
        outcome = f"{error.code}: {error.message}"
    finally:
        child.stop()
    (course.folder / f"card-{night + 1}.json").write_text(json.dumps(result), encoding="utf-8")
    present = pointer.read(course.home)
    if not present.version:
        return outcome, None, 1.0
    return outcome, course.home.root / present.directory / "adapter.gguf", present.scale


def _naive(
    course: Course, night: int, tonight: Night, before: Learned | None, report: Progress, peak: Peak
) -> tuple[str, Path | None, float]:
    if not tonight.practice:  # every file of tonight is kept for the exam
        none = before or Learned("")
        return "nothing to practise", none.path, none.scale
    more = len(tonight.everything) / len(tonight.practice) / (1 - REPLAYED)
    plan = Plan(replay=0.0, kl=0.0, kl_text=0.0, seed=course.seed, learning_rate=2e-3,
                budget_s=course.seconds, passes=round(course.passes * more))  # fmt: skip
    lesson = training.Lesson(tonight.practice, (), (), ())
    return _fit(course, f"naive-{night + 1}", lesson, plan, before, report)


def _joint(
    course: Course, night: int, tonight: Night, before: Learned | None, report: Progress, peak: Peak
) -> tuple[str, Path | None, float]:
    passes = course.passes * (course.nights + 1) // 2  # as many steps as all the nights together
    plan = Plan(seed=course.seed, passes=passes, learning_rate=2e-3,
                budget_s=course.seconds * course.nights)  # fmt: skip
    store = db.open_store(course.home.database)
    runtime = Runtime(course.home, store, load(course.home.config))
    try:
        lessons = syllabus(store, set())
        own = selftalk(course.home, runtime.llama, runtime.model.sha256, report)
        lesson = lessons.lesson((*lessons.texts, *own))
    finally:
        runtime.close()
        store.close()
    return _fit(course, "joint", lesson, plan, None, report)


def _fit(
    course: Course, name: str, lesson: training.Lesson, plan: Plan, before: Learned | None,
    report: Progress,
) -> tuple[str, Path | None, float]:  # fmt: skip
    store = db.open_store(course.home.database)
    runtime = Runtime(course.home, store, load(course.home.config))
    yesterday = None if before is None else before.path

    def served(adapter: Path | None) -> Callable[[Sequence[int]], Any]:
        def run(ids: Sequence[int]) -> Any:
            runtime.llama.activate(None if adapter is None else runtime.llama.adapter(adapter))
            return runtime.llama.logits(ids)

        return run

    def told(stage: str, done: int, total: int) -> None:
        report(f"{name}: {stage}", done, total)

    try:
        done = training.fit(
            runtime.model.path, runtime.model.sha256, lesson, plan, course.folder / name, served,
            start=None if yesterday is None else (lambda shape: export.read_gguf(yesterday, shape)),
            tokens=ServedTokens(runtime.llama), threads=0, report=told, check=lambda: None,
        )  # fmt: skip
    finally:
        runtime.close()
        store.close()
    loss = done.losses[-1] if done.losses else float("nan")
    return f"served: {done.steps} steps, loss {loss:.3f}", done.directory / "adapter.gguf", 1.0


_WAYS: dict[str, Callable[..., tuple[str, Path | None, float]]] = {
    "ours": _ours,
    "naive": _naive,
    "joint": _joint,
}


class Peak:
    """The largest resident memory of this process or of another, looked at every `LOOK_S`."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._watched = psutil.Process()

    def watch(self, pid: int) -> None:
        """Look at that process instead."""
        self._watched = psutil.Process(pid)
        self.megabytes = 0.0

    def look(self) -> None:
        try:
            held = self._watched.memory_info().rss / 1e6
        except psutil.Error:  # it has ended
            return
        self.megabytes = max(self.megabytes, held)


@contextmanager
def _memory() -> Iterator[Peak]:
    peak, over = Peak(), threading.Event()

    def run() -> None:
        while not over.wait(LOOK_S):
            peak.look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
