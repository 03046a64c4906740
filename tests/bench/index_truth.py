"""Bench the promise that the index is the disk: 500 runs of 50 random steps each.

    make bench NAME=index-truth [ARGS="--quick"] [ARGS="--seed 2"] [ARGS="--work FILE"]

Creates, edits (in place, atomically, as vim does), renames (case only, too), moved and deleted
trees, copies, permissions, links, pipes, ignore patterns, an unmounted root, restarts, lost events,
in any order (`tests/index_machine.py`). A run that ends with a difference is shown in full, cut
down to the steps that matter, and fails the benchmark. Runs come in batches with a seed of their
own; with `--work`, finished batches are noted in that file and not done again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from hypothesis import HealthCheck, seed, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from index_machine import Machine  # noqa: E402
from nightschool.ingest.sandbox import Sandbox  # noqa: E402

BATCH = 25


def batch(number: int, steps: int) -> int:
    """One batch of runs; how many ended with a difference (it stops at the first)."""

    @seed(number)
    class Seeded(Machine):
        pass

    try:
        run_state_machine_as_test(
            Seeded,
            settings=settings(
                max_examples=BATCH,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except AssertionError:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="a file to go on from after an interruption")
    options = parser.parse_args()
    report = Report(options.quick)
    runs, steps = (25, 30) if options.quick else (500, 50)
    done: dict[str, list[int]] = {}
    if options.work is not None and options.work.exists():
        done = json.loads(options.work.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as place, Sandbox(Path(place) / "log") as sandbox:
        Machine.sandbox = sandbox
        numbers = range(1000 * options.seed, 1000 * options.seed + runs // BATCH)
        names = {number: f"{number} of {steps} steps" for number in numbers}
        for number, name in names.items():
            if name in done:
                continue
            Machine.runs = Machine.steps = 0
            wrong = batch(number, steps)
            done[name] = [Machine.runs, Machine.steps, wrong]
            report.say(f"batch {name}: {Machine.runs} runs, {Machine.steps} changes, {wrong} wrong")
            if options.work is not None:
                options.work.write_text(json.dumps(done), encoding="utf-8")
    total = [sum(column) for column in zip(*(done[name] for name in names.values()), strict=True)]
    report.say(f"{total[1]} changes of files in {total[0]} runs of {steps} steps")
    report.at_least("runs", total[0], runs, runs)
    report.exactly("runs after which index and disk differ", total[2], 0, total[0])
    report.finish()


if __name__ == "__main__":
    main()
