"""Bench many nights in a row: invented facts a night, recall of every earlier night after each.

    make bench NAME=stream [ARGS="--quick"] [ARGS="--seeds 1 --arms ours naive --state DIR"]

`nightschool eval stream` for several seeds: the notes, arms and figures are those of
`nightschool.lab.stream`. Every finished night is kept in `--state` and not done again. Bounds hold
for the mean over the seeds; the spread is printed. `--quick` is two nights of one seed, and only
checks that they end and are examined. One JSON line at the end.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from nightschool.cli.streams import BWT, DRIFT, LEAD, RECALL  # noqa: E402
from nightschool.lab.stream.learners import ARMS  # noqa: E402
from nightschool.lab.stream.run import Options, Stream  # noqa: E402


def speaker(report: Report) -> Callable[[str, int, int], None]:
    """Says each stage once, and the end of every night."""
    last = ""

    def told(stage: str, done: int, total: int) -> None:
        nonlocal last
        if stage != last and ("night" in stage or done == total):
            report.say(f"{stage} ({done} of {total})")
        last = stage

    return told


def shown(report: Report, seed: int, found: dict[str, Any]) -> None:
    for arm, rows in found["rows"].items():
        report.say(f"seed {seed}, {arm}: R =")
        for row in rows:
            report.say("   " + " ".join(f"{value:.2f}" for value in row["recall"]))
        for row in rows if arm in ("ours", "naive") else ():
            report.say(f"   night {row['night']}: {row['outcome'][:200]}")
        for name, value in found["figures"][arm].items():
            report.say(f"   {name}: {value:.4g}")


def judge(report: Report, seeds: dict[int, dict[str, Any]]) -> None:
    """The bounds for the means; the lowest and highest seed are said."""

    def mean(arm: str, name: str) -> float:
        values = [found["figures"][arm][name] for found in seeds.values()]
        report.say(f"{arm}, {name}: {fmean(values):.4f} ({min(values):.4f} to {max(values):.4f})")
        return fmean(values)

    total = sum(found["figures"]["ours"]["facts asked"] for found in seeds.values())
    recall = mean("ours", "recall of all facts")
    report.at_least("ours: recall of all facts after the last night", recall, RECALL, total)
    report.at_least("ours: BWT", mean("ours", "BWT"), BWT, total)
    report.at_most("ours: ΔNLL, nats a token", mean("ours", "ΔNLL"), DRIFT, 72 * len(seeds))
    if all("naive" in found["figures"] for found in seeds.values()):
        lead = recall - mean("naive", "recall of all facts")
        report.at_least("ours above naive", lead, LEAD, total)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--facts", type=int, default=20)
    parser.add_argument("--passes", type=int, default=Options().passes)
    parser.add_argument("--seconds", type=float, default=Options().seconds, help="of practice")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--state", "--out", type=Path, help="keep and reuse what was done")
    options = parser.parse_args()
    report = Report(options.quick)
    if options.quick:
        options.nights, options.seeds, options.passes = 2, options.seeds[:1], 4
    seeds: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in options.seeds:
            chosen = Options(nights=options.nights, facts=options.facts, arms=tuple(options.arms),
                             seed=seed, seconds=options.seconds, passes=options.passes)  # fmt: skip
            state = (options.state or Path(temporary)) / f"seed-{seed}"
            seeds[seed] = Stream(chosen, state, speaker(report)).run()
            shown(report, seed, seeds[seed])
    for arm in options.arms:
        ended = sum(len(found["rows"][arm]) for found in seeds.values())
        wanted = options.nights * len(seeds)
        report.exactly(f"{arm}: nights that ended and were examined", ended, wanted, wanted)
    asked = sum(max(row["asked"] for row in found["rows"][options.arms[0]][-1:])
                for found in seeds.values())  # fmt: skip
    there = 0.8 * options.nights * options.facts * len(seeds)
    report.at_least("facts with a question that is never practised", asked, there, asked)
    if "ours" in options.arms and not options.quick:
        judge(report, seeds)
    report.finish()


if __name__ == "__main__":
    main()
