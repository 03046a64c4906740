"""A week with Nightschool: edits, sleeps, battery, user returns, two power cuts, and real nights.

    make bench NAME=week [ARGS="--quick"]

One real service on a copy of the example vault, with the shipped model. Its calendar is moved by
this script: it runs `SPEED` times as fast, and jumps over the hours in which nothing happens, as
after a sleep. Power and the user are files. In some nights there is a reason to learn, and then
everything is real: questions, practice, exams, verdict; in the others there is a reason not to, and
the reason is looked at. After every event the index is compared with the disk by hash, and the
served version is loaded. Prints what happened, the service's own log, and one JSON line last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import psutil  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.records import FileStatus  # noqa: E402
from nightschool.registry import pointer, versions  # noqa: E402
from nightschool.store import documents, runs  # noqa: E402
from nightschool.store import versions as rows  # noqa: E402
from nightschool.store.db import Store, open_store  # noqa: E402
from service_harness import Service, service, until  # noqa: E402

CLOCK, USER, PLUG = "BENCH_CLOCK", "BENCH_USER", "BENCH_PLUG"
SPEED = 60.0
"""Seconds of the week a real second."""
MONDAY = datetime(2026, 11, 16, 12, 0)  # local time of the service
EVENING, MIDNIGHT, MORNING, NOON = 21.9, 25.0, 30.5, 36.0
"""Hours after midnight of a day; a night belongs to the day on which it begins."""
CONCLUDED = ("promoted", "held", "rejected")
FIRST, LATER = ("House", "Garden", "Health"), ("Meetings", "People")
"""Folders of the vault that are there from the beginning, and that come on Thursday."""
NIGHT_S = 900.0
SEEN_S = 60.0
"""Longest wait for a change to come into the index, on a machine that does other work too."""
GROWTH_MB = 60
"""What a home may grow by in the days after its first night."""


# -- the service ---------------------------------------------------------------------------------


@dataclass
class WeekClock:
    """From Monday noon, `SPEED` times as fast, plus the hours that the script put in a file."""

    file: Path
    began: float

    def now(self) -> datetime:
        moved = json.loads(self.file.read_text())
        passed = (time.monotonic() - self.began - moved["real_s"]) * SPEED
        return MONDAY.astimezone().astimezone(UTC) + timedelta(hours=moved["hours"], seconds=passed)

    def monotonic(self) -> float:
        return time.monotonic() * SPEED


def daemon() -> None:
    """The service, with that calendar, and a user and a plug that are files."""
    from dataclasses import replace

    from nightschool import config, paths
    from nightschool.daemon import logs
    from nightschool.daemon.app import Daemon
    from nightschool.device.conditions import Conditions, Machine

    home = paths.home().create()
    logs.configure(home.logs)
    user, plug, look = Path(os.environ[USER]), Path(os.environ[PLUG]), Machine().look

    def machine(whole: bool) -> Conditions:
        percent = float(plug.read_text())  # 100 is mains
        return replace(look(False), mains=percent == 100, battery=percent, others=0.0, pressure=0.0)

    class Neighbour(Daemon):
        """Its learner is no background work: this is about the calendar, and a bench may have to
        share its machine with others, whom a night would let go first."""

        def _make_children(self) -> None:
            super()._make_children()
            self._learner.nice = 0

    Neighbour(
        home, config.load(home.config), clock=WeekClock(Path(os.environ[CLOCK]), 0.0),
        idle=lambda: 0.0 if user.exists() else 7200.0, machine=machine, pulse_s=0.5,
    ).run()  # fmt: skip


# -- the week ------------------------------------------------------------------------------------


@dataclass
class Week:
    """The script's hands: calendar, user, plug, files, and what is looked at after each event."""

    report: Report
    door: Service
    folder: Path
    vault: Path
    lines: list[str] = field(default_factory=list)
    checks: int = 0
    wrong_index: int = 0
    wrong_version: int = 0
    nights: list[int] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    _hours: float = 0.0
    _set_at: float = field(default_factory=time.monotonic)

    # -- time

    def hour(self) -> float:
        """Hours since midnight of Monday."""
        return 12 + self._hours + (time.monotonic() - self._set_at) * SPEED / 3600

    def go_to(self, day: int, hour: float) -> None:
        """Move the calendar, on or back; the service takes it for a sleep, or a clock that was
        set."""
        self._hours, self._set_at = 24.0 * day + hour - 12, time.monotonic()
        moved = {"hours": self._hours, "real_s": self._set_at}
        clock = self.folder / "clock"
        clock.with_suffix(".tmp").write_text(json.dumps(moved))
        clock.with_suffix(".tmp").replace(clock)

    def tell(self, text: str) -> None:
        day, hour = divmod(self.hour(), 24)
        name = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[int(day) % 7]
        line = f"{name} {int(hour):02d}:{int(hour % 1 * 60):02d}  {text}"
        self.lines.append(line)
        self.report.say(line)

    # -- the user

    def user(self, there: bool) -> None:
        user = self.folder / "user"
        user.touch() if there else user.unlink(missing_ok=True)

    def plug(self, percent: int) -> None:
        (self.folder / "plug").write_text(str(percent))

    def sleeps(self, seconds: float) -> None:
        """The lid is shut: the service stands still while the calendar goes on."""
        assert self.door.process is not None
        self.door.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.door.process.send_signal(signal.SIGCONT)

    def power_cut(self) -> None:
        """Everything ends at once, children too; then the service comes back."""
        assert self.door.process is not None
        tree = [psutil.Process(self.door.process.pid)]
        tree += tree[0].children(recursive=True)
        for process in tree:
            process.suspend()
        for process in tree:
            process.kill()
        self.door.process.wait(10)
        self.door.start()

    # -- looking

    def night(self) -> dict[str, Any]:
        found: dict[str, Any] = self.door.status()["night"]
        return found

    def stage(self) -> str:
        night = self.night()
        return (
            str((night["progress"] or {}).get("stage", "")) if night["state"] == "running" else ""
        )

    def concluded(self) -> int:
        return sum(run["outcome"] in CONCLUDED for run in self.door.get("/ns/runs")["runs"])

    def audit(self, when: str) -> None:
        """Index = disk, and exactly one version that loads."""
        self.door.wait_quiet(120)
        self.checks += 1
        with reading(self.door) as store:
            # On a busy machine the first word of a change may come later than this look.
            deadline = time.monotonic() + SEEN_S
            while (index := indexed(store)) != (disk := on_disk(self.vault)):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            if index != disk:
                self.wrong_index += 1
                self.tell(f"{when}: the index differs from the disk in {index ^ disk}")
            present = pointer.read(self.door.home)
            row = rows.version(store, present.version) if present.version else None
        said = self.door.post("/ns/ask", {"question": "When was the boiler serviced?"})
        good = said["version"] == present.version
        if present.version:
            good = good and row is not None and row.status == "promoted"
            good = good and row is not None and versions.verify(self.door.home, row).is_file()
        if not good:
            self.wrong_version += 1
            self.tell(f"{when}: version {present.version} is to answer, {said['version']} did")

    def held(self, day: int, expected: int, meanwhile: Callable[[], None] | None = None) -> None:
        """From the evening to the morning of a day: as many nights as expected, and why."""
        before = self.concluded()
        self.go_to(day, EVENING)
        if expected:
            until(lambda: self.stage() or self.concluded() > before, 120,
                  f"a night starts; {self.night()['reason']}", 0.3)  # fmt: skip
            self.tell("a night begins by itself")
            if meanwhile:
                meanwhile()
            until(lambda: self.concluded() > before, NIGHT_S,
                  f"a verdict; {self.night()}; {self.door.log()}", 0.5)  # fmt: skip
            until(lambda: not self.stage(), 60, "the night is over", 0.2)
            last = self.night()["last"]
            self.tell(f"the night ends: {last['outcome']}. {last['message'][:150]}")
        for hour in (EVENING + 0.5, MIDNIGHT, MORNING):
            if self.hour() < 24 * day + hour:
                self.go_to(day, hour)
                if meanwhile and not expected:
                    meanwhile()
                time.sleep(4.0)  # it has looked at least twice by now
                reason = self.night()["reason"]
                self.tell(f"no night (more): {reason}" if not self.stage() else "A NIGHT RUNS")
        found = self.concluded() - before
        self.nights.append(int(found == expected))
        self.go_to(day, NOON)
        self.audit("next noon")
        size = sum(p.stat().st_size for p in self.door.home.root.rglob("*") if p.is_file()) / 1e6
        self.sizes.append(size)
        self.tell(f"{found} night(s), {expected} expected; the home takes {size:.0f} MB")


