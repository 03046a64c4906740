"""Bench many nights in a row: invented facts a night, recall of every earlier night after each.

    make bench NAME=stream [ARGS="--quick"] [ARGS="--arms ours naive --nights 10 --out DIR"]

Each night new notes appear in the folder; some facts of earlier nights are changed (`--changed`),
some files deleted (`--deleted`). Arms, on the same notes and budget:

    ours       the product: nights through the gate, regime as given by --regime
    from-base  the same, every night anew from the base
    naive      what continual fine-tuning does without us: goes on from yesterday, no replay, no KL,
               no gate, serves the newest

R[i, j] is closed-book recall, in wordings that were never practised, of night j's facts by what is
served after night i. Reported: ACC, BWT, FWT, forgetting (methods.md 2.3), ΔNLL on general text,
changed and deleted facts, minutes. Every finished night is kept in `--out` and not done again. One
JSON line at the end.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from gate_smoke import learn  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, config  # noqa: E402
from nightschool.engine.examinee import Examinee, Remembered  # noqa: E402
from nightschool.engine.runtime import Runtime  # noqa: E402
from nightschool.evaluate import probes  # noqa: E402
from nightschool.evaluate.subject import Material, Question  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import PairKind, Plan  # noqa: E402
from nightschool.registry import pointer  # noqa: E402
from nightschool.store import db, pairs  # noqa: E402
from nightschool.syllabus import syllabus  # noqa: E402
from nightschool.train import export  # noqa: E402
from nightschool.train import night as training  # noqa: E402

ARMS = ("ours", "from-base", "naive")
FIELDS = {
    "Phone": lambda d: f"0{d.randint(100, 999)} {d.randint(100, 999)} {d.randint(1000, 9999)}",
    "Birthday": lambda d: f"{d.randint(1, 28)} {d.choice(MONTHS)}",
    "Favourite tea": lambda d: d.choice(TEAS),
    "Desk": lambda d: f"row {d.randint(1, 90)}",
}
MONTHS = ["January", "March", "April", "June", "July", "September", "October", "December"]
TEAS = ["sencha", "rooibos", "darjeeling", "lapsang", "chamomile", "assam", "hojicha", "mint"]
ENDS = ["brack", "dun", "fell", "garth", "holm", "moor", "stead", "wick", "thorn", "vale"]


@dataclass(frozen=True)
class Fact:
    """One invented fact: `person`'s `field` is `value`, told on `night`."""

    night: int
    person: str
    field: str
    value: str


def invent(nights: int, facts: int, seed: int) -> list[Fact]:
    """`facts` a night, four a person; no name comes twice."""
    dice = random.Random(f"stream/{seed}")
    found: list[Fact] = []
    used: set[str] = set()
    for night in range(nights):
        while sum(fact.night == night for fact in found) < facts:
            name = (
                dice.choice("ABDEFGHIKLMNOPRSTUV")
                + dice.choice("aeiou")
                + dice.choice(["lda", "rvin", "mund", "nka", "sper", "thel", "vrek", "zmin"])
            )
            person = (
                f"{name} {dice.choice('BCDGHKLMNPRSTVW')}{dice.choice('aeiou')}{dice.choice(ENDS)}"
            )
            if person in used:
                continue
            used.add(person)
            for field, value in FIELDS.items():
                found.append(Fact(night, person, field, value(dice)))
    return found


class Stream:
    """The notes as they stand on one night; `changed` and `deleted` take effect from then on."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.facts = invent(options.nights, options.facts, options.seed)
        self.dice = random.Random(f"change/{options.seed}")
        self.old: dict[tuple[str, str], str] = {}
        self.gone: set[str] = set()

    def write(self, folder: Path, night: int) -> None:
        """Add this night's notes; now and then change or delete what was there."""
        folder.mkdir(parents=True, exist_ok=True)
        if night:
            before = sorted({f.person for f in self.facts if f.night < night} - self.gone)
            for person in self.dice.sample(before, min(self.options.changed, len(before))):
                self._change(person)
                self._note(folder, person)
            before = [person for person in before if not any(p == person for p, _ in self.old)]
            for person in self.dice.sample(before, min(self.options.deleted, len(before))):
                self.gone.add(person)
                (folder / f"{person}.md").unlink(missing_ok=True)
        for person in dict.fromkeys(f.person for f in self.facts if f.night == night):
            self._note(folder, person)

    def _change(self, person: str) -> None:
        at = next(i for i, f in enumerate(self.facts) if f.person == person and f.field == "Desk")
        fact = self.facts[at]
        self.old[person, fact.field] = fact.value
        self.facts[at] = replace(fact, value=f"row {int(fact.value.split()[1]) + 100}")

    def _note(self, folder: Path, person: str) -> None:
        lines = [f"{f.field}: {f.value}" for f in self.facts if f.person == person]
        (folder / f"{person}.md").write_text(
            f"# {person}\n\n" + "\n".join(lines) + "\n", encoding="utf-8"
        )


