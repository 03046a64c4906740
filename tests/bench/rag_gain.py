"""Bench what a night adds to search: retrieval with the adapter against retrieval alone, paired.

    make bench NAME=rag-gain [ARGS="--quick"] [ARGS="--seeds 1 2 3 --out DIR"]

Folders of different kind: the example vault; another person's public notes (`--notes DIR`, by
default beside the checkout; left out where absent); and mail that this bench invents. Each is
learned once by the rules of the product, bounded by passes and not by the clock. Then every hidden
question is asked twice, with the base and with the night's adapter at the scale that its exams
chose:

    as users get it   search, reader, generator, support check: what the claim is about
    generator alone   the generator reads the first passage found and nobody checks it

apart for questions hidden by phrasing (the fact was practised, this wording never) and by document
(the file was never practised). Per folder the gain must reach 5 points with p < .05 (exact
one-sided McNemar); where it does not, the gate must have held the night, and its reasons are
printed. What is done is kept in `--out`. One JSON line at the end.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from gate_smoke import learn  # noqa: E402
from people import FIELDS, Fact, invent  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, config, examples, regime  # noqa: E402
from nightschool.engine.examinee import Examinee, Remembered  # noqa: E402
from nightschool.engine.runtime import Runtime  # noqa: E402
from nightschool.evaluate.statistics import Binary, difference, mcnemar, pair_up  # noqa: E402
from nightschool.evaluate.text import contains  # noqa: E402
from nightschool.pairs.forms import fit, question_prompt  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import Pair, PairKind, Split  # noqa: E402
from nightschool.store import db, pairs  # noqa: E402

NOTES = Path(__file__).resolve().parents[3] / "shared" / "data" / "notes" / "kepano"
MOST = 300
GAIN, ALPHA = 5.0, 0.05
WAYS = ("as users get it", "generator alone")
TOLD = {
    "Phone": "You can reach {0} on {1} from now on.",
    "Birthday": "The birthday of {0} is on {1}, please put it into the list.",
    "Favourite tea": "The favourite tea of {0} is {1}.",
    "Desk": "The desk of {0} is in {1} now.",
}
ASIDES = ("Thanks for the minutes.", "The lift is being repaired until Friday.", "See you soon.",
          "I am out of the office next week.", "The printer on our floor works again.")  # fmt: skip


def mail(folder: Path, seed: int) -> None:
    """Messages in which invented people tell of others, two facts each."""
    dice = random.Random(f"mail/{seed}")
    facts = invent(1, 160, 1000 + seed)
    people = sorted({fact.person for fact in facts})
    dice.shuffle(facts)
    folder.mkdir(parents=True, exist_ok=True)
    for number, two in enumerate(zip(facts[::2], facts[1::2], strict=True)):
        sender = dice.choice(people)
        lines = [told(fact) for fact in two]
        lines.insert(dice.randrange(3), dice.choice(ASIDES))
        name = sender.split()[0]
        address = f"{name.lower()}@office.example"
        (folder / f"message-{number:03}.eml").write_text(
            f"From: {sender} <{address}>\nTo: everybody@office.example\n"
            f"Date: {1 + number % 28:02} Jun 2026 09:{number % 60:02}:00 +0000\n"
            f"Subject: {two[0].field} of {two[0].person}\n"
            "Content-Type: text/plain; charset=utf-8\n\n" + "\n".join(lines) + f"\n\n{name}\n",
            encoding="utf-8",
        )


def told(fact: Fact) -> str:
    assert set(TOLD) == set(FIELDS)
    return TOLD[fact.field].format(fact.person, fact.value)


def hidden(home: Home, candidate: Path) -> list[tuple[Pair, str]]:
    """At most `MOST` hidden questions with an answer, spread over the files, and by what each is
    hidden; facts that were left for another night say so."""
    store = db.open_store(home.database)
    asked = [p for p in pairs.all_pairs(store, split=Split.HIDDEN)
             if p.kind in (PairKind.CLOSED, PairKind.READING)]  # fmt: skip
    known = {p.fact for p in pairs.all_pairs(store, split=Split.TRAIN)}
    store.close()
    tonight = regime.practised(candidate)
    unique = list({pair.question: pair for pair in asked}.values())
    if len(unique) > MOST:
        unique = [unique[i * len(unique) // MOST] for i in range(MOST)]
    kinds = [
        "phrasing" if p.fact in tonight else "not practised yet" if p.fact in known else "document"
        for p in unique
    ]
    return list(zip(unique, kinds, strict=True))


def ask(home: Home, adapter: Path, scale: float, report: Report) -> list[dict[str, Any]]:
    """Every hidden question, with and without the adapter: one row of marks each."""
    questions = hidden(home, adapter.parent)
    store = db.open_store(home.database)
    runtime = Runtime(home, store, config.load(None))
    parts = Remembered(runtime)
    arms = {"base": Examinee(runtime, "base", None, 1.0, parts.answering()),
            "adapter": Examinee(runtime, "adapter", adapter, scale, parts.answering())}  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"question": pair.question, "gold": pair.answer, "hidden": kind}
        for pair, kind in questions
    ]  # fmt: skip
    for name, subject in arms.items():
        report.say(f"  {len(rows)} questions to {name}")
        for row in rows:
            hits = parts.search(row["question"])
            prompt = question_prompt(row["question"], fit([(hit.text, "") for hit in hits[:1]]))
            said = subject.served(row["question"]), subject.generate((("user", prompt),))
            for way, text in zip(WAYS, said, strict=True):
                row[f"{way}/{name}"] = contains(text, (row["gold"],))
    runtime.close()
    store.close()
    return rows


def one(folder: Path, notes: Path, plan: dict[str, Any], report: Report) -> dict[str, Any]:
    """One night on one folder, and all its questions."""
    began = time.monotonic()
    home = Home(folder / "home").create()
    with Nightschool(home.root) as door:
        if not door.roots():
            door.watch(notes)
    found = learn(home, plan, report)
    result: dict[str, Any] = {"outcome": found["outcome"], "message": found["message"], "rows": []}
    candidates = sorted(home.runs.glob("*/candidate"), key=lambda path: int(path.parent.name))
    if found["scorecard"] is not None and candidates:
        result["scale"] = found["scorecard"]["scale"]
        adapter = candidates[-1] / "adapter.gguf"
        result["rows"] = ask(home, adapter, result["scale"], report)
    result["minutes"] = (time.monotonic() - began) / 60
    return result


def compare(rows: Sequence[dict[str, Any]], way: str) -> Binary:
    return pair_up([row[f"{way}/adapter"] for row in rows], [row[f"{way}/base"] for row in rows])


def told_of(found: Binary) -> str:
    span = difference(found)
    return (f"{found.reference:.3f} → {found.candidate:.3f} ({100 * found.delta:+.1f} points, "
            f"95 % {100 * span.low:+.1f} to {100 * span.high:+.1f}; +{found.gained} "
            f"−{found.lost} of {found.n}, p = {mcnemar(found):.2g})")  # fmt: skip


def judge(results: dict[str, list[dict[str, Any]]], report: Report) -> None:
    """The claim for each folder, all its seeds together."""
    for name, found in results.items():
        for result in found:
            report.say(f"{name}: {result['outcome']}: {result['message'][:400]}")
        rows = [row for result in found for row in result["rows"]]
        held = all(result["outcome"] != "promoted" for result in found)
        report.exactly(f"{name}: nights with a verdict",
                       sum(result["outcome"] in ("promoted", "held", "rejected")
                           for result in found), len(found), len(found))  # fmt: skip
        if not rows:
            continue
        for way in WAYS:
            report.say(f"{name}, {way}: {told_of(compare(rows, way))}")
            for kind in ("phrasing", "document", "not practised yet"):
                part = [row for row in rows if row["hidden"] == kind]
                if part:
                    report.say(f"    {kind}: {told_of(compare(part, way))}")
        gain = compare(rows, WAYS[0])
        reached = 100 * gain.delta >= GAIN and mcnemar(gain) < ALPHA
        if not reached:
            report.say(
                f"{name}: 5 points are not reached as users get it: retrieval alone is right in "
                f"{gain.reference:.3f}, so {100 * (1 - gain.reference):.1f} are left to gain, and "
                f"the adapter changed {gain.gained + gain.lost} of {gain.n} answers; "
                f"{'the gate held' if held else 'the gate promoted'}"
            )
        report.exactly(f"{name}: +5 points with p < .05, or the gate held",
                       float(reached or held), 1, gain.n)  # fmt: skip


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--facts", type=int, default=140, help="learned by heart a night")
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--notes", type=Path, default=NOTES)
    parser.add_argument("--only", nargs="+", choices=("vault", "notes", "mail"), default=[])
    parser.add_argument("--out", type=Path, help="keep and reuse what was done")
    options = parser.parse_args()
    report = Report(options.quick)
    if options.quick:
        options.seeds, options.facts, options.passes = options.seeds[:1], 40, 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        places: dict[str, Callable[[int], Path]] = {
            "vault": lambda seed: examples.vault_dir(),
            "notes": lambda seed: options.notes,
            "mail": lambda seed: folder / f"mail-{seed}",
        }
        results: dict[str, list[dict[str, Any]]] = {}
        for name in options.only or (["mail"] if options.quick else list(places)):
            if name == "notes" and not options.notes.is_dir():
                report.say(f"left out: there are no notes at {options.notes}")
                continue
            for seed in options.seeds:
                kept = folder / f"{name}-{seed}.json"
                if not kept.exists():
                    report.say(f"{name}, seed {seed}")
                    if name == "mail":
                        mail(folder / f"mail-{seed}", seed)
                    plan = {"seed": seed, "facts": options.facts, "passes": options.passes,
                            "budget_s": 36_000.0}  # fmt: skip
                    place = folder / f"{name}-{seed}-home"
                    result = one(place, places[name](seed), plan, report)
                    kept.write_text(json.dumps(result), encoding="utf-8")
                row = json.loads(kept.read_text(encoding="utf-8"))
                results.setdefault(name, []).append(row)
        judge(results, report)
    report.finish()


if __name__ == "__main__":
    main()
