"""Bench resuming: SIGKILL the learner in mid-training, learn again, and ask all the while.

    make bench NAME=resume [ARGS="--quick"]

Checks that the second `learn` goes on where the first was killed, that it reaches a verdict, and
that the served version and its answers never changed until then. Prints one JSON line last.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
from nightschool.children.child import Child  # noqa: E402
from nightschool.errors import ChildError  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.registry import pointer  # noqa: E402
from nightschool.store import db, runs  # noqa: E402


def killed(home: Home, plan: dict[str, Any], report: Report) -> int:
    """Learn until a checkpoint is on disk, then SIGKILL the whole group. Returns its step."""
    child = Child("nightschool.cycle", [str(home.root)], log=home.logs / "learner.log")
    child.wait_ready()
    try:
        for _ in child.stream("learn", {"plan": plan}):
            found = list(home.runs.glob("*/checkpoint/state.json"))
            if found:
                step = int(json.loads(found[0].read_text(encoding="utf-8"))["step"])
                os.killpg(child.process.pid, signal.SIGKILL)
                break
    except ChildError:
        pass
    child.kill()
    report.say(f"killed; the checkpoint is at step {step}")
    return step


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    question = next(q for q in examples.questions() if q.kind == "span").question
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").create()
        with Nightschool(home.root) as door:
            door.watch(examples.vault_dir())
            before = door.ask(question)
            plan = {"seed": 3, "budget_s": 75.0 if options.quick else 150.0}
            step = killed(home, plan, report)
            report.at_least("steps saved when it was killed", step, 1, 1)
            served = pointer.read(home).version
            report.exactly("the served version after the kill", served, 0, 1)
            report.exactly("its answer is the same",
                           float(door.ask(question).text == before.text), 1, 1)  # fmt: skip
            first: list[tuple[int, int]] = []

            def progress(stage: str, done: int, total: int) -> None:
                if stage == "practise" and not first:
                    first.append((done, total))

            night = door.learn(seed=3, progress=progress)
            report.say(f"resumed at {first}; {night.outcome}: {night.message}")
            report.exactly("the first step after the kill", first[0][0] - 1, step, 1)
            report.exactly("a verdict was reached", float(night.scorecard is not None), 1, 1)
        store = db.open_store(home.database)
        report.exactly("it is the same run", len(runs.runs(store)), 1, 1)
        store.close()
    report.finish()


if __name__ == "__main__":
    main()
