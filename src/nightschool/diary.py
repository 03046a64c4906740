"""What a night notes down while it goes on, for its report. It decides nothing.

Figures, ids and the words of the exam's answers go to `store.reports`; the page is drawn when the
night ends, however it ends. A night that gave way to the user draws none: whoever asks for it does.
"""

from __future__ import annotations

import functools
import logging
import math
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ParamSpec

import psutil

from nightschool import exams
from nightschool.clock import Clock, SystemClock, iso
from nightschool.config import Config
from nightschool.engine.examinee import Remembered
from nightschool.errors import NightschoolError, TooLittle
from nightschool.evaluate.gate import Sheet
from nightschool.exams import Sittings
from nightschool.models.catalogue import ModelInfo
from nightschool.pairs.synthesize import NOT_PRACTISED, PairReport
from nightschool.paths import Home
from nightschool.records import Outcome, Plan
from nightschool.registry import pointer
from nightschool.report import shelf, view
from nightschool.store import receipts, reports
from nightschool.store import versions as version_rows
from nightschool.store.db import Store
from nightschool.store.reports import Sample
from nightschool.syllabus import MIN_FACTS, Syllabus
from nightschool.train.night import Fitted

MOST_FILES = 40
"""Files that are kept by id for one reason; the others are only counted."""
MOST_LOSSES = 480
MISSING_PAGES = 12
"""Of earlier nights, drawn at the end of this one: a hundredth of a second each."""
SERVED = "served"
OF_EACH = 3
"""Samples of each kind (learned, kept, lost, not yet) from each exam."""
_LOG = logging.getLogger("nightschool.learner")


Given = ParamSpec("Given")


def _harmless(note: Callable[Given, None]) -> Callable[Given, None]:
    """What a night comes to must not depend on its report: what fails in `note` is only logged."""

    @functools.wraps(note)
    def noted(*given: Given.args, **named: Given.kwargs) -> None:
        try:
            note(*given, **named)
        except Exception:
            _LOG.exception("Something of the night's report could not be written.")

    return noted


