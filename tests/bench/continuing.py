"""Bench three nights that build on each other: anew, continued, merged; through the real learner.

    make bench NAME=continuing [ARGS="--seconds 40"]

What the gate thinks of such short nights is not asked here: each candidate that was not rejected is
served by hand, as if it had passed, so that the next night has something to start from. Checked are
the start, the rank, the lineage and the facts of each. One JSON line at the end.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from gate_smoke import learn  # noqa: E402
from people import Stream  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, regime  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.registry import versions  # noqa: E402
from nightschool.store import db, runs  # noqa: E402
from nightschool.store import versions as rows  # noqa: E402
from nightschool.train import export  # noqa: E402


def night(home: Home, wishes: dict[str, Any], report: Report) -> int:
    """One night, its candidate served whatever the gate said; the version's number."""
    found = learn(home, wishes, report)
    report.say(f"{wishes.get('start', 'base')}: {found['outcome']}: {found['message'][:160]}")
    store = db.open_store(home.database)
    number = found.get("version")
    if number is None:
        raise SystemExit(f"no version to go on from: {found['message']}")
    rows.set_status(store, number, "promoted", "served by the bench")
    versions.use(home, store, number)
    store.close()
    return int(number)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    options.nights, options.facts, options.seed = 2, 20, 1
    options.changed, options.deleted = 0, 0
    report = Report(options.quick)
    stream = Stream(options)
    with tempfile.TemporaryDirectory() as temporary:
        home = Home(Path(temporary) / "home").create()
        notes = Path(temporary) / "notes"
        wishes: dict[str, Any] = {"budget_s": options.seconds, "seed": 1}
        stream.write(notes, 0)
        with Nightschool(home.root) as door:
            door.watch(notes)
        numbers = [night(home, wishes, report)]
        stream.write(notes, 1)
        with Nightschool(home.root) as door:
            door.refresh()
        numbers.append(night(home, {**wishes, "start": "parent"}, report))
        if not options.quick:
            numbers.append(night(home, {**wishes, "start": "merge:ties"}, report))
        store = db.open_store(home.database)
        found = [rows.version(store, number) for number in numbers]
        facts = [regime.practised(home.root / item.directory) for item in found if item]
        seen = [runs.practised(store, [item.run_id or 0]) for item in found if item]
        plans = [runs.run(store, item.run_id or 0) for item in found if item]
        ranks = [export.rank_of(versions.verify(home, item)) for item in found if item]
        store.close()
    starts = [plan.plan["start"] for plan in plans if plan]
    report.say(f"starts {starts}, ranks {ranks}, facts {[len(each) for each in facts]}")
    report.exactly("the second night continued", float(starts[1] == "parent"), 1, 1)
    report.exactly("… with all that the first had practised",
                   float(facts[0] < facts[1] and seen[0] < seen[1]), 1, len(facts[1]))  # fmt: skip
    if not options.quick:
        report.exactly("the third merged", float(starts[2] == "merge:ties"), 1, 1)
        report.exactly("… both, at the sum of their ranks", ranks[2], sum(ranks[:2]), 1)
        report.exactly("… with the lineage of both", float(seen[2] == seen[1]), 1, len(seen[2]))
    report.finish()


if __name__ == "__main__":
    main()
