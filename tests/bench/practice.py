"""Bench one night on the example vault with any settings of a plan: how experiments are made.

    make bench NAME=practice ARGS='--plan {"learning_rate":0.002,"budget_s":120}'

Prints the score card with every figure; its only check is that the night reached a verdict.
Results worth keeping go to docs/experiments.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from gate_smoke import learn  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
from nightschool.paths import Home  # noqa: E402


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--plan", type=json.loads, default={}, help="settings as a JSON object")
    parser.add_argument("--folder", type=Path, default=examples.vault_dir())
    options = parser.parse_args()
    report = Report(options.quick)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").create()
        with Nightschool(home.root) as door:
            door.watch(options.folder)
        plan = {"budget_s": 30.0, **options.plan} if options.quick else options.plan
        result = learn(home, plan, report)
        report.say(f"{result['outcome']}: {result['message']}")
        report.exactly("a verdict was reached", float(result["scorecard"] is not None), 1, 1)
    report.finish()


if __name__ == "__main__":
    main()
