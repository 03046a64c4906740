"""Where tonight starts: at the base, at the version served now, or at a merge of several.

    from-base   every night anew: exact when files are deleted, but a night teaches only so much
    continue    go on from the served version on what is new, with some of the old; every
                `relearn_days` from the base again, on everything; if `merge` is set, the night
                before that proposes a merge of the newest versions

A version that has seen a file which is gone is never continued or merged: what is in the weights
cannot be taken out. Whatever it starts from, the candidate meets the same gate, and its lineage
holds all that the versions it came from had practised.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from nightschool.clock import Clock
from nightschool.config import Learn
from nightschool.errors import Refused, UsageError
from nightschool.paths import Home
from nightschool.records import FileStatus, Outcome, Run, Version
from nightschool.registry import pointer, versions
from nightschool.store import documents, runs
from nightschool.store import versions as rows
from nightschool.store.db import Store
from nightschool.train import export
from nightschool.train.merge import METHODS, merge

REGIMES = ("from-base", "continue")
WARM = ("lora", "lora_all", "lora_plus", "rslora", "selective")
"""Recipes whose practice can go on from plain LoRA matrices."""
FACTS = "facts.json"
MERGED = 3
"""A merge takes so many of the newest versions."""
_CONCLUDED = (Outcome.PROMOTED, Outcome.HELD, Outcome.REJECTED)


@dataclass(frozen=True, slots=True)
class Start:
    """`kind` is `base`, `parent` or `merge:METHOD`; `rank` that of the adapters it starts from;
    `lineage` counts the pairs per file that they have practised, `facts` names what; `why` is for
    people."""

    kind: str = "base"
    versions: tuple[int, ...] = ()
    rank: int = 0
    lineage: dict[int, int] = field(default_factory=dict)
    facts: frozenset[str] = frozenset()
    why: str = ""

    @property
    def warm(self) -> bool:
        return self.kind != "base"

    def resumes(self, run: Run) -> bool:
        """Whether an interrupted night began here, so that its checkpoint is of use."""
        began = str(run.plan.get("start", "base")) == self.kind
        return began and (not self.warm or self.versions[0] == int(run.plan.get("parent", 0)))

    def settings(self) -> dict[str, Any]:
        """What this start makes of a plan; nothing at the base."""
        if not self.warm:
            return {}
        numbers = " and ".join(f"v{number}" for number in self.versions)
        found: dict[str, Any] = {
            "start": self.kind,
            "parent": self.versions[0],
            "rank": self.rank,
            "alpha": 2 * self.rank,
            "hypothesis": f"continue from {numbers}: {self.why}",
        }
        if self.kind.startswith("merge"):
            found["passes"] = 0
            found["hypothesis"] = f"merge {numbers} by {self.kind.split(':')[1]}: {self.why}"
        return found


def choose(
    home: Home, store: Store, learn: Learn, base_sha: str, recipe: str, clock: Clock, wish: str = ""
) -> Start:
    """Tonight's start. An interrupted night keeps its own. Raises UsageError and Refused."""
    if learn.regime not in REGIMES:
        raise UsageError(
            f"learn.regime is {learn.regime!r}.", f"Choose one of: {', '.join(REGIMES)}."
        )
    broken = runs.unfinished(store)
    if broken is not None and broken.base_sha == base_sha:
        with contextlib.suppress(Refused):  # its parent was blocked meanwhile: start anew
            return _wished(home, store, base_sha, str(broken.plan.get("start", "base")))
    if wish:
        return _wished(home, store, base_sha, wish)
    if learn.regime == "from-base":
        return Start()
    served = _newest(home, store, base_sha)[:1]
    if not served:
        return Start(why="no version is served yet")
    if recipe not in WARM:
        return Start(why=f"the recipe {recipe} always starts at the base")
    if reason := _cannot(store, served):
        return Start(why=reason)
    if _days_since_base(store, base_sha, clock) < learn.relearn_days:
        return _start(home, store, "parent", served, "it practises what is new")
    several = _newest(home, store, base_sha)
    last = next((run for run in runs.runs(store, 20) if run.outcome in _CONCLUDED), None)
    merged_before = last is not None and str(last.plan.get("start", "")).startswith("merge")
    if learn.merge and len(several) > 1 and not merged_before and not _cannot(store, several):
        return _start(home, store, f"merge:{learn.merge}", several, "before the base is relearned")
    return Start(why=f"every {learn.relearn_days} days it is relearned from the base")