@dataclass
class Diary:
    """The notes of one night; `run_id` is 0 until it has opened one."""

    home: Home
    store: Store
    clock: Clock = field(default_factory=SystemClock)
    run_id: int = reports.NO_RUN
    body: dict[str, Any] = field(default_factory=dict)
    left_out: dict[tuple[str, int], int] = field(default_factory=dict)
    sittings: Sittings = field(default_factory=Sittings)
    samples: list[Sample] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @_harmless
    def wrote(self, found: PairReport, config: Config) -> None:
        """The questions of new files are written."""
        self._cost(questions_s=time.monotonic() - self._began)
        self.body["written"] = {
            "files": found.documents, "facts": found.facts, "pairs": dict(found.pairs),
            "notes": list(found.notes) if found.documents else [],
        }  # fmt: skip
        self.body["dropped_tonight"] = dict(found.dropped)
        totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in reports.dropped(self.store):
            for at, count in enumerate((row["pairs"], row["facts"], 1)):
                totals[row["reason"]][at] += count
        self.body["dropped"] = dict(totals)
        self._survey(config)

    @_harmless
    def planned(self, lessons: Syllabus, plan: Plan, model: ModelInfo) -> None:
        """What will be practised, and what of it not."""
        self.body |= {"model": model.name, "before": plan.parent, "plan": asdict(plan)}
        facts = self.body.setdefault("facts", {})
        facts |= {
            "learned": lessons.facts if plan.passes > 0 else 0, "available": lessons.available,
            "least": MIN_FACTS,
            "files": sum(count > 0 for count in lessons.documents.values()),
            "missing": max(0, MIN_FACTS - lessons.facts),
        }  # fmt: skip
        if facts["missing"] and lessons.available:
            more = facts["missing"] * facts["readable"] / lessons.available
            facts["more_files"] = math.ceil(more)
        if plan.passes > 0:  # else it is a merge of what was practised before
            self.body |= {"taught": lessons.taught, "forms": dict(lessons.forms)}
            self._leave_out(lessons.left_out)

    @_harmless
    def opened(self, run_id: int, plan: Plan) -> None:
        """The night has its number. One that goes on keeps its plan, and what it wrote before."""
        self.run_id = run_id
        self.body["before"] = plan.parent
        known = reports.get(self.store, run_id)
        if known is not None and not self.body["written"]["files"]:
            for name in ("written", "dropped_tonight"):
                self.body[name] = known[1].get(name, self.body[name])
        self._store()

    @_harmless
    def practised(self, fitted: Fitted) -> None:
        """The adapter is trained."""
        losses = fitted.losses
        step = max(1, math.ceil(len(losses) / MOST_LOSSES))
        self.body |= {
            "losses": [_mean(losses[at : at + step]) for at in range(0, len(losses), step)],
            "steps": fitted.steps, "resumed_at": fitted.resumed_at, "too_long": fitted.left_out,
        }  # fmt: skip
        self._cost(practice_s=fitted.seconds)

    @_harmless
    def examined(self, lessons: Syllabus, parts: Remembered, seed: int, seconds: float) -> None:
        """The exams are over: who had how many right, and what was said before and after."""
        self._cost(exams_s=seconds)
        sat = self.sittings
        assert sat.base is not None and sat.candidate is not None
        sheets = [("base model", sat.base), ("candidate", sat.candidate)]
        if sat.before is not None:
            sheets.insert(1, (f"version {sat.number}", sat.before))
        self.body["subjects"] = [{"name": name, "marks": _marks(sheet)} for name, sheet in sheets]
        self.body["scales"] = sat.scales
        before = sat.before or sat.base
        changes: dict[str, dict[str, int]] = {}
        for probe, ids in lessons.asked.items():
            asked = [question.prompt for question in getattr(lessons.material, probe)]
            answers = _answers(probe, ids, asked, before, sat.candidate, parts)
            kinds = [_kind(item) for item in answers]
            if answers:
                changes[probe] = dict(Counter(kinds))
            self.samples += _draw(answers, kinds, seed)
        self.body |= {
            "changes": changes, "sample_seed": seed, "samples": len(self.samples),
        }  # fmt: skip

    @_harmless
    def stopped(self) -> None:
        """The night ends without a verdict: keep what its checkpoint knows of the loss."""
        folder = self.home.runs / str(self.run_id) / "checkpoint"
        if self.run_id and "losses" not in self.body and folder.exists():
            self.body["losses"] = view.saved_losses(folder)
            self.body["steps"] = len(self.body["losses"])

    @_harmless
    def close(self) -> None:
        """The night has ended and its row says how: store the notes and draw the page, and those
        that are missing of earlier nights."""
        self._store()
        exams.over(self.home.runs / str(self.run_id))
        shelf.take_away(self.home, [self.run_id])
        (self.home.runs / str(self.run_id)).mkdir(parents=True, exist_ok=True, mode=0o700)
        shelf.complete(self.home, self.store, MISSING_PAGES)

    def came_to_nothing(self, outcome: Outcome, message: str, remedy: str = "") -> None:
        """The night ends before it opened a run: its report takes the place of the last such."""
        self.body |= {"outcome": outcome.value, "message": message, "remedy": remedy}
        self._was_served()
        self.close()

    def failed_early(self, error: NightschoolError) -> None:
        """As `came_to_nothing`, for an error."""
        outcome = Outcome.TOO_LITTLE if isinstance(error, TooLittle) else Outcome.FAILED
        self.came_to_nothing(outcome, error.message, error.remedy)

    # -- inside -----------------------------------------------------------------------------------

    @_harmless
    def _was_served(self) -> None:
        self.body.setdefault("before", pointer.read(self.home).version)

    def _store(self) -> None:
        self._cost(peak_bytes=_peak())
        with self.store.transaction():
            at = iso(self.clock.now())
            reports.put(self.store, self.run_id, at, self.body, self.left_out)
            reports.put_samples(self.store, self.run_id, self._unforgotten())

    def _unforgotten(self) -> list[Sample]:
        """The samples, unless something of what the two versions saw was forgotten meanwhile."""
        before = version_rows.version(self.store, int(self.body.get("before", 0)))
        saw = {self.run_id, *([before.run_id] if before is not None else [])}
        if not self.samples or saw & receipts.tainted_runs(self.store):
            return []
        there = reports.names(self.store, {file for item in self.samples for file in item.sources})
        return [item for item in self.samples if all(file in there for file in item.sources)]

    def _cost(self, **found: float) -> None:
        self.body.setdefault("cost", {}).update(found)

    def _survey(self, config: Config) -> None:
        """Files of which nothing is practised, by reason."""
        languages = {one.strip() for one in config.learn.languages.split(",")}
        found: Counter[tuple[str, int]] = Counter()
        readable = 0
        for file in reports.files(self.store):
            why = _whole(file, languages)
            readable += not why or why == NO_QUESTION
            if why:
                found[why, file["id"]] = 0
        self.body["facts"] = {"readable": readable}
        self._leave_out(found)
        waits: Counter[tuple[str, int]] = Counter()
        for row in reports.undecided(self.store):
            waits[UNDECIDED[row["status"]], row["document_id"]] = row["facts"]
        self._leave_out(waits)

    def _leave_out(self, found: Mapping[tuple[str, int], int]) -> None:
        """Count all by reason, and keep the ids of the files with most."""
        totals: dict[str, list[int]] = self.body.setdefault("left_out", {})
        named: Counter[str] = Counter()
        for (reason, document), count in sorted(found.items(), key=lambda item: -item[1]):
            total = totals.setdefault(reason, [0, 0])
            total[0] += count
            total[1] += 1
            named[reason] += 1
            if named[reason] <= MOST_FILES:
                self.left_out[reason, document] = count


