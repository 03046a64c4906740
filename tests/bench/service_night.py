"""A night that comes by itself, and a second one that has nothing to do.

    python tests/bench/service_night.py [--quick] [--budget SECONDS]

The daemon runs with a clock that this script moves: it starts at noon, is set to shortly before
the window, runs fast, and is later set forward to the next evening. Everything else is real: the
vault is indexed, the learner child practises, is killed in the middle of it, goes on by itself and
is examined, the gate decides. With the budget of the `vault` benchmark (270 s) it usually promotes.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from bench_report import Report, arguments  # noqa: E402
from service_harness import Service, copy_vault, service, until  # noqa: E402

CLOCK = "BENCH_CLOCK"
SPEED = 60.0
"""Bench seconds a real second: the six minutes before the window take six seconds."""
NOON = datetime(2026, 11, 20, 12, 0)  # local time of the daemon
EVENING_H, NEXT_EVENING_H = 9.9, 33.9
"""Hours that are added to it."""
STAGE_TO_KILL = "practise"


@dataclass
class MovedClock:
    """Runs `SPEED` times as fast from noon, plus the hours that the script put in a file."""

    file: Path
    began: float

    def now(self) -> datetime:
        hours = float(self.file.read_text() or "0")
        passed = timedelta(seconds=(time.monotonic() - self.began) * SPEED, hours=hours)
        return NOON.astimezone().astimezone(UTC) + passed

    def monotonic(self) -> float:
        return time.monotonic() * SPEED


def daemon() -> None:
    """The service itself, with the moved clock and a user who is away."""
    from nightschool import config, paths
    from nightschool.daemon import logs
    from nightschool.daemon.app import Daemon

    home = paths.home().create()
    logs.configure(home.logs)
    clock = MovedClock(Path(os.environ[CLOCK]), time.monotonic())
    Daemon(home, config.load(home.config), clock=clock, idle=lambda: 3600.0, pulse_s=0.5).run()


def stage(door: Service) -> str:
    """The stage of the running night, empty when none runs."""
    night = door.status()["night"]
    return str((night["progress"] or {}).get("stage", "")) if night["state"] == "running" else ""


def follow(report: Report, door: Service, timeout: float) -> dict[str, Any]:
    """Wait for the end of the running night; what the schedule remembers of it."""
    shown = ""

    def over() -> dict[str, Any] | None:
        nonlocal shown
        night = door.status()["night"]
        if night["state"] == "running":
            stage = str((night["progress"] or {}).get("stage"))
            if stage != shown:
                shown = stage
                report.say(f"       {stage}")
            return None
        last: dict[str, Any] | None = night["last"]
        return last

    return until(over, timeout, "the night ends", 1.0)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--budget", type=int, help="seconds of training")
    options = parser.parse_args()
    report = Report(options.quick)
    with tempfile.TemporaryDirectory() as temporary:
        moved = Path(temporary) / "hours"
        moved.write_text("0")
        environment = {
            CLOCK: str(moved),
            "NIGHTSCHOOL_LEARN_WINDOW": "22:00-07:00",
            "NIGHTSCHOOL_LEARN_BUDGET_S": str(options.budget or (45 if options.quick else 270)),
            "NIGHTSCHOOL_LEARN_AUTOMATIC": "yes",
            "NIGHTSCHOOL_LEARN_MAX_OTHERS": "1",  # a bench may have to share its machine
            "NIGHTSCHOOL_LEARN_DAILY_BUDGET_S": "86400",
            "BENCH_DAEMON": "1",
        }
        with service(environment=environment, arguments=(str(Path(__file__)),)) as door:
            door.watch(copy_vault(Path(temporary)), timeout=120)
            before = door.status()["night"]
            report.say(f"before the window: {before['reason']}")
            report.exactly(
                "says_that_the_window_is_closed",
                float("Outside the night window" in before["reason"]), 1, 1,
            )  # fmt: skip
            moved.write_text(str(EVENING_H))
            until(lambda: door.status()["night"]["state"] == "running", 120, "a night starts", 0.5)
            report.say("a night has started by itself")
            until(lambda: stage(door) == STAGE_TO_KILL, 1800, "the practice begins", 0.2)
            os.kill(door.children()["learner"]["pid"], signal.SIGKILL)
            report.say("the learner was killed in the middle of its practice")
            until(lambda: stage(door) == "", 60, "the end of the learner is seen", 0.05)
            reason = door.status()["night"]["reason"]
            report.say(f"the schedule: {reason}")
            until(lambda: stage(door) != "", 300, "the night goes on by itself", 0.2)
            last = follow(report, door, 3600)
            report.say(f"it ended: {last['outcome']}: {last['message'][:200]}")
            report.exactly("night_started_by_the_schedule", float(last["by"] == "schedule"), 1, 1)
            report.exactly(
                "night_reached_a_verdict",
                float(last["outcome"] in ("promoted", "held", "rejected")), 1, 1,
            )  # fmt: skip
            promoted = last["outcome"] == "promoted"
            implied = last["version"] if promoted else 0
            report.say(f"the verdict implies that version {implied} answers")
            answer = door.post("/ns/ask", {"question": "When was the boiler serviced?"})
            report.exactly("next_answer_names_the_version", answer["version"], implied, 1)
            served = door.status()["serving"]["version"]
            report.exactly("status_names_the_version", served, implied, 1)
            runs = door.get("/ns/runs")["runs"]
            report.exactly("nights_it_took_with_the_kill", len(runs), 1, 1)
            moved.write_text(str(NEXT_EVENING_H))
            report.say("the clock is a day later")
            waiting = until(
                lambda: (lambda n: n if "Nothing new" in n["reason"] else None)(
                    door.status()["night"]
                ),
                60, "the schedule says why it waits", 0.5,
            )  # fmt: skip
            report.say(f"second night: {waiting['reason']}")
            deadline = time.monotonic() + (20 if options.quick else 60)
            while time.monotonic() < deadline:
                if door.status()["night"]["state"] == "running":
                    break
                time.sleep(0.5)
            again = len(door.get("/ns/runs")["runs"]) - len(runs)
            report.exactly("second_night_runs", again, 0, 1)
            state = door.status()["night"]
            report.exactly("second_night_says_why", float("Nothing new" in state["reason"]), 1, 1)
            report.exactly("daemon_still_ready", float(door.status()["state"] == "ready"), 1, 1)
    report.finish()


if __name__ == "__main__":
    if os.environ.get("BENCH_DAEMON"):
        daemon()
    else:
        main()
