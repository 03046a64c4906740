"""A stream of nights from the first to the last: notes, questions, each arm, its exam, the page.

python -m nightschool.children.launch 0 0 nightschool.lab.stream.run HOME

stream   see `Options`   → {"figures", "rows", "page", "state"}

Everything that is finished lies in the state folder and is not done again: the questions of each
night, what each arm served after it, and its exam. The folder belongs to one set of options.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nightschool import examples
from nightschool.api import Nightschool
from nightschool.children.worker import Job, Worker
from nightschool.errors import TooLittle, UsageError
from nightschool.lab.stream import learners, material
from nightschool.lab.stream.exam import Room, compared, sample
from nightschool.lab.stream.learners import ARMS, CONFIG, Course, Learned
from nightschool.lab.stream.material import Asked, Night
from nightschool.lab.stream.page import page
from nightschool.lab.stream.summary import share, summary, table
from nightschool.lab.stream.world import World
from nightschool.paths import Home
from nightschool.ports import Progress

OF_INDEX = ("rag", "ours")
"""Arms that need the index as it is on the night: they cannot be added later."""


@dataclass(frozen=True, slots=True)
class Options:
    """`passes` are those of one night of `ours`, in at most so many `seconds`; the others are those
    of `World`."""

    nights: int = 10
    facts: int = 20
    arms: tuple[str, ...] = ARMS
    seed: int = 1
    seconds: float = 3600.0
    passes: int = 8
    changed: int = 1
    contradicted: int = 1
    deleted: int = 1

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Options:
        """From plain values. Raises UsageError for what makes no stream."""
        given = {item.name: raw[item.name] for item in fields(cls) if item.name in raw}
        found = cls(**{**given, "arms": tuple(given.get("arms", ARMS))})
        unknown = set(found.arms) - set(ARMS)
        if unknown or not found.arms:
            raise UsageError(f"There is no arm {', '.join(sorted(unknown))!r}.",
                             f"Arms are {', '.join(ARMS)}.")  # fmt: skip
        if found.nights < 1 or found.facts < 1 or found.seconds <= 0 or found.passes < 1:
            raise UsageError("A stream has at least one night, fact, pass and second.", "")
        return found


class Stream:
    """One run in its state folder. `report` hears of progress and may raise to stop."""

    def __init__(self, options: Options, state: Path, report: Progress) -> None:
        self.options, self.state, self.report = options, state, report
        self.world = World(options.seed, options.nights, options.facts, options.changed,
                           options.contradicted, options.deleted)  # fmt: skip
        self._belongs()
        self.home = Home(state / "home").create()
        if not self.home.config.exists():
            self.home.config.write_text(CONFIG, encoding="utf-8")
        self.notes = (state / "notes").resolve()
        self._plain = 0.0  # nats of the base on general text, once they are known
        self.course = Course(self.home, state, options.nights, options.seed, options.seconds,
                             options.passes)  # fmt: skip

    def run(self) -> dict[str, Any]:
        """All nights of all arms; the result is the same however often it was broken off."""
        rows: dict[str, list[dict[str, Any]]] = {arm: [] for arm in self.options.arms}
        for night in range(self.options.nights):
            tonight = self._questions(night)
            for arm in self.options.arms:
                rows[arm].append(self._row(arm, night, tonight))
        found = {arm: summary(arm, rows, self.options.nights) for arm in self.options.arms}
        drawn = page(f"{self.options.nights} nights of {self.options.facts} facts, seed "
                     f"{self.options.seed}", rows, table(found))  # fmt: skip
        (self.state / "stream.html").write_text(drawn, encoding="utf-8")
        result = {"options": asdict(self.options), "figures": found, "rows": rows,
                  "state": str(self.state), "page": str(self.state / "stream.html")}  # fmt: skip
        (self.state / "stream.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        return result

    def _belongs(self) -> None:
        """Raises UsageError when the folder holds another stream."""
        self.state.mkdir(parents=True, exist_ok=True)
        mine = {k: v for k, v in asdict(self.options).items() if k != "arms"}
        kept = self.state / "options.json"
        if kept.exists() and json.loads(kept.read_text(encoding="utf-8")) != mine:
            raise UsageError(f"{self.state} holds a stream with other options.",
                             "Name another --state folder, or the same options.")  # fmt: skip
        kept.write_text(json.dumps(mine), encoding="utf-8")

    def _questions(self, night: int) -> Night:
        kept = self.state / f"questions-{night + 1}.json"
        if kept.exists():
            return material.load(kept)
        self.report(f"night {night + 1}: notes", night, self.options.nights)
        self.world.write(self.notes, night)
        with Nightschool(self.home.root) as door:
            if door.roots():
                door.refresh()
            else:
                door.watch(examples.vault_dir(), learn=False)  # real documents, to search among
                door.watch(self.notes)
            with contextlib.suppress(TooLittle):  # which is known when they are written
                door.learn(dry_run=True)  # writes the questions
        facts = self.world.at(night)
        before = {f.key: f.value for f in self.world.at(night - 1)} if night else {}
        new = {f.key for f in facts if before.get(f.key, f.value) != f.value}
        found = material.of(self.home, self.notes, facts, night, new)
        material.save(found, kept)
        return found

    def _row(self, arm: str, night: int, tonight: Night) -> dict[str, Any]:
        kept = self.state / f"{arm}-{night + 1}.json"
        if kept.exists():
            row: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
            return row
        if arm in OF_INDEX and (self.state / f"questions-{night + 2}.json").exists():
            raise UsageError(f"The index of {self.state} is past night {night + 1}.",
                             f"The arm {arm} needs a state folder of its own.")  # fmt: skip
        learned = self._learned(arm, night, tonight)
        with Room(self.home, self.report) as room:
            row = {"night": night + 1, **asdict(learned), **self._exam(room, arm, night, tonight,
                                                                       learned)}  # fmt: skip
        kept.write_text(json.dumps(row), encoding="utf-8")
        self.report(f"night {night + 1}, {arm}: {row['outcome'][:70]}; knows "
                    f"{row['known']:.2f}, ΔNLL {row['dnll']:+.3f}", night + 1,
                    self.options.nights)  # fmt: skip
        return row

    def _learned(self, arm: str, night: int, tonight: Night) -> Learned:
        """What the arm serves after this night, learned now or found as it was left."""
        kept = self.state / f"learned-{arm}-{night + 1}.json"
        if not kept.exists():
            before = self._served(arm, night - 1)
            found = learners.learn(arm, self.course, night, tonight, before, self.report)
            kept.write_text(json.dumps(asdict(found)), encoding="utf-8")
        return self._served(arm, night) or Learned("nothing is learned")

    def _served(self, arm: str, night: int) -> Learned | None:
        kept = self.state / f"learned-{arm}-{night + 1}.json"
        return Learned(**json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else None

    def _exam(
        self, room: Room, arm: str, night: int, tonight: Night, learned: Learned
    ) -> dict[str, Any]:
        subject = room.subject(learned.path, learned.scale)
        clear = [one for one in tonight.asked if not one.other]
        marks = room.recall(subject, clear)
        sure = [(one, mark) for one, mark in zip(clear, marks, strict=True)
                if one.hidden == material.PHRASING]  # fmt: skip
        early = [one for one in clear if one.night == night]
        yesterday = self._served(arm, night - 1) or Learned("")
        before = room.recall(room.subject(yesterday.path, yesterday.scale), early)
        changed = [one for one in clear if one.old]
        gone = self._gone(night)
        nats, tokens = room.general(subject)
        if not self._plain:
            self._plain = room.general(room.subject(None))[0] if learned.path else nats
        row: dict[str, Any] = {
            "recall": [share([m for o, m in zip(clear, marks, strict=True) if o.night == j])
                       for j in range(night + 1)],
            "practised": share([mark for _, mark in sure]),
            "before": share(before),
            "known": share(marks),
            "tonight": share([m for o, m in zip(clear, marks, strict=True) if o.night == night]),
            "asked": len(clear),
            "kept_out": len(clear) - len(sure),
            "dnll": (nats - self._plain) / max(tokens, 1),
        }  # fmt: skip
        if changed:
            row["changed"] = {"n": len(changed), "new": share(room.recall(subject, changed)),
                              "old": share(room.recall(subject, changed, old=True))}  # fmt: skip
        if gone:
            row["gone"] = {"n": len(gone), "known": share(room.recall(subject, gone))}
        if arm in OF_INDEX:
            row |= self._as_users_get_it(room, arm, night, tonight, learned)
        return row

    def _as_users_get_it(
        self, room: Room, arm: str, night: int, tonight: Night, learned: Learned
    ) -> dict[str, Any]:
        last = night + 1 == self.options.nights
        asked = sample(tonight.asked, len(tonight.asked) if last else 60)
        kept = self.state / f"alone-{night + 1}.json"
        if not kept.exists():
            kept.write_text(json.dumps(room.served(room.subject(None), asked)), encoding="utf-8")
        alone = json.loads(kept.read_text(encoding="utf-8"))
        adapter = alone
        if learned.path:
            adapter = room.served(room.subject(learned.path, learned.scale), asked)
        found = compared(asked, alone, adapter)
        return {"against": found, "served": {k: v["adapter"] for k, v in found.items() if v["n"]}}

    def _gone(self, night: int) -> list[Asked]:
        """Facts of deleted notes, as they were last asked."""
        lost = {f.key for f in self.world.gone(night)}
        found: dict[str, Asked] = {}
        for earlier in range(night):
            kept = self.state / f"questions-{earlier + 1}.json"
            found |= {one.key: one for one in material.load(kept).asked if one.key in lost}
        return list(found.values())


def main(arguments: Sequence[str]) -> None:
    """`HOME` as the only argument, which is not touched; serves `stream`."""

    def stream(params: dict[str, Any], job: Job) -> dict[str, Any]:
        def report(stage: str, done: int, total: int) -> None:
            job.check()
            worker.beat()
            job.emit({"stage": stage, "done": done, "total": total})

        return Stream(Options.of(params), Path(params["state"]), report).run()

    handlers: dict[str, Callable[[dict[str, Any], Job], Any]] = {"stream": stream}
    worker = Worker(handlers)
    worker.run({"pid": os.getpid()})