def held_out(home: Home) -> dict[tuple[str, str], str]:
    """The exam wordings of every fact: (person, answer) → question that is never practised."""
    store = db.open_store(home.database)
    found = {}
    for pair in pairs.all_pairs(store, kind=PairKind.CLOSED):
        if pair.split.value != "train":
            for person in _people(pair.question):
                found[person, pair.answer] = pair.question
    store.close()
    return found


def _people(question: str) -> Sequence[str]:
    words = question.replace("’s", "").replace("'s", "").replace("?", "").split()
    return [f"{a} {b}" for a, b in itertools.pairwise(words)]


class Arm:
    """One way of learning, in a home of its own."""

    def __init__(self, name: str, folder: Path, options: Any, report: Report) -> None:
        self.name, self.options, self.report = name, options, report
        self.stream = Stream(options)
        self.folder = folder / name
        self.home = Home(self.folder / "home").create()
        regime = options.regime if name == "ours" else "from-base"
        self.home.config.write_text(f'[learn]\nregime = "{regime}"\n', encoding="utf-8")
        self.adapter: tuple[Path, float] | None = None

    def run(self) -> list[dict[str, Any]]:
        """All nights; those that are kept are only read."""
        rows = []
        for night in range(self.options.nights):
            kept = self.folder / f"night-{night + 1}.json"
            if kept.exists():
                self._replay(night)
                rows.append(json.loads(kept.read_text(encoding="utf-8")))
                continue
            row = self.night(night)
            kept.write_text(json.dumps(row), encoding="utf-8")
            rows.append(row)
        return rows

    def _replay(self, night: int) -> None:
        """Bring the invented notes to where the kept night left them."""
        self.stream.write(self.folder / "notes", night)

    def night(self, night: int) -> dict[str, Any]:
        began = time.monotonic()
        notes = self.folder / "notes"
        self.stream.write(notes, night)
        with Nightschool(self.home.root) as door:
            if door.roots():
                door.refresh()
            else:
                door.watch(notes)
        plan = {"seed": self.options.seed, "budget_s": self.options.seconds}
        if self.name == "naive":
            outcome = self.naive(night)
        else:
            found = learn(self.home, plan, self.report)
            outcome = f"{found['outcome']}: {found['message']}"
        row = {"night": night + 1, "outcome": outcome, **self.examine()}
        row["minutes"] = (time.monotonic() - began) / 60
        known = [f"{value:.2f}" for value in row["recall"][: night + 1]]
        self.report.say(f"{self.name}, night {night + 1}: {outcome[:90]}; recall {known}, "
                        f"ΔNLL {row['dnll']:+.3f}, {row['minutes']:.1f} min")  # fmt: skip
        return row

    def naive(self, night: int) -> str:
        """Go on from yesterday with tonight's facts alone; whatever comes out is served."""
        with Nightschool(self.home.root) as door:
            door.learn(dry_run=True)  # writes the questions
        store = db.open_store(self.home.database)
        runtime = Runtime(self.home, store, config.load(None))
        lessons = syllabus(store, set())
        tonight = {f.value for f in self.stream.facts if f.night == night}
        closed = [(q, a) for q, a in lessons.closed if a in tonight]
        folder = self.folder / f"naive-{night + 1}"
        before = self.folder / f"naive-{night}" / "candidate" / "adapter.gguf"

        def served(adapter: Path | None) -> Any:
            def run(ids: Any) -> Any:
                runtime.llama.activate(None if adapter is None else runtime.llama.adapter(adapter))
                return runtime.llama.logits(ids)

            return run

        plan = Plan(replay=0.0, kl=0.0, kl_text=0.0, seed=self.options.seed, passes=40,
                    budget_s=self.options.seconds, learning_rate=2e-3)  # fmt: skip
        done = training.fit(
            runtime.model.path, runtime.model.sha256, training.Lesson(closed, (), (), ()), plan,
            folder, served, threads=0, report=lambda *_: None, check=lambda: None,
            start=(lambda shape: export.read_gguf(before, shape)) if before.exists() else None,
        )  # fmt: skip
        runtime.close()
        store.close()
        return f"served: {done.steps} steps, loss {done.losses[-1]:.3f}"

    def serving(self, home: Home, night: int) -> tuple[Path | None, float]:
        if self.name == "naive":
            return self.folder / f"naive-{night}" / "candidate" / "adapter.gguf", 1.0
        present = pointer.read(home)
        if not present.version:
            return None, 1.0
        return home.root / present.directory / "adapter.gguf", present.scale

    def examine(self) -> dict[str, Any]:
        """Recall of each night's facts, changed and deleted ones, and general text."""
        asked = held_out(self.home)
        store = db.open_store(self.home.database)
        runtime = Runtime(self.home, store, config.load(None))
        answering = Remembered(runtime).answering()
        done = len(list(self.folder.glob("night-*.json"))) + 1
        path, scale = self.serving(self.home, done)
        subject = Examinee(runtime, "served", path, scale, answering)
        base = Examinee(runtime, "base", None, 1.0, answering)

        def recall(facts: list[Fact]) -> tuple[float, int]:
            questions = [Question(asked[f.person, f.value], (f.value,)) for f in facts
                         if (f.person, f.value) in asked]  # fmt: skip
            if not questions:
                return 0.0, 0
            marks = probes.examine(subject, Material(recall=tuple(questions)),
                                   lambda *_: None, ["recall"]).right["recall"]  # fmt: skip
            return sum(marks) / len(marks), len(marks)

        current = [f for f in self.stream.facts if f.person not in self.stream.gone]
        by_night = [recall([f for f in current if f.night == night])
                    for night in range(self.options.nights)]  # fmt: skip
        changed = recall([f for f in current if (f.person, f.field) in self.stream.old])
        sheets = [probes.examine(one, Material(), lambda *_: None, ["general"])
                  for one in (subject, base)]  # fmt: skip
        nats = [sum(total for total, _ in sheet.general) for sheet in sheets]
        tokens = sum(count for _, count in sheets[0].general)
        runtime.close()
        store.close()
        return {
            "recall": [value for value, _ in by_night],
            "asked": [count for _, count in by_night],
            "changed": changed,
            "dnll": (nats[0] - nats[1]) / max(tokens, 1),
        }


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """ACC, BWT and forgetting of the matrix R (methods.md 2.3)."""
    matrix = [row["recall"] for row in rows]
    last, nights = matrix[-1], len(matrix)
    earlier = range(nights - 1)
    return {
        "acc": sum(last[:nights]) / nights,
        "bwt": sum(last[j] - matrix[j][j] for j in earlier) / max(nights - 1, 1),
        "forgetting": sum(max(matrix[i][j] for i in range(j, nights)) - last[j] for j in earlier)
        / max(nights - 1, 1),
        "dnll": rows[-1]["dnll"],
        "minutes": sum(row["minutes"] for row in rows) / nights,
    }


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["ours", "naive"])
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--facts", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="training a night")
    parser.add_argument("--changed", type=int, default=1, help="notes changed a night")
    parser.add_argument("--deleted", type=int, default=0, help="notes deleted a night")
    parser.add_argument("--regime", default="continue", choices=("continue", "from-base"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="keep and reuse what was done")
    options = parser.parse_args()
    report = Report(options.quick)
    if options.quick:
        options.nights, options.seconds = 2, 20.0
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        for name in options.arms:
            rows = Arm(name, folder, options, report).run()
            found[name] = figures(rows)
            report.say(f"{name}: R =")
            for row in rows:
                report.say("   " + " ".join(f"{v:.2f}" for v in row["recall"][: len(rows)]))
            report.say(f"{name}: {found[name]}; changed facts {rows[-1]['changed']}")
            reached = sum(bool(row["outcome"]) for row in rows)
            report.exactly(f"{name}: nights that ended", reached, options.nights, options.nights)
            asked = sum(rows[-1]["asked"])
            report.at_least(f"{name}: facts with an exam wording", asked,
                            0.5 * options.nights * options.facts, asked)  # fmt: skip
    if "ours" in found and not options.quick:
        ours = found["ours"]
        total = options.nights * options.facts
        report.at_least("ours: recall of all facts after the last night", ours["acc"], 0.8, total)
        report.at_least("ours: BWT", ours["bwt"], -0.05, total)
        report.at_most("ours: ΔNLL, nats a token", ours["dnll"], 0.05, 72)
        if "naive" in found:
            lead = 100 * (ours["acc"] - found["naive"]["acc"])
            report.at_least("ours above naive, points", lead, 20, total)
    report.finish()


if __name__ == "__main__":
    main()
