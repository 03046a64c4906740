"""Bench what a night does with facts that have changed, and with those whose files are gone.

    make bench NAME=changed-facts [ARGS="--quick"] [ARGS="--seeds 1 2 3 --out DIR"]

Three nights on invented people, by the rules of the product, each bounded by passes and not by the
clock:

    1  everybody's note is learned
    2  one fact of some people is another one now; the night goes on from what is served
    3  the notes of others are deleted; what has seen them may not be built upon, so the night
       starts from the base

After each night what is then served is asked, in wordings that were never practised. *Changed*:
which answer wins, the new or the old one, as users get it (search, reader, adapter) and closed book
(the likelier of the two). *Deleted*: closed-book recall in exam and practised wordings, beside that
of the base and that of people whom no file ever named. Where the gate held a night, its candidate
is asked as well: what is served then is the version before. The favourite tea is not asked of the
deleted: there are eight teas, and whoever has learned to answer so guesses one in eight.

Finished nights are kept in `--out`. One JSON line at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from gate_smoke import learn  # noqa: E402
from people import FIELDS, Fact, Stream, held_out  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, config  # noqa: E402
from nightschool.engine.examinee import Examinee, Remembered  # noqa: E402
from nightschool.engine.runtime import Runtime  # noqa: E402
from nightschool.evaluate.statistics import mcnemar, pair_up, wilson  # noqa: E402
from nightschool.evaluate.text import contains, exact  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import PairKind, Split  # noqa: E402
from nightschool.registry import pointer  # noqa: E402
from nightschool.store import db, pairs, runs  # noqa: E402

GUESSED = "Favourite tea"
NIGHTS = ("learned", "changed", "deleted")


class Years(Stream):
    """The notes over three nights: written, some changed, some deleted."""

    def __init__(self, seed: int, people: int, changed: int, deleted: int) -> None:
        # Twice as many are invented as are written: the others are who no file ever names.
        options = argparse.Namespace(
            nights=2, facts=people * len(FIELDS), seed=seed, changed=changed, deleted=deleted
        )
        super().__init__(options)
        everybody = sorted({fact.person for fact in self.facts if not fact.night})
        self.dice.shuffle(everybody)
        self.changing = everybody[:changed]
        fields = list(FIELDS)
        self.to_change = [(p, fields[i % len(fields)]) for i, p in enumerate(self.changing)]
        self.going = everybody[changed : changed + deleted]
        self.asked_of_gone = [f for f in self.of(self.going) if f.field != GUESSED]
        self.strangers = [f for f in self.facts if f.night and f.field != GUESSED]

    def of(self, people: list[str]) -> list[Fact]:
        return [fact for fact in self.facts if fact.person in people]

    def at(self, folder: Path, night: int) -> None:
        """The folder as it is on `night` (0, 1, 2), whatever it was before."""
        folder.mkdir(parents=True, exist_ok=True)
        if night == 1 and not self.old:
            for person, field in self.to_change:
                self.change(person, field)
        self.gone = set(self.going) if night == 2 else set()
        for person in sorted({fact.person for fact in self.facts if not fact.night}):
            path = folder / f"{person}.md"
            if person in self.gone:
                path.unlink(missing_ok=True)
            else:
                lines = [f"{f.field}: {f.value}" for f in self.of([person])]
                text = f"# {person}\n\n" + "\n".join(lines) + "\n"
                if not path.exists() or path.read_text(encoding="utf-8") != text:
                    path.write_text(text, encoding="utf-8")

    def change(self, person: str, field: str) -> None:
        """Another value from now on; the old one is kept in `old`."""
        at = next(i for i, f in enumerate(self.facts) if (f.person, f.field) == (person, field))
        fact = self.facts[at]
        value = fact.value
        while value == fact.value:
            value = FIELDS[field](self.dice)
        self.old[person, field] = fact.value
        self.facts[at] = replace(fact, value=value)


class Course:
    """One seed: a home of its own, three nights, and what was found after each."""

    def __init__(self, seed: int, folder: Path, options: Any, report: Report) -> None:
        self.folder, self.report = folder, report
        self.plan = {"seed": seed, "passes": options.passes, "budget_s": 36_000.0,
                     "facts": options.people * len(FIELDS)}  # fmt: skip
        self.years = Years(seed, options.people, options.changed, options.deleted)
        self.home = Home(folder / "home").create()
        self.home.config.write_text('[learn]\nregime = "continue"\n', encoding="utf-8")
        self.questions: dict[str, list[str]] = {}

    def run(self) -> list[dict[str, Any]]:
        rows = []
        for night, name in enumerate(NIGHTS):
            self.years.at(self.folder / "notes", night)
            kept = self.folder / f"{night + 1}-{name}.json"
            if not kept.exists():
                kept.write_text(json.dumps(self.night(name)), encoding="utf-8")
            row = json.loads(kept.read_text(encoding="utf-8"))
            self.questions = row["questions"]
            self.report.say(f"night {night + 1} ({name}): {row['outcome'][:150]}")
            rows.append(row)
        return rows

    def night(self, name: str) -> dict[str, Any]:
        began = time.monotonic()
        with Nightschool(self.home.root) as door:
            if door.roots():
                door.refresh()
            else:
                door.watch(self.folder / "notes")
        found = learn(self.home, self.plan, self.report)
        asked = self.wordings()
        candidates = sorted(self.home.runs.glob("*/candidate"), key=lambda p: int(p.parent.name))
        scale = (found.get("scorecard") or {}).get("scale", 1.0)
        row: dict[str, Any] = {
            "outcome": f"{found['outcome']}: {found['message']}",
            "start": self.started(),
            "minutes": (time.monotonic() - began) / 60,
            "questions": self.questions | asked if name == NIGHTS[0] else self.questions,
        }
        self.questions = row["questions"]
        row["served"] = self.ask(asked, *self.serving())
        row["base"] = self.ask(asked, None, 1.0)
        if found["outcome"] != "promoted" and candidates:
            adapter = candidates[-1] / "adapter.gguf"
            if adapter.exists():
                row["candidate"] = self.ask(asked, adapter, scale)
        return row

    def started(self) -> str:
        """Where the newest night began: base or parent."""
        store = db.open_store(self.home.database)
        newest = runs.runs(store, 1)
        store.close()
        return str(newest[0].plan.get("start", "base")) if newest else ""

    def wordings(self) -> dict[str, list[str]]:
        """`person/field` → the exam's wording first, then one that is practised."""
        exam = held_out(self.home)
        store = db.open_store(self.home.database)
        train = pairs.all_pairs(store, kind=PairKind.CLOSED, split=Split.TRAIN)
        store.close()
        found = {}
        for fact in self.years.facts:
            hidden = exam.get((fact.person, fact.value))
            same = [p.question for p in train
                    if p.answer == fact.value and fact.person in p.question]  # fmt: skip
            if hidden:
                found[f"{fact.person}/{fact.field}"] = [hidden, *sorted(same)[:1]]
        return found

    def serving(self) -> tuple[Path | None, float]:
        present = pointer.read(self.home)
        if not present.version:
            return None, 1.0
        return self.home.root / present.directory / "adapter.gguf", present.scale

    def ask(
        self, asked: dict[str, list[str]], adapter: Path | None, scale: float
    ) -> dict[str, Any]:
        """What one adapter answers: `changed` rows, and marks on the deleted and on strangers."""
        store = db.open_store(self.home.database)
        runtime = Runtime(self.home, store, config.load(None))
        subject = Examinee(runtime, "x", adapter, scale, Remembered(runtime).answering())
        changed = []
        for (person, field), old in self.years.old.items():
            key = f"{person}/{field}"
            wording = (asked.get(key) or self.questions.get(key) or [""])[0]
            if wording:
                changed.append(self.contest(subject, wording, self.now(person, field), old))
        coming = [f for f in self.years.of(self.years.changing)
                  if (f.person, f.field) in self.years.to_change]  # fmt: skip
        knew = [exact(subject.generate((("user", asked[key][0]),)), (fact.value,))
                for fact in coming if (key := f"{fact.person}/{fact.field}") in asked]  # fmt: skip
        gone = [exact(subject.generate((("user", wording),)), (fact.value,))
                for fact in self.years.asked_of_gone
                for wording in self.questions.get(f"{fact.person}/{fact.field}", ())]  # fmt: skip
        strangers = [exact(subject.generate((("user", wording),)), (fact.value,))
                     for fact, wording in self.unheard()]  # fmt: skip
        runtime.close()
        store.close()
        return {"knew": knew, "changed": changed, "gone": gone, "strangers": strangers}

    def unheard(self) -> list[tuple[Fact, str]]:
        """Questions on people of whom no file tells, in the wordings used for those it does."""
        dice = random.Random(1)
        found = []
        for fact in self.years.strangers:
            alike = [(key.split("/")[0], wording) for key, (wording, *_) in self.questions.items()
                     if key.endswith(f"/{fact.field}")]  # fmt: skip
            if alike:
                person, wording = dice.choice(alike)
                found.append((fact, wording.replace(person, fact.person)))
        return found

    def now(self, person: str, field: str) -> str:
        return next(f.value for f in self.years.of([person]) if f.field == field)

    @staticmethod
    def contest(subject: Examinee, wording: str, new: str, old: str) -> dict[str, Any]:
        """New against old: what is said closed book, which is likelier (nats), and as served."""
        said = subject.generate((("user", wording),))
        served = subject.served(wording)
        return {
            "new": exact(said, (new,)),
            "old": exact(said, (old,)),
            "lead": likelihood(subject, wording, new) - likelihood(subject, wording, old),
            "served_new": contains(served, (new,)),
            "served_old": contains(served, (old,)),
            "said": [said, served, new, old],
        }


