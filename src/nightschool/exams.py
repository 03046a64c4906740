"""The exams of one night: the base, the version that is served, and the candidate.

What was examined is kept in the run's folder, probe by probe, until the verdict: a night that gave
way to the user in the middle of its exams goes on with the probe that it broke off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nightschool.engine.examinee import Examinee, Remembered
from nightschool.engine.llama import Llama
from nightschool.engine.runtime import Runtime
from nightschool.engine.sampling import Sampling
from nightschool.evaluate import gate, probes
from nightschool.evaluate.subject import Material
from nightschool.models.catalogue import ModelInfo
from nightschool.paths import EXAMS, Home
from nightschool.ports import Progress
from nightschool.records import Plan, Scorecard
from nightschool.registry import pointer, versions
from nightschool.store import documents
from nightschool.store import versions as version_rows
from nightschool.store.db import Store
from nightschool.syllabus import Syllabus

POLICY = gate.Policy()


@dataclass
class Sittings:
    """What the exams of one night looked at: the sheets of the base, of the version that is served
    (None: the base) and of the candidate, and each scale that was tried: what it is, whether it
    passed, its ΔNLL on general text (nats a token), and its mean KL to the base."""

    base: gate.Sheet | None = None
    before: gate.Sheet | None = None
    candidate: gate.Sheet | None = None
    number: int = 0
    """Of the version that is served."""
    scales: list[tuple[float, bool, float, float]] = field(default_factory=list)


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
    kept: Kept | None = None,
    sittings: Sittings | None = None,
) -> Scorecard:
    """All exams of one candidate directory, at the largest scale that passes the first tier.

    `kept` holds what was examined before an interruption, `sittings` is filled in. Raises Refused
    when the adapter was fitted to another base model.
    """
    kept, sat = kept or Kept(), sittings or Sittings()
    versions.fits(candidate, runtime.model.sha256)
    adapter = candidate / versions.ADAPTER
    answering = parts.answering()
    base = Examinee(runtime, "the base", None, 1.0, answering)
    material = lessons.material
    sat.base = base_sheet = probes.examine(base, material, report, marks=kept.of("base"))
    served = served_version(home, store, runtime.model)
    incumbent_sheet = None
    if served is not None:
        number, path, scale = served
        incumbent = Examinee(runtime, f"version {number}", path, scale, answering)
        incumbent_sheet = probes.examine(
            incumbent, material, report, marks=kept.of(f"{_sha(path)} at {scale}")
        )
        sat.number, sat.before = number, incumbent_sheet
    own = _sha(adapter)

    def marks(scale: float) -> probes.Marks:
        return kept.of(f"{own} at {scale}")

    chosen, tried = _sweep(
        runtime, adapter, answering, material, base_sheet, plan, report, marks, sat.scales
    )
    examinee = Examinee(runtime, "the candidate", adapter, chosen, answering)
    sat.candidate = sheet = probes.examine(examinee, material, report, marks=marks(chosen))
    card = gate.judge(sheet, base_sheet, incumbent_sheet, policy, chosen)
    return replace(card, reasons=(*card.reasons, *tried))


def _sweep(
    runtime: Runtime,
    adapter: Path,
    answering: Any,
    material: Material,
    base: gate.Sheet,
    plan: Plan,
    report: Progress,
    marks: Callable[[float], probes.Marks],
    tried: list[tuple[float, bool, float, float]],
) -> tuple[float, tuple[str, ...]]:
    """The largest adapter scale that passes the continuous bounds; the smallest if none does."""
    failed: list[float] = []
    for scale in plan.scales:
        examinee = Examinee(runtime, f"scale {scale:g}", adapter, scale, answering)
        sheet = probes.examine(examinee, material, report, probes.FAST, marks(scale))
        passed = gate.screen(sheet, base, POLICY)
        tried.append((scale, passed, *gate.moved(sheet, base)))
        if passed:
            note = f"Served at scale {scale:g}: larger ones forget too much." if failed else ""
            return scale, (note,) if note else ()
        failed.append(scale)
    return plan.scales[-1], (f"No adapter scale of {', '.join(map(str, plan.scales))} passes.",)


def served_version(home: Home, store: Store, model: ModelInfo) -> tuple[int, Path, float] | None:
    """Number, adapter and scale of the version that answers now; None when the base does."""
    present = pointer.read(home)
    if not present.version or present.base_sha != model.sha256:
        return None
    version = version_rows.version(store, present.version)
    if version is None:
        return None
    return present.version, versions.verify(home, version), present.scale


# -- how long they take ---------------------------------------------------------------------------

WRITTEN = 16
"""Tokens of a usual answer to a probe, which may have 24 or 48."""
PASSAGE = 300
"""Tokens of the passages before a served question, at a guess."""
TRIED = 192, 12
"""Tokens that are read and written to see how fast a model is."""


def workload(count: Callable[[str], int], material: Material) -> tuple[int, int]:
    """Tokens that one subject reads and writes in its exams; `count` gives those of a text."""
    fixed = [item for name in ("reading", "abstain", "screen") for item in probes.load(name)]
    asked = [f"{item['context']} {item['question']}" for item in fixed]
    asked += 2 * [item["prompt"] for item in probes.load("safety")]
    asked += [item["prompt"] for item in probes.load("chat")]
    own = [*material.recall, *material.old, *material.rehearsed, *material.rehearsed]
    asked += [f"{item.context} {item.prompt}" for item in own]
    asked += [item.prompt for item in material.served]
    plain = sum(count(item["text"]) for item in probes.load("general"))
    read = sum(count(text) for text in asked) + plain + PASSAGE * len(material.served)
    return read, WRITTEN * len(asked)


def lasts(llama: Llama, material: Material, subjects: int) -> float:
    """Seconds that the exams of so many subjects take about, from how fast the model is now."""
    template = len(llama.prompt([("user", "")]))
    read, written = workload(lambda text: len(llama.tokenize(text)) + template, material)
    tokens, few = TRIED
    tokens = min(tokens, llama.context // 2)
    ids = (llama.tokenize("The ferry leaves from the second pier. ") * tokens)[:tokens]
    llama.forget()
    for _ in llama.write(ids, Sampling(max_tokens=few, temperature=1.0, seed=1)):
        pass
    done = llama.timing
    pace = done.prompt_s / len(ids), done.eval_s / max(done.tokens, 1)
    return subjects * (read * pace[0] + written * pace[1])


# -- what is kept of broken-off exams -----------------------------------------------------------


@dataclass
class Kept:
    """Results by subject and probe, written to `path` as they come (None: only remembered).

    They hold for one `mark`: base model, questions and index. Anything else starts anew.
    """

    path: Path | None = None
    mark: str = ""
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, subject: str) -> probes.Marks:
        """The results of one subject, to look up and to add to."""
        return _Marks(self, self._known.setdefault(subject, {}))

    def read(self) -> Kept:
        """Load what a broken-off night left; a damaged file, or one of other exams, is nothing."""
        if self.path is not None and self.path.exists():
            try:
                found = json.loads(self.path.read_text(encoding="utf-8"))
                if found["mark"] == self.mark:
                    self._known = {name: dict(rows) for name, rows in found["sheets"].items()}
            except (OSError, ValueError, KeyError, AttributeError, TypeError):
                self._known = {}
        return self

    def write(self) -> None:
        """Put it beside the run, whole or not at all."""
        if self.path is not None:
            temporary = self.path.with_suffix(".tmp")
            text = json.dumps({"mark": self.mark, "sheets": self._known})
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path)


@dataclass(frozen=True, slots=True)
class _Marks:
    kept: Kept
    rows: dict[str, Any]

    def get(self, probe: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.rows.get(probe)
        return found

    def put(self, probe: str, found: dict[str, Any]) -> None:
        self.rows[probe] = found
        self.kept.write()


def begun(folder: Path, store: Store, base_sha: str, material: Material) -> Kept:
    """What this run has examined already, of these very questions over this very index."""
    words = f"{base_sha} {documents.generation(store)} {material!r}"
    return Kept(folder / EXAMS, hashlib.sha256(words.encode()).hexdigest()).read()


def over(folder: Path) -> None:
    """The verdict is there: the single results have done their work."""
    (folder / EXAMS).unlink(missing_ok=True)


def _sha(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
