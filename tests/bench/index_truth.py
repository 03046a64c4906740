"""Bench the promise that the index is the disk: 500 runs of 50 random steps each.

    make bench NAME=index-truth [ARGS="--quick"] [ARGS="--seed 2"]

Creates, edits (in place, atomically, as vim does), renames (case only, too), moved and deleted
trees, copies, permissions, links, pipes, ignore patterns, an unmounted root, restarts, lost events,
in any order (`tests/index_machine.py`). A run that ends with a difference is shown in full, cut
down to the steps that matter, and fails the benchmark.
"""

from __future__ import annotations

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


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report(options.quick)
    runs, steps = (25, 30) if options.quick else (500, 50)
    wrong = 0
    with tempfile.TemporaryDirectory() as place, Sandbox(Path(place) / "log") as sandbox:
        Machine.sandbox = sandbox

        @seed(options.seed)
        class Seeded(Machine):
            pass

        try:
            run_state_machine_as_test(
                Seeded,
                settings=settings(
                    max_examples=runs,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except AssertionError:
            wrong = 1
            traceback.print_exc()
        report.say(f"{Machine.steps} changes of files in {Machine.runs} runs of {steps} steps")
    report.at_least("runs", Machine.runs, runs, runs)
    report.exactly("runs after which index and disk differ", wrong, 0, Machine.runs)
    report.finish()


if __name__ == "__main__":
    main()
