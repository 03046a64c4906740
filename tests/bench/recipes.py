"""Bench every recipe on one night of the example vault: same facts, same steps, one table.

    make bench NAME=recipes [ARGS="--quick"] [ARGS="--small"] [ARGS="--only lora vera --out DIR"]

The plan is bounded by passes, not by the clock, so a busy machine changes the minutes alone. What
is done is kept in `--out` and not done again. Prints a table of closed-book recall in unseen
wordings, ΔNLL on general text, minutes of practice, size of the adapter, whether it exports, and
the gate's verdict; then one JSON line. Only `lora`'s recall and faithful exports are bounded: the
others are what they are. `--small` teaches a dozen facts and asks only recall, general text and
abstaining, at full scale: no verdict, but all recipes in minutes.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from gate_sabotage import Bench  # noqa: E402
from gate_smoke import learn  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
from nightschool.evaluate import statistics  # noqa: E402
from nightschool.pairs.forms import ABSTAIN  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.train.recipes import PAGES, recipe  # noqa: E402

PLAN = {"facts": 40, "passes": 12, "budget_s": 3600.0, "seed": 1}
QUICK = {"facts": 40, "passes": 2, "budget_s": 3600.0, "seed": 1}
RECALL = "gain: closed-book recall, unseen phrasing"
DRIFT = "general text, ΔNLL against the base"


def one(name: str, plan: dict[str, Any], folder: Path, report: Report) -> dict[str, Any]:
    """One night with this recipe, in a home of its own, or why there is none."""
    if reason := recipe(name).refused:
        return {"recipe": name, "exports": False, "outcome": "refused", "why": reason}
    home = Home(folder / name).create()
    with Nightschool(home.root) as door:
        if not door.roots():
            door.watch(examples.vault_dir())
    began = time.monotonic()
    result = learn(home, {**plan, "recipe": name}, report)
    row: dict[str, Any] = {"recipe": name, "outcome": result["outcome"], "why": result["message"]}
    if result["scorecard"] is None:
        raise SystemExit(f"{name}: the night did not reach a verdict: {result['message']}")
    candidates = sorted(home.runs.glob("*/candidate"), key=lambda path: int(path.parent.name))
    if not candidates or not (candidates[-1] / "manifest.json").exists():
        return {**row, "exports": False}
    manifest = json.loads((candidates[-1] / "manifest.json").read_text(encoding="utf-8"))
    figures = {f["name"]: f for f in result["scorecard"]["figures"]}
    return {
        **row,
        "exports": True,
        "recall": float(figures[RECALL]["note"].split(" → ")[1].split(",")[0]),
        "n": figures[RECALL]["n"],
        "dnll": figures[DRIFT]["value"],
        "dnll_high": figures[DRIFT]["high"],
        "scale": result["scorecard"]["scale"],
        "steps": manifest["steps"],
        "minutes": manifest["seconds"] / 60,
        "night": (time.monotonic() - began) / 60,
        "kilobytes": (candidates[-1] / "adapter.gguf").stat().st_size / 1000,
        "parity": manifest["parity"]["difference"] / max(manifest["parity"]["effect"], 1e-9),
    }


def few(bench: Bench, name: str, options: Any) -> dict[str, Any]:
    """One recipe on `options.facts` facts, without the gate."""
    if reason := recipe(name).refused:
        return {"recipe": name, "exports": False, "outcome": "refused", "why": reason}
    case = bench.case
    kept = list(dict.fromkeys(a for _, a in case.lesson.closed if a != ABSTAIN))[: options.facts]
    closed = [(q, a) for q, a in case.lesson.closed if a in (*kept, ABSTAIN)][: 9 * options.facts]
    lesson = replace(case.lesson, closed=closed, context=case.lesson.context[:40])
    recall = tuple(q for q in case.material.recall if set(q.answers) & set(kept))
    plan = replace(case.plan, recipe=name, passes=options.passes)
    adapter = bench.fit(replace(case, lesson=lesson, plan=plan), bench.folder / name)
    manifest = json.loads((adapter.parent / "manifest.json").read_text(encoding="utf-8"))
    material = replace(case.material, recall=recall)
    names = ("general", "recall", "abstain")
    base = bench.sheet("the base", None, 1.0, material, ("general",))
    sheet = bench.sheet(name, adapter, 1.0, material, names)
    moved = [(a - b) / max(n, 1) for (a, n), (b, _) in
             zip(sheet.general, base.general, strict=True)]  # fmt: skip
    drift = statistics.bootstrap(moved, [float(n) for _, n in base.general],
                                 [str(i) for i in range(len(moved))])  # fmt: skip
    marks = sheet.right["recall"]
    abstained = sheet.right["abstain"]
    return {
        "recipe": name,
        "exports": True,
        "outcome": f"abstains {sum(abstained) / len(abstained):.3f}",
        "recall": sum(marks) / max(len(marks), 1),
        "n": len(marks),
        "dnll": drift.value,
        "dnll_high": drift.high,
        "scale": 1.0,
        "steps": manifest["steps"],
        "minutes": manifest["seconds"] / 60,
        "kilobytes": adapter.stat().st_size / 1000,
        "parity": manifest["parity"]["difference"] / max(manifest["parity"]["effect"], 1e-9),
    }


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", choices=PAGES, default=[])
    parser.add_argument("--plan", type=json.loads, default={}, help="settings as a JSON object")
    parser.add_argument("--small", action="store_true", help="a dozen facts, no gate")
    parser.add_argument("--facts", type=int, default=12, help="with --small")
    parser.add_argument("--passes", type=int, default=12, help="with --small")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep and reuse what was done")
    options = parser.parse_args()
    report = Report(options.quick)
    names = options.only or (["lora", "vera", "dora"] if options.quick else list(PAGES))
    plan = {**(QUICK if options.quick else PLAN), **options.plan}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        rows = []
        bench = Bench(folder, options, report) if options.small else None
        for name in names:
            kept = folder / f"{name}.json"
            if not kept.exists():
                report.say(name)
                row = few(bench, name, options) if bench else one(name, plan, folder, report)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(row), encoding="utf-8")
            rows.append(json.loads(kept.read_text(encoding="utf-8")))
    print(
        "| recipe | recall | ΔNLL (upper 95 %) | scale | minutes | steps | kB | parity | verdict |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        if not row["exports"]:
            print(
                f"| {row['recipe']} | not exported: {row['why']} | | | | | | | {row['outcome']} |"
            )
            continue
        print(
            f"| {row['recipe']} | {row['recall']:.3f} | {row['dnll']:.3f} ({row['dnll_high']:.3f})"
            f" | {row['scale']:g} | {row['minutes']:.1f} | {row['steps']} "
            f"| {row['kilobytes']:.0f} | {row['parity']:.1e} | {row['outcome']} |"
        )
    for row in rows:
        name = row["recipe"]
        report.exactly(f"{name} exports, or is refused beforehand",
                       float(row["exports"] or row["outcome"] == "refused"), 1, 1)  # fmt: skip
        if row["exports"]:
            report.at_most(f"{name}: torch against llama.cpp, share of the effect",
                           row["parity"], 0.1, 20)  # fmt: skip
            if name == "lora" and not (options.quick or options.small):
                report.at_least("lora: closed-book recall", row["recall"], 0.3, row["n"])
    report.finish()


if __name__ == "__main__":
    main()