@_harmless
def superseded(home: Home, store: Store, run_id: int) -> None:
    """A night that was interrupted cannot go on: draw what is known of it."""
    shelf.look(home, store, run_id)


NO_QUESTION = "no question could be made of it"
UNDECIDED = {
    "waiting": "waits for you: nightschool pairs review",
    "rejected": "rejected, by you or because two files contradict each other",
}


def _whole(file: Mapping[str, Any], languages: set[str]) -> str:
    """Why nothing of a file is practised, or empty."""
    if file["status"] != "indexed":
        return "not read (nightschool files says why of each)"
    if not file["learn"]:
        return "its folder is only searched"
    if file["format"] in NOT_PRACTISED:
        return "written for machines: only searched"
    if file["language"] and file["language"] not in languages:
        return f"not in a language that is practised (learn.languages): {file['language']}"
    return NO_QUESTION if file["written"] and not file["pairs"] else ""


def _marks(sheet: Sheet) -> dict[str, tuple[int, int]]:
    return {name: (sum(right), len(right)) for name, right in sheet.right.items()}


def _answers(
    probe: str,
    ids: Sequence[int],
    asked: Sequence[str],
    before: Sheet,
    after: Sheet,
    parts: Remembered,
) -> list[Sample]:
    """Every question of one exam with both answers; none of exams that another version began."""
    said = [sheet.said.get(probe, ()) for sheet in (before, after)]
    right = [sheet.right.get(probe, ()) for sheet in (before, after)]
    if len({len(ids), len(asked), *map(len, said), *map(len, right)}) != 1:
        return []
    return [
        Sample(
            pair, probe, said[0][at].strip(), said[1][at].strip(), right[0][at], right[1][at],
            parts.files(asked[at]) if probe == SERVED else (),
        )
        for at, pair in enumerate(ids)
    ]  # fmt: skip


def _kind(item: Sample) -> str:
    if item.right_after:
        return "kept" if item.right_before else "gained"
    return "lost" if item.right_before else "missed"


def _draw(answers: Sequence[Sample], kinds: Sequence[str], seed: int) -> Iterable[Sample]:
    """A few of each kind, by lot; none whose files are not known, for it could not be forgotten."""
    for kind in ("gained", "lost", "kept", "missed"):
        some = [
            item
            for item, of_kind in zip(answers, kinds, strict=True)
            if of_kind == kind and (item.sources or item.probe != SERVED)
        ]
        yield from random.Random(seed).sample(some, min(OF_EACH, len(some)))


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _peak() -> int:
    """Bytes that this process has had in memory at most."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else 1024 * most)