def likelihood(subject: Examinee, wording: str, answer: str) -> float:
    """Log-probability of the answer after the question, a mean per token (nats)."""
    head = subject.prompt((("user", wording),))
    tail = subject.tokenize(answer)
    rows = subject.logprobs([*head, *tail])
    gained = [float(rows[len(head) + i - 1, token]) for i, token in enumerate(tail)]
    return sum(gained) / max(len(gained), 1)


def judge(seeds: dict[int, list[dict[str, Any]]], report: Report) -> None:
    """Checks over all seeds together; the parts of each seed are said beside."""
    for seed, (first, second, third) in seeds.items():
        knew = first["served"]["knew"]
        report.say(f"seed {seed}: {sum(knew)} of {len(knew)} facts that change later were known by "
                   f"heart before; night 2 began at {second['start']}, night 3 at "
                   f"{third['start']}")  # fmt: skip
        for row, name in zip((first, second, third), NIGHTS, strict=True):
            for who in ("served", "candidate"):
                if who in row:
                    report.say(f"  after {name}, {who}: {told(row[who])}")
    contests = [item for rows in seeds.values() for item in rows[1]["served"]["changed"]]
    after = [item for rows in seeds.values() for item in rows[2]["served"]["changed"]]
    for label, items in (("after the change", contests), ("after the relearn", after)):
        n = max(len(items), 1)
        won = sum(item["served_new"] and not item["served_old"] for item in items)
        share(report, f"new answer wins as users get it, {label}", won, n, 0.90)
        likelier = sum(item["lead"] > 0 for item in items)
        share(report, f"new answer wins closed book, {label}", likelier, n, 0.90)
    known = [mark for rows in seeds.values() for mark in rows[0]["served"]["gone"]]
    report.say(f"deleted facts: {sum(known)} of {len(known)} were recalled before their deletion")
    marks = [mark for rows in seeds.values() for mark in rows[2]["served"]["gone"]]
    base = [mark for rows in seeds.values() for mark in rows[2]["base"]["gone"]]
    others = [mark for rows in seeds.values() for mark in rows[2]["served"]["strangers"]]
    for label, found in (("relearned", marks), ("base", base), ("people no file named", others)):
        low, high = wilson(sum(found), len(found)) if found else (0.0, 1.0)
        report.say(f"deleted facts, {label}: {sum(found)} of {len(found)} "
                   f"(95 % {low:.3f} to {high:.3f})")  # fmt: skip
    paired = pair_up(marks, base)
    report.say(f"relearned against base: +{paired.gained} −{paired.lost}, "
               f"one-sided McNemar p = {mcnemar(paired):.3g}")  # fmt: skip
    report.at_most("deleted facts recalled beyond the base", sum(marks) - sum(base), 0, len(marks))


