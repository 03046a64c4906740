"""A child that hangs is found by what it gets done, and all of it is ended: no orphan is left."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from nightschool.daemon.bridge import Ticket
from nightschool.daemon.keeper import Keeper
from nightschool.device.memory import oom_kills, pressure
from nightschool.device.scope import scope
from nightschool.errors import ChildError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
BEAT_S = 1.5
"""What the heartbeat is here: real children are given 30 s of silence, ten minutes of no work."""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(
        "learner", "naughty_child", [], tmp_path / "log", 600.0, 4 << 30, nice=19,
        environment={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        silent_s=BEAT_S, stuck_s=BEAT_S,
    )  # fmt: skip
    made.warm()
    assert made.alive
    yield made
    made.close(0.1)


def ask(keeper: Keeper, op: str, events: list[Any], **params: Any) -> Thread:
    """Ask in a thread, as the service does; what comes back goes to `events`."""

    def run() -> None:
        try:
            events.extend(keeper.stream(Ticket(), op, params))
        except ChildError as error:
            events.append(error)

    thread = Thread(target=run)
    thread.start()
    return thread


def ended(keeper: Keeper) -> float:
    """Supervise as the service does, until the child is gone; how long it took."""
    began = time.monotonic()
    while keeper.alive:
        assert time.monotonic() - began < 20, "never noticed"
        keeper.check()
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("how", "words"),
    [("dead_loop", "no progress"), ("deaf", "no progress"), ("stopped", "no sign of life")],
)
def test_a_child_that_hangs_is_ended_within_two_heartbeats(
    keeper: Keeper, how: str, words: str
) -> None:
    pid, events = keeper.pid, []
    thread = ask(keeper, how, events)
    assert ended(keeper) <= 2 * BEAT_S
    thread.join(5.0)
    assert isinstance(events[-1], ChildError)
    assert words in keeper.last_error
    assert pid is not None and not psutil.pid_exists(pid)


def test_what_a_hung_child_has_started_is_ended_with_it(keeper: Keeper) -> None:
    events: list[Any] = []
    thread = ask(keeper, "forks", events)
    assert ended(keeper) <= 2 * BEAT_S
    thread.join(5.0)
    gone(events[0]["event"]["pids"])


def test_a_child_that_ends_itself_leaves_nobody_behind(keeper: Keeper) -> None:
    events: list[Any] = []
    ask(keeper, "leaves", events).join(10.0)
    keeper.finish(3.0)
    gone([events[0]["result"]["pid"]])


def test_a_child_that_is_deaf_is_ended_in_the_time_that_it_was_given(keeper: Keeper) -> None:
    events: list[Any] = []
    thread = ask(keeper, "deaf", events)
    while not events:
        time.sleep(0.01)
    began = time.monotonic()
    keeper.finish(0.4, 0.1)
    assert time.monotonic() - began < 1.5
    thread.join(5.0)
    assert not keeper.alive


def test_a_heart_that_is_taken_for_work_hides_a_dead_loop(keeper: Keeper) -> None:
    """The deliberate break of this goal: a heartbeat that only tells of life."""
    assert keeper._child is not None
    keeper._child.stuck_s = math.inf
    thread = ask(keeper, "dead_loop", [])
    deadline = time.monotonic() + 2 * BEAT_S
    while time.monotonic() < deadline:
        keeper.check()
        time.sleep(0.05)
    assert keeper.alive
    keeper.finish(0.0, 0.0)
    thread.join(5.0)


def test_slow_work_is_not_taken_for_a_hung_child(keeper: Keeper) -> None:
    events: list[Any] = []
    thread = ask(keeper, "works", events, seconds=2 * BEAT_S)
    while thread.is_alive():
        keeper.check()
        time.sleep(0.05)
    assert events[-1]["result"] == "done"
    keeper.check()
    assert keeper.alive  # one that has nothing to do makes no progress either


def test_background_work_has_the_lowest_class_of_processor_and_disk_time(keeper: Keeper) -> None:
    process = psutil.Process(keeper.pid)
    assert process.nice() == 19
    if sys.platform == "linux":
        assert os.sched_getscheduler(process.pid) == os.SCHED_BATCH
        assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
        group = Path(f"/proc/{process.pid}/autogroup")
        assert not group.exists() or "nice 7" in group.read_text()


def test_the_kernel_tells_whom_it_has_ended_and_who_waits_for_memory(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    memory = tmp_path / "pressure" / "memory"
    memory.write_text("some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=0.00\n")
    assert oom_kills(tmp_path) == 3
    assert pressure(tmp_path) == 0.125
    memory.write_text("garbage")
    assert pressure(tmp_path) is None
    assert oom_kills(tmp_path / "nowhere") == 0
    assert pressure(tmp_path / "nowhere") is None


def gone(pids: list[int]) -> None:
    """They are ended, or zombies that nobody has collected yet."""
    deadline = time.monotonic() + 5
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, f"left behind: {pids}"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


RUN = """#!/bin/sh
# Stands for systemd-run where no user manager is: takes its own options, becomes the command.
echo "$@" >> "$ASKED"
while [ $# -gt 0 ]; do
    case "$1" in
        --) shift; break ;;
        --*) shift ;;
        *) break ;;
    esac
done
exec "$@"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="systemd")
def test_a_control_group_is_asked_for_and_the_child_stays_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert scope(1 << 30) == ()  # no user manager
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").touch()
    program = tmp_path / "systemd-run"
    program.write_text(RUN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    keeper = Keeper(
        "learner", "naughty_child", [], tmp_path / "log", 600.0, 4 << 30, nice=19,
        environment={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        within=lambda: scope(1 << 30),
    )  # fmt: skip
    try:
        events: list[Any] = []
        ask(keeper, "works", events, seconds=0.2).join(20.0)
        assert events[-1]["result"] == "done"
        assert keeper.pid is not None and os.getpgid(keeper.pid) == keeper.pid
        asked = (tmp_path / "asked").read_text().splitlines()
        assert "MemoryMax=1073741824" in asked[-1] and "nightschool.children.launch" in asked[-1]
    finally:
        keeper.close(1.0)
    program.write_text("#!/bin/sh\nexit 1\n")
    assert scope(1 << 30) == ()  # the manager does not answer: then without
