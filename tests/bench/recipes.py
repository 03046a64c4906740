"""Bench every recipe on one night of the example vault: same facts, same steps, one table.

    make bench NAME=recipes [ARGS="--quick"] [ARGS="--only lora vera --out DIR"]

The plan is bounded by passes, not by the clock, so a busy machine changes the minutes alone. What
is done is kept in `--out` and not done again. Prints a table of closed-book recall in unseen
wordings, ΔNLL on general text, minutes of practice, size of the adapter, whether it exports, and
the gate's verdict; then one JSON line. Only `lora`'s recall and faithful exports are bounded: the
others are what they are.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from gate_smoke import learn  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
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


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", choices=PAGES, default=[])
    parser.add_argument("--plan", type=json.loads, default={}, help="settings as a JSON object")
    parser.add_argument("--out", type=Path, help="keep and reuse what was done")
    options = parser.parse_args()
    report = Report(options.quick)
    names = options.only or (["lora", "vera", "dora"] if options.quick else list(PAGES))
    plan = {**(QUICK if options.quick else PLAN), **options.plan}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        rows = []
        for name in names:
            kept = folder / f"{name}.json"
            if not kept.exists():
                report.say(name)
                row = one(name, plan, folder, report)
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
            if name == "lora" and not options.quick:
                report.at_least("lora: closed-book recall", row["recall"], 0.3, row["n"])
    report.finish()


if __name__ == "__main__":
    main()
