"""The user comes back again and again, and the night ends in the very same weights (G24, G26, G27).

    make bench NAME=yield [ARGS="--quick"]

A real service with a real learner on the shipped model; only the clock of its schedule runs fast,
and "the user is back" is a file. At each return, at a random moment of loading, practice or exams,
the time until the whole group of the learner is gone is measured (then it neither computes nor
holds memory), and how many finished steps are not in the checkpoint. At the end the adapter and the
score card are compared with those of the same night undisturbed. Besides: answers while it learns,
SIGKILL, half hours of power and heat, and children that hang. Prints one JSON line last.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import psutil  # noqa: E402

from bench_report import Report, arguments, percentile  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.children.child import Child  # noqa: E402
from nightschool.daemon.bridge import Ticket  # noqa: E402
from nightschool.daemon.keeper import Keeper  # noqa: E402
from nightschool.daemon.nights import REST_S  # noqa: E402
from nightschool.errors import ChildError  # noqa: E402
from power_traces import ALWAYS, NEVER, Half, filled, traces  # noqa: E402
from service_harness import Service, service, until  # noqa: E402

SPEED = 1000.0
"""Schedule seconds a real second: the five minutes of rest after a return take 0.3 s."""
HERE, SEEN, SHARED = "BENCH_HERE", "BENCH_SEEN", "BENCH_SHARED"
FOLDERS = ("House", "Garden", "Meetings", "Health", "Recipes")
"""Parts of the example vault: enough practice for a hundred returns. `--quick` takes the first."""
EARLY = ("", "starting", "questions", "checking answers", "distractors", "the base rehearses",
         "load the base for learning")  # fmt: skip
"""Stages before the practice."""
LEARNED = ("export", "check parity")
SEED = 20
WORDS = "When was the boiler serviced?"
LONGEST_S = 1800.0
"""Longest wait for a night, or for the learner's next stage."""
VERDICTS = ("promoted", "held", "rejected")
SETTINGS = {
    "NIGHTSCHOOL_LEARN_WINDOW": "00:00-24:00", "NIGHTSCHOOL_LEARN_AUTOMATIC": "yes",
    "NIGHTSCHOOL_LEARN_MAX_OTHERS": "1", "NIGHTSCHOOL_LEARN_MIN_NEW_PAIRS": "1",
    "NIGHTSCHOOL_LEARN_DAILY_BUDGET_S": "86400",
    # By steps, not by the clock, and always with as many threads: else no two nights are equal.
    "NIGHTSCHOOL_LEARN_BUDGET_S": "80000", "NIGHTSCHOOL_LEARN_THREADS": "1",
    "NIGHTSCHOOL_ENGINE_THREADS": "1",
}  # fmt: skip


# -- the service, with a fast clock and a user that is a file ------------------------------------


class FastClock:
    """Runs from one evening on, `SPEED` times as fast."""

    began = time.monotonic()

    def now(self) -> datetime:
        return datetime(2026, 11, 20, 22, 0, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self.began) * SPEED


def daemon() -> None:
    """The service. What it last heard of the learner is written to a file, step by step."""
    from nightschool import config, paths
    from nightschool.daemon import logs
    from nightschool.daemon.app import Daemon

    home = paths.home().create()
    logs.configure(home.logs)
    here, seen = Path(os.environ[HERE]), Path(os.environ[SEEN])
    made = (neighbour(Daemon) if os.environ.get(SHARED) else Daemon)(
        home, config.load(home.config), clock=FastClock(), pulse_s=0.1,
        idle=lambda: 0.0 if here.exists() else 7200.0,
    )  # fmt: skip

    def note() -> None:
        last: Any = None
        while True:
            nights = getattr(made, "_nights", None)
            now = (
                None
                if nights is None
                else (nights.progress.get("stage"), nights.progress.get("done"))
            )
            if now != last:
                last = now
                seen.with_suffix(".tmp").write_text(json.dumps(now))
                seen.with_suffix(".tmp").replace(seen)
            time.sleep(0.002)

    threading.Thread(target=note, daemon=True).start()
    made.run()