@contextlib.contextmanager
def reading(door: Service) -> Iterator[Store]:
    """The store, for a look from outside."""
    store = open_store(door.home.database)
    try:
        yield store
    finally:
        store.close()


def indexed(store: Store) -> set[tuple[str, str]]:
    """`(path, sha256)` of every file that is found by a search."""
    return {
        (item.path, item.sha256)
        for item in documents.documents(store)
        if item.status is FileStatus.INDEXED
    }


def on_disk(vault: Path) -> set[tuple[str, str]]:
    """The same of what lies in the folder."""
    return {
        (path.relative_to(vault).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files(vault)
    }


def files(vault: Path) -> Iterator[Path]:
    return (path for path in sorted(vault.rglob("*")) if path.is_file())


# -- the days ------------------------------------------------------------------------------------


def monday(week: Week) -> None:
    week.go_to(0, 12)
    week.audit("the first noon")
    note = week.vault / "House" / "Boiler.md"
    note.write_text(note.read_text() + "\nThe plumber's van is bright orange.\n")
    (week.vault / "Garden" / "Apple trees.md").rename(week.vault / "Garden" / "Old apple trees.md")
    week.tell("one note was edited, one renamed")
    week.audit("after the edits")

    def meanwhile() -> None:
        for _ in range(2):
            until(lambda: week.stage() in ("practise", "reading", "served answers"), 400,
                  "it practises", 0.1)  # fmt: skip
            time.sleep(3.0)
            week.user(there=True)
            until(lambda: not week.stage(), 10, "it gives way", 0.02)
            week.tell(f"the user is back: {week.night()['last']['message']}")
            time.sleep(2.0)
            week.tell(f"it waits: {week.night()['reason']}")
            week.user(there=False)
            until(week.stage, 60, "it goes on", 0.2)

    week.held(0, 1, meanwhile)


def tuesday(week: Week) -> None:
    week.held(1, 0)


def wednesday(week: Week) -> None:
    note = week.vault / "Health" / "Dentist.md"
    note.write_text(note.read_text() + "\nThe dentist's parrot is called Molar.\n")
    week.sleeps(6.0)
    week.tell("it slept; one line was written meanwhile")
    week.audit("after the sleep")
    week.go_to(2, 15)
    week.go_to(2, 9)
    week.tell("the clock was set forward, and back by six hours")
    week.audit("after the clock was set")
    week.held(2, 0)


def thursday(week: Week) -> None:
    for name in LATER:
        shutil.copytree(examples.vault_dir() / name, week.vault / name)
    week.tell(f"{len(LATER)} folders were copied in, and the plug is pulled")
    week.plug(34)
    week.audit("after the copy")
    week.held(3, 0)
    week.plug(100)


def friday(week: Week) -> None:
    def meanwhile() -> None:
        until(lambda: week.stage() == "practise", 400, "it practises", 0.1)
        time.sleep(10.0)
        week.power_cut()
        week.tell("power cut in the middle of the practice; the service is back")
        week.audit("after the first power cut")
        until(week.stage, 120, "it goes on", 0.2)
        week.tell("the night goes on by itself")

    week.held(4, 1, meanwhile)


def saturday(week: Week) -> None:
    (week.vault / "Meetings").rename(week.vault / "Old meetings")
    for path in list(files(week.vault / "House"))[:1]:
        path.unlink()
    for number in range(40):
        words = f"# Note {number}\n\nThe crate {number} holds {number * 3} lemons.\n"
        (week.vault / f"Note {number}.md").write_text(words)
    time.sleep(2.5)
    week.power_cut()
    week.tell("a folder was renamed, a note deleted, 40 written, and in the midst of it the power "
              "was cut")  # fmt: skip
    week.audit("after the second power cut")
    with reading(week.door) as store:
        week.tell(f"{len(runs.runs(store))} nights so far; {week.night()['reason']}")
    week.held(5, 1)


def sunday(week: Week) -> None:
    week.user(there=True)
    week.held(6, 0)
    week.user(there=False)


DAYS = (monday, tuesday, wednesday, thursday, friday, saturday, sunday)


def readable(log: str) -> int:
    """Lines of the service's log that a person could not read: no sentence, or a traceback."""
    lines = [line for line in log.splitlines() if line.strip()]
    return sum("Traceback" in line or line.startswith((" ", "\t", "{")) for line in lines)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--budget", type=int, default=0, help="seconds of training a night")
    parser.add_argument("--log", type=Path, help="where to copy the service's log")
    options = parser.parse_args()
    report = Report(options.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        vault = folder / "vault"
        for name in FIRST:
            shutil.copytree(examples.vault_dir() / name, vault / name)
        environment = {
            CLOCK: str(folder / "clock"), USER: str(folder / "user"), PLUG: str(folder / "plug"),
            "NIGHTSCHOOL_LEARN_WINDOW": "22:00-07:00", "NIGHTSCHOOL_LEARN_AUTOMATIC": "yes",
            "NIGHTSCHOOL_LEARN_BUDGET_S": str(options.budget or (25 if options.quick else 75)),
            "BENCH_DAEMON": "1",
        }  # fmt: skip
        (folder / "clock").write_text(json.dumps({"hours": 0.0, "real_s": time.monotonic()}))
        (folder / "plug").write_text("100")
        with service(environment=environment, arguments=(str(Path(__file__)),)) as door:
            door.watch(vault, timeout=180)
            week = Week(report, door, folder, vault)
            days = DAYS[:2] if options.quick else DAYS
            for day in days:
                day(week)
            log = (door.home.logs / "daemon.log").read_text(encoding="utf-8")
        report.say("the service's log:")
        for line in log.splitlines():
            sys.stdout.write(f"    {line}\n")
        if options.log:
            options.log.write_text(log, encoding="utf-8")
        report.exactly("index_differs_from_disk", week.wrong_index, 0, week.checks)
        report.exactly("no_or_another_version_answers", week.wrong_version, 0, week.checks)
        report.exactly("days_with_the_nights_expected", sum(week.nights), len(days), len(days))
        growth = max(week.sizes[1:], default=week.sizes[0]) - week.sizes[0]
        report.at_most("home_grows_MB_after_the_first_night", growth, GROWTH_MB, len(days))
        report.exactly("unreadable_lines_of_the_log", readable(log), 0, len(log.splitlines()))
    report.finish()


if __name__ == "__main__":
    if os.environ.get("BENCH_DAEMON"):
        daemon()
    else:
        main()