def told(found: dict[str, Any]) -> str:
    items = found["changed"]
    count = [sum(map(bool, column)) for column in (
        [i["new"] for i in items], [i["old"] for i in items], [i["lead"] > 0 for i in items],
        [i["served_new"] for i in items], [i["served_old"] for i in items],
    )]  # fmt: skip
    return (f"changed n = {len(items)}: closed book new {count[0]}, old {count[1]}, new likelier "
            f"{count[2]}; as users get it new {count[3]}, old {count[4]}; deleted "
            f"{sum(found['gone'])}/{len(found['gone'])}, never named "
            f"{sum(found['strangers'])}/{len(found['strangers'])}")  # fmt: skip


def share(report: Report, name: str, right: int, n: int, bound: float) -> None:
    low, high = wilson(right, n)
    report.say(f"{name}: {right}/{n} (95 % {low:.3f} to {high:.3f})")
    if not report.quick:  # whose nights are too short to learn anything
        report.at_least(name, right / n, bound, n)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--people", type=int, default=30, help="notes of four facts each")
    parser.add_argument("--changed", type=int, default=16, help="people of whom a fact changes")
    parser.add_argument("--deleted", type=int, default=8, help="people whose note is deleted")
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--out", type=Path, help="keep and reuse what was done")
    options = parser.parse_args()
    report = Report(options.quick)
    if options.quick:
        options.seeds = options.seeds[:1]
        options.people, options.changed, options.deleted, options.passes = 16, 8, 4, 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        found = {}
        for seed in options.seeds:
            report.say(f"seed {seed}")
            found[seed] = Course(seed, folder / f"seed-{seed}", options, report).run()
    reached = sum("Error" not in row["outcome"].split(":")[0] for r in found.values() for row in r)
    report.exactly("nights that reached a verdict", reached, 3 * len(found), 3 * len(found))
    judge(found, report)
    report.finish()


if __name__ == "__main__":
    main()