def neighbour(daemon: type) -> type:
    """A service whose learner is no background work: on a machine that others keep busy it would
    come to no end, as it should, and nothing could be seen."""

    class Neighbour(daemon):  # type: ignore[misc]
        def _make_children(self) -> None:
            super()._make_children()
            self._learner.nice = 0

    return Neighbour


@dataclass
class School:
    """The running service, and the user."""

    door: Service
    here: Path
    seen: Path

    def stage(self) -> tuple[str, int]:
        try:
            found = json.loads(self.seen.read_text())
        except (OSError, ValueError):
            return "", 0
        return (str(found[0] or ""), int(found[1] or 0)) if found else ("", 0)

    def learner(self) -> int | None:
        pid = self.door.children()["learner"]["pid"]
        return None if pid is None else int(pid)

    def waits_for_learner(self) -> int:
        return until(self.learner, 120, f"a night starts; {self.door.status()['night']}", 0.05)

    def checkpoint(self) -> int:
        """The step that is saved, 0 when none is."""
        for path in self.door.home.runs.glob("*/checkpoint*/state.json"):
            try:
                return int(json.loads(path.read_text())["step"])
            except (OSError, ValueError):
                continue
        return 0

    def examined(self) -> bool:
        """Whether the adapter is written and its exams have begun."""
        return self.stage()[0] not in (*EARLY, "practise", *LEARNED)

    def outcome(self) -> str:
        last = self.door.status()["night"]["last"] or {}
        return str(last.get("outcome", ""))


@dataclass
class Return:
    """One return: at which stage, how long until the group was gone, and steps that were lost."""

    stage: str
    gone_s: float
    lost: int