def practised(directory: Path) -> set[str]:
    """The facts that a version's adapter holds, by name (a hash), as `note` wrote them."""
    try:
        return set(json.loads((directory / FACTS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return set()


def note(directory: Path, start: Start, chosen: frozenset[str]) -> None:
    """Write beside a candidate's adapter which facts it has practised, earlier nights included."""
    names = sorted({*start.facts, *chosen})
    (directory / FACTS).write_text(json.dumps(names), encoding="utf-8")


def matrices(
    home: Home, store: Store, start: Start, rank: int, seed: int
) -> Callable[[export.Shape], export.Matrices] | None:
    """What practice starts from, once the base's shape is known; None at the base."""
    if not start.warm:
        return None
    found = [_version(store, number) for number in start.versions]
    paths = [(versions.verify(home, version), version.scale) for version in found]

    def load(shape: export.Shape) -> export.Matrices:
        adapters = [export.read_gguf(path, shape, scale) for path, scale in paths]
        if start.kind == "parent":
            return adapters[0]
        return merge(start.kind.split(":", 1)[1], adapters, rank, seed)[0]

    return load


def _wished(home: Home, store: Store, base_sha: str, wish: str) -> Start:
    if wish == "base":
        return Start()
    method = wish.removeprefix("merge:") if wish.startswith("merge:") else ""
    if wish != "parent" and method not in METHODS:
        raise UsageError(
            f"A night cannot start at {wish!r}.",
            f"At base, parent, or merge:METHOD ({', '.join(METHODS)}).",
        )
    newest = _newest(home, store, base_sha)
    chosen = newest if method else newest[:1]
    if len(chosen) < (2 if method else 1):
        raise Refused("There are too few versions to start from.", "Learn from the base first.")
    if reason := _cannot(store, chosen):
        raise Refused(f"Cannot start there: {reason}.", "Learn from the base (regime from-base).")
    return _start(home, store, wish, chosen, "as wished")


def _start(home: Home, store: Store, kind: str, chosen: list[Version], why: str) -> Start:
    ranks = [export.rank_of(versions.verify(home, version)) for version in chosen]
    lineage: dict[int, int] = {}
    facts: set[str] = set()
    present = {item.id: item.sha256 for item in documents.documents(store)}
    for version in chosen:
        facts |= practised(home.root / version.directory)
        for row in runs.seen(store, version.run_id or 0):
            file = row["document_id"]
            same = present.get(file) == row["sha256"]  # else it practised what the file said before
            lineage[file] = max(lineage.get(file, 0), int(row["pairs"]) if same else 0)
    rank = sum(ranks) if kind.startswith("merge") else ranks[0]
    numbers = tuple(version.number for version in chosen)
    return Start(kind, numbers, rank, lineage, frozenset(facts), why)


def _newest(home: Home, store: Store, base_sha: str) -> list[Version]:
    """The served version first, then earlier promoted ones of this base."""
    present = pointer.read(home)
    if not present.version or present.base_sha != base_sha:
        return []
    usable = [
        version
        for version in rows.versions(store)
        if version.base_sha == base_sha
        and version.status in ("promoted", "retired")
        and version.number <= present.version
    ]
    usable.sort(key=lambda version: -version.number)
    return usable[:MERGED] if usable and usable[0].number == present.version else []


def _cannot(store: Store, chosen: list[Version]) -> str:
    """Why these versions may not be built upon, or empty."""
    there = {
        item.id: item.path
        for root in documents.roots(store)
        if root.learn
        for item in documents.documents(store, root.id)
        if item.status is FileStatus.INDEXED
    }
    for version in chosen:
        lineage = runs.seen(store, version.run_id or 0)
        if not lineage:
            return f"it is not known what version {version.number} has practised"
        for row in lineage:
            if row["document_id"] not in there:
                return f"version {version.number} has practised {row['path']}, which is gone"
    return ""


def _days_since_base(store: Store, base_sha: str, clock: Clock) -> float:
    """Days since the newest concluded night that started at the base."""
    for run in runs.runs(store, 200):
        fresh = str(run.plan.get("start", "base")) == "base"
        if fresh and run.base_sha == base_sha and run.outcome in _CONCLUDED:
            return (clock.now() - datetime.fromisoformat(run.started_at)) / timedelta(days=1)
    return float("inf")


def _version(store: Store, number: int) -> Version:
    found = rows.version(store, number)
    if found is None or found.status not in ("promoted", "retired"):
        raise Refused(
            f"Version {number}, from which this night was to start, may not be used any more.",
            "`nightschool learn` starts anew.",
        )
    return found