def computes(process: psutil.Process) -> bool:
    """Whether it is still there; one that only waits to be collected holds nothing any more."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two looks
        return False


def come_back(school: School, pid: int) -> Return:
    """The user touches a key; wait until nothing of the learner is left; the user leaves."""
    stage, _ = school.stage()
    began = time.monotonic()
    school.here.touch()
    try:
        group = [psutil.Process(pid)]
        group += group[0].children(recursive=True)
    except psutil.Error:
        group = []
    while any(computes(process) for process in group):
        if time.monotonic() - began > 30:
            break
        time.sleep(0.005)
    gone = time.monotonic() - began
    until(lambda: school.learner() is None, 30, "the service has seen it", 0.02)
    said, done = school.stage()
    lost = max(done - school.checkpoint(), 0) if said == "practise" else 0
    school.here.unlink()
    return Return(stage, gone, lost)


def returns(report: Report, school: School, count: int) -> list[Return]:
    """`count` returns at random moments: some while it loads, most in practice, then in exams."""
    chance = random.Random(SEED)
    found: list[Return] = []
    while len(found) < count and school.outcome() not in VERDICTS:
        pid = school.waits_for_learner()
        if chance.random() < 0.9:
            until(lambda: school.stage()[0] not in EARLY or school.learner() is None,
                  LONGEST_S, "it practises", 0.01)  # fmt: skip
        time.sleep(chance.uniform(0.0, 1.2))
        if school.learner() is None or (report.quick and school.examined()):
            break
        found.append(come_back(school, pid))
        last = found[-1]
        if len(found) % 10 == 0 or report.quick or last.gone_s > 2:
            report.say(f"return {len(found)}: {last.stage or 'starting'}, gone in "
                       f"{last.gone_s:.2f} s, step {school.checkpoint()} is kept")  # fmt: skip
    return found


def ended(school: School, quick: bool) -> Path:
    """Let the night come to its verdict (`quick`: to its exams); its folder."""
    until(lambda: school.outcome() in VERDICTS or (quick and school.examined()), LONGEST_S,
          "the end of the night", 0.2)  # fmt: skip
    return next(school.door.home.runs.iterdir())


def print_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


ADAPTER, CARD = Path("candidate", "adapter.gguf"), Path("scorecard.json")


# -- the parts -----------------------------------------------------------------------------------


def answers(school: School, count: int) -> list[float]:
    """Seconds of so many questions, one after the other."""
    found = []
    for _ in range(count):
        began = time.monotonic()
        school.door.post("/ns/ask", {"question": WORDS})
        found.append(time.monotonic() - began)
    return found


def yielding(report: Report, folder: Path, shared: bool, count: int) -> None:
    vault = folder / "vault"
    for name in FOLDERS[:1] if report.quick else FOLDERS:
        shutil.copytree(examples.vault_dir() / name, vault / name)
    here, seen = folder / "here", folder / "seen"
    here.touch()
    environment = {
        **SETTINGS,
        HERE: str(here),
        SEEN: str(seen),
        SHARED: "1" if shared else "",
        "BENCH_DAEMON": "1",
    }
    with service(environment=environment, arguments=(str(Path(__file__)),)) as door:
        school = School(door, here, seen)
        door.watch(vault, timeout=180)
        asked = 40
        answers(school, 3)
        alone = answers(school, asked)
        door.stop()
        twin = shutil.copytree(door.home.root, folder / "twin" / "home")
        door.start()
        here.unlink()
        school.waits_for_learner()
        until(lambda: school.stage()[0] == "practise", LONGEST_S, "it practises", 0.05)
        beside = answers(school, asked)
        bound = 2 * percentile(alone, 0.95)
        report.say(f"an answer takes {percentile(alone, 0.95):.3f} s (p95), while it learns "
                   f"{percentile(beside, 0.95):.3f} s")  # fmt: skip
        if not shared:
            name = "answer_s_while_learning_p95_of_2x_idle"
            report.at_most(name, percentile(beside, 0.95), bound, asked)
        began = time.monotonic()
        found = returns(report, school, count)
        report.say(f"{len(found)} returns in {time.monotonic() - began:.0f} s, at: "
                   + ", ".join(sorted({item.stage or 'starting' for item in found})))  # fmt: skip
        gone = [item.gone_s for item in found]
        report.at_least("returns", len(found), 10 if report.quick else 100, len(found))
        report.at_most("stops_computing_s_max", max(gone), 2.0, len(gone))
        report.at_most("stops_computing_s_p95", percentile(gone, 0.95), 2.0, len(gone))
        report.at_most("memory_is_free_s_max", max(gone), 5.0, len(gone))
        report.at_most("steps_lost_at_a_return_max", max(i.lost for i in found), 1, len(found))
        killed(report, school, 1 if report.quick else 3)
        folder_of = ended(school, report.quick)
        disturbed = {path: print_of(folder_of / path) for path in
                     ((ADAPTER,) if report.quick else (ADAPTER, CARD))}  # fmt: skip
        report.exactly("nights_it_took", len(door.get("/ns/runs")["runs"]), 1, 1)
    undisturbed(report, twin, disturbed)


def practising(school: School) -> int:
    """Wait until the learner practises (or its night is over); its process id."""
    pid = school.waits_for_learner()
    until(lambda: school.stage()[0] == "practise" or school.learner() is None, LONGEST_S,
          "it practises", 0.02)  # fmt: skip
    return pid


def missed(school: School, pid: int) -> None:
    """Wait until the service has seen that it died; it may have been started anew already, for the
    clock runs fast here."""
    until(lambda: school.learner() != pid, 30, "the service has seen it", 0.02)


def killed(report: Report, school: School, count: int) -> None:
    """SIGKILL in the middle of the practice; how many seconds of it were not saved."""
    lost: list[float] = []
    for number in range(count):
        if number:  # after three failures in a row no night starts by itself any more
            come_back(school, practising(school))
        pid = practising(school)
        if school.learner() is None:
            break
        first, began = school.stage()[1], time.monotonic()
        time.sleep(3.0 if report.quick else 10.0 + 12.0 * number)
        if school.stage()[0] != "practise":
            break
        done = school.stage()[1]
        os.killpg(pid, signal.SIGKILL)
        missed(school, pid)
        saved = school.checkpoint()
        pace = (time.monotonic() - began) / max(done - first, 1)
        lost.append(max(done - max(saved, first), 0) * pace)
        report.say(f"killed at step {done}, step {saved} is kept: {lost[-1]:.1f} s lost")
    report.exactly("kills_in_the_practice", len(lost), count, count)
    report.at_most("practice_lost_to_a_kill_s_max", max(lost, default=0.0), 60.0, len(lost))


def undisturbed(report: Report, home: Path, disturbed: dict[Path, str]) -> None:
    """The same night in a copy of the home, from beginning to end; `--quick`: to its exams."""
    began = time.monotonic()
    child = Child("nightschool.cycle", [str(home)], log=home / "logs" / "twin.log",
                  environment={**SETTINGS, "NIGHTSCHOOL_HOME": str(home)})  # fmt: skip
    try:
        child.wait_ready()
        for message in child.stream("learn", {}):
            stage = message.get("event", {}).get("stage", "practise")
            if CARD not in disturbed and stage not in (*EARLY, "practise", *LEARNED):
                break
    finally:
        child.stop(1.0)
    report.say(f"undisturbed it takes {time.monotonic() - began:.0f} s")
    folder = next((home / "runs").iterdir())
    for path, expected in disturbed.items():
        same = print_of(folder / path) == expected
        report.exactly(f"{path.stem}_bitwise_as_undisturbed", float(same), 1, 1)


def half_hours(report: Report, folder: Path) -> None:
    """Fifty traces of power and heat through the schedule (see `tests/power_traces.py`)."""
    store = filled(folder / "db")
    longest, early, wrong = 0.0, 0, 0
    for number, trace in enumerate(traces()):
        half = Half(trace, store, folder / str(number))
        half.run()
        longest = max(longest, half.longest_bad)
        starts = [second for second, running in half.changes if running]
        stops = [second for second, running in half.changes if not running]
        early += sum(0 < start - stop < REST_S for start in starts for stop in stops)
        expected = {NEVER: 0, ALWAYS: 1}.get(trace.learns, 2)
        if len(half.changes) != expected:
            wrong += 1
            report.say(f"       {trace.name}: {half.changes}")
    store.close()
    report.at_most("power_or_heat_stop_s_max", longest, 10, len(traces()))
    report.exactly("starts_within_5_min_of_a_stop", early, 0, len(traces()))
    report.exactly("half_hours_that_went_otherwise", wrong, 0, len(traces()))


def hanging(report: Report, folder: Path) -> None:
    """Children that hang in every way; how many heartbeats until all of the group was gone."""
    beat, longest, orphans, count = 1.5, 0.0, 0, 0
    place = {"PYTHONPATH": os.pathsep.join((str(ROOT / "tests"), str(ROOT / "src")))}
    for how in ("dead_loop", "deaf", "stopped", "forks") * (1 if report.quick else 5):
        keeper = Keeper("learner", "naughty_child", [], folder / "log", 600.0, 4 << 30, nice=19,
                        environment=place, silent_s=beat, stuck_s=beat)  # fmt: skip
        keeper.warm()
        pids = [keeper.pid or 0]
        thread = threading.Thread(target=_ask, args=(keeper, how, pids), daemon=True)
        thread.start()
        began = time.monotonic()
        while keeper.alive and time.monotonic() - began < 30:
            keeper.check()
            time.sleep(0.05)
        longest = max(longest, (time.monotonic() - began) / beat)
        thread.join(5.0)
        time.sleep(0.2)
        orphans += sum(_alive(pid) for pid in pids)
        keeper.close(0.1)
        count += 1
    report.at_most("hung_group_gone_after_heartbeats_max", longest, 2, count)
    report.exactly("orphans", orphans, 0, count)


def _ask(keeper: Keeper, how: str, pids: list[int]) -> None:
    try:
        for message in keeper.stream(Ticket(), how, {}):
            pids.extend(message.get("event", {}).get("pids", ()))
    except ChildError:
        return


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument(
        "--shared",
        action="store_true",
        help="the machine is busy with other work: "
        "the learner is no background work, and answers beside it are not judged",
    )
    parser.add_argument(
        "--returns",
        type=int,
        default=0,
        help="of the user; fewer than 100 are a miss",
    )
    options = parser.parse_args()
    report = Report(options.quick)
    count = options.returns or (10 if report.quick else 100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        half_hours(report, folder)
        hanging(report, folder)
        yielding(report, folder, options.shared, count)
    report.finish()


if __name__ == "__main__":
    if os.environ.get("BENCH_DAEMON"):
        daemon()
    else:
        main()
