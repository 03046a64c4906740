"""When a night may start, when a file may be read, and what a jumping clock does to both."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from nightschool.clock import FakeClock
from nightschool.config import Learn
from nightschool.daemon.schedule import Facts, Window, check, decide, in_the_way, span
from nightschool.daemon.settle import MANY, Look, Settler, look_at
from nightschool.daemon.timers import NIGHT, RECONCILE, Timers
from nightschool.device import idle, load, power, screen
from nightschool.device.conditions import Conditions
from nightschool.device.load import Others
from nightschool.errors import UsageError
from nightschool.records import Chunk, Document, FileStatus, Locator
from nightschool.store import documents, schedule
from nightschool.store.db import open_store
from nightschool.store.schedule import Material

NIGHT_TIME = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
NEW = Material(10, 30, 2, 10, "f1", 1)
READY = Facts(NIGHT_TIME, 600.0, NEW, 0.0, None, 0, allowed=True)
LEARN = Learn()
ENDED = {
    "outcome": "held",
    "message": "",
    "fingerprint": "f1",
    "ended_at": "2026-11-22T22:00:00+00:00",
}


def test_a_night_starts_when_every_gate_is_open() -> None:
    decision = decide(READY, LEARN)
    assert decision.start
    assert not decision.blockers


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"now": NIGHT_TIME.replace(hour=12)}, "opens in 10 h"),
        ({"idle_s": 40.0}, "used 40 s ago"),
        ({"used_s": 3600.0}, "used up"),
        ({"material": replace(NEW, new_pairs=3, expected_pairs=2)}, "Only about 5 new"),
        ({"material": replace(NEW, files=0)}, "No file to learn from"),
        ({"material": replace(NEW, new_pairs=0), "last": ENDED}, "Nothing new since"),
        ({"changing": 3}, "3 changed files"),
        ({"running": "A night is running."}, "A night is running."),
        ({"tries": 1, "last": {**ENDED, "outcome": "failed", "message": "boom",
                               "ended_at": "2026-11-22T22:59:30+00:00"}}, "tried again in 30 s"),
        ({"tries": 3, "last": {**ENDED, "outcome": "failed", "message": "boom"}}, "file changes"),
        ({"last": {**ENDED, "outcome": "too_little", "message": "8 facts"}}, "8 facts"),
    ],
)  # fmt: skip
def test_every_no_has_its_reason_in_words(change: dict[str, object], words: str) -> None:
    decision = decide(replace(READY, **change), LEARN)  # type: ignore[arg-type]
    assert not decision.start
    assert words in decision.reason
    assert decision.check_s > 0


def test_unknown_input_time_leaves_only_the_window() -> None:
    assert decide(replace(READY, idle_s=None), LEARN).start
    noon = replace(READY, idle_s=None, now=NIGHT_TIME.replace(hour=12))
    assert not decide(noon, LEARN).start


def test_an_interrupted_night_goes_on_although_nothing_is_new() -> None:
    facts = replace(READY, material=replace(NEW, new_pairs=0), last=ENDED, unfinished=4)
    assert decide(facts, LEARN).start


def test_a_failure_in_the_future_does_not_wait_for_the_clock_to_come_back() -> None:
    later = {**ENDED, "outcome": "failed", "message": "x", "ended_at": "2026-11-23T23:00:00+00:00"}
    assert decide(replace(READY, tries=1, last=later), LEARN).start


def test_all_gates_are_named_not_only_the_first() -> None:
    facts = replace(READY, now=NIGHT_TIME.replace(hour=12), idle_s=1.0, used_s=9999.0)
    assert len(decide(facts, LEARN).blockers) == 3


@pytest.mark.parametrize(
    ("text", "hour", "inside"),
    [("22:00-07:00", 23, True), ("22:00-07:00", 6, True), ("22:00-07:00", 7, False),
     ("22:00-07:00", 12, False), ("09:00-17:00", 10, True), ("09:00-17:00", 17, False),
     ("00:00-24:00", 5, True), ("08:00-08:00", 3, True)],
)  # fmt: skip
def test_the_window_knows_midnight(text: str, hour: int, inside: bool) -> None:
    window = Window.parse(text)
    now = NIGHT_TIME.replace(hour=hour)
    assert window.contains(now) is inside
    assert (window.opens_in_s(now) == 0) is inside


@pytest.mark.parametrize("text", ["", "22-7", "25:00-07:00", "22:00", "22:61-07:00", "x"])
def test_a_window_that_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"learn\.window"):
        Window.parse(text)


def test_durations_read_well() -> None:
    assert [span(s) for s in (-1, 40, 300, 11_520, 36_000)] == [
        "0 s", "40 s", "5 min", "3 h 12 min", "10 h",
    ]  # fmt: skip


# -- what the store remembers -----------------------------------------------------------------


def test_the_budget_is_kept_by_day_so_a_clock_set_back_finds_it_again(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    schedule.add_used(store, "2026-11-22", 100.0)
    schedule.add_used(store, "2026-11-23", 5.0)
    schedule.add_used(store, "2026-11-22", 20.0)
    assert schedule.used_s(store, "2026-11-22") == 120.0
    assert schedule.used_s(store, "2026-11-24") == 0.0
    store.close()


def test_material_counts_unread_files_and_changes_its_fingerprint(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    root = documents.add_root(store, "/notes")
    empty = schedule.material(store)
    assert empty.pairs == 0
    item = Document(root.id, "a.md", 3, 1, "aa", FileStatus.INDEXED)
    documents.save(store, item, [Chunk(0, "text", "text", Locator("a.md"))])
    one = schedule.material(store)
    assert (one.files, one.unread_files, one.expected_pairs) == (1, 1, 2)
    assert one.fingerprint != empty.fingerprint
    documents.save(store, replace(item, sha256="bb"), [Chunk(0, "t2", "t2", Locator("a.md"))])
    assert schedule.material(store).fingerprint != one.fingerprint
    documents.add_root(store, "/notes", learn=False)
    assert schedule.material(store).files == 0
    store.close()


def test_failures_are_counted_per_material(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    failed = {**ENDED, "outcome": "failed"}
    schedule.record_night(store, failed, failed=True)
    schedule.record_night(store, failed, failed=True)
    assert schedule.tries(store, "f1") == 2
    assert schedule.tries(store, "f2") == 0
    schedule.record_night(store, ENDED, failed=False)
    assert schedule.tries(store, "f1") == 0
    assert schedule.last_night(store) == ENDED
    store.close()


# -- settling ----------------------------------------------------------------------------------


class Disk:
    """Sizes of files by path, and a clock that the test moves."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.now = 0.0

    def look(self, root_id: int, path: str) -> Look:
        return (self.sizes[path], 0) if path in self.sizes else None

    def settler(self) -> Settler:
        return Settler(2.0, self.look, lambda: self.now)


def test_a_file_is_ready_after_it_was_quiet_and_not_before() -> None:
    disk = Disk()
    settler = disk.settler()
    disk.sizes["a"] = 1
    settler.hint(1, "a")
    disk.now = 1.9
    assert settler.due()[0] == {}
    disk.now = 2.0
    assert settler.due()[0] == {1: {"a"}}
    assert settler.due() == ({}, None)


def test_a_file_that_changed_without_a_hint_waits_again() -> None:
    disk = Disk()
    settler = disk.settler()
    disk.sizes["a"] = 1
    settler.hint(1, "a")
    disk.sizes["a"] = 2
    disk.now = 2.0
    assert settler.due()[0] == {}
    disk.now = 4.0
    assert settler.due()[0] == {1: {"a"}}


def test_a_save_whose_first_event_came_before_its_content_settles_once() -> None:
    disk = Disk()
    settler = disk.settler()
    disk.sizes["a"] = 0
    settler.hint(1, "a")  # created
    disk.sizes["a"] = 80
    settler.hint(1, "a")  # closed
    disk.now = 2.0
    assert settler.due()[0] == {1: {"a"}}


def test_a_file_that_is_touched_all_the_time_waits_ten_seconds_and_a_growing_one_sixty() -> None:
    for grows, limit in ((False, 10.0), (True, 60.0)):
        disk = Disk()
        settler = disk.settler()
        disk.sizes["a"] = 1
        ready: dict[int, set[str]] = {}
        while not ready and disk.now < 100:
            settler.hint(1, "a")
            disk.now += 1.0
            disk.sizes["a"] += int(grows)
            ready, _ = settler.due()
        assert ready == {1: {"a"}}
        assert disk.now == limit


def test_a_deleted_file_settles_like_any_other() -> None:
    disk = Disk()
    settler = disk.settler()
    settler.hint(1, "gone")
    disk.now = 2.0
    assert settler.due()[0] == {1: {"gone"}}


def test_a_flood_of_paths_becomes_one_comparison_of_the_whole_folder() -> None:
    disk = Disk()
    settler = disk.settler()
    for number in range(MANY + 50):
        settler.hint(1, f"f{number}")
    assert settler.waiting() == 1
    disk.now = 2.0
    assert settler.due()[0] == {1: {""}}
    settler.hint(1, "after")
    assert settler.paths() == [(1, "after")]


def test_looking_never_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    assert look_at(tmp_path / "in", "../secret") is None


# -- clocks ------------------------------------------------------------------------------------


def _timers(clock: FakeClock, calls: list[str]) -> Timers:
    async def night() -> float:
        calls.append("night")
        return 1000.0

    async def roots() -> None:
        calls.append("roots")

    return Timers(clock, 3600.0, calls.append, night, roots, pulse_s=0.02)


async def _becomes(true: Callable[[], bool]) -> None:
    """Wait, at most five seconds, for what another task of this loop will do."""
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 5 s")


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=1), timedelta(hours=8)])
def test_after_a_jump_of_the_clock_everything_is_looked_at_again(jump: timedelta) -> None:
    async def run() -> list[str]:
        calls: list[str] = []
        clock = FakeClock(NIGHT_TIME)
        timers = _timers(clock, calls)
        timers.start()
        await _becomes(lambda: "roots" in calls)
        clock.at += jump
        await _becomes(lambda: any("slept" in call for call in calls))
        calls.append("jumped")
        await _becomes(lambda: "night" in calls[calls.index("jumped") :])
        jobs = {job.id: job.next_run_time for job in timers._scheduler.get_jobs()}
        assert set(jobs) == {NIGHT, RECONCILE}
        for moment in jobs.values():
            assert moment - datetime.now(UTC) < timedelta(hours=1, seconds=5)
        await timers.stop()
        return calls

    assert asyncio.run(run()).count("the machine slept or the clock was set") == 1


def test_a_steady_clock_compares_nothing_between_the_hourly_looks() -> None:
    async def run() -> list[str]:
        calls: list[str] = []
        timers = _timers(FakeClock(NIGHT_TIME), calls)
        timers.start()
        await _becomes(lambda: calls.count("roots") >= 5)
        await timers.stop()
        return calls

    assert set(asyncio.run(run())) <= {"roots", "night"}


# -- input time --------------------------------------------------------------------------------


def test_idle_answers_of_other_systems_are_read_right() -> None:
    assert idle.parse_ioreg('  "HIDIdleTime" = 5000000000\n "HIDIdleTime" = 2500000000') == 2.5
    assert idle.parse_ioreg("nothing") is None


def test_a_terminal_tells_when_it_was_last_read(tmp_path: Path) -> None:
    pts = tmp_path / "pts"
    pts.mkdir()
    assert idle.terminal([pts], now=100.0) is None
    (pts / "3").touch()
    os.utime(pts / "3", (40.0, 40.0))
    assert idle.terminal([pts], now=100.0) == 60.0


def test_under_wayland_the_x_server_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_x11", lambda display: pytest.fail("asked the X server"))
    here = {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0", "XDG_SESSION_ID": "nobody"}
    assert [source() for source in idle._sources("linux", here)] == [None, None, None]


def test_logind_says_only_since_when_a_session_is_idle() -> None:
    idle_now = "IdleHint=yes\nIdleSinceHint=1700000000000000\n"
    assert idle.parse_logind(idle_now, 1_700_000_060.0) == 60.0
    assert idle.parse_logind(idle_now.replace("yes", "no"), 1_700_000_060.0) is None
    assert idle.parse_logind("IdleHint=yes\nIdleSinceHint=0\n", 1.0) is None
    assert idle.parse_logind("", 1.0) is None


def test_without_any_desktop_or_terminal_the_input_time_is_unknown() -> None:
    assert idle.idle_seconds({"WAYLAND_DISPLAY": "nowhere"}) is None


# -- what the machine has against a night -----------------------------------------------------

CALM = Conditions(True, None, 45.0, 0.02, None, False, 8 << 30)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mains": False, "battery": 80.0}, "on battery (80 %)"),
        ({"mains": False}, "on battery."),
        ({"celsius": 84.0}, "84 °C hot"),
        ({"others": 0.4}, "Other programs use 40% of the processors"),
        ({"others": None}, "how busy other programs are"),
        ({"graphics": 0.9}, "90% of the graphics card"),
        ({"full_screen": True}, "fills the screen"),
        ({"full_screen": None}, "20 min without input"),
        ({"free_bytes": 1 << 28}, "256 MB are free"),
    ],
)
def test_the_machine_has_a_say_and_every_no_its_reason(
    change: dict[str, object], words: str
) -> None:
    assert decide(replace(READY, conditions=CALM), LEARN).start
    now = replace(CALM, **change)  # type: ignore[arg-type]
    decision = decide(replace(READY, conditions=now), LEARN)
    assert not decision.start
    assert words in decision.reason


def test_what_nobody_knows_is_no_obstacle_but_makes_a_night_careful() -> None:
    unknown = Conditions(True, None, None, 0.02, None, None, 8 << 30)
    assert not decide(replace(READY, conditions=unknown), LEARN).start
    assert decide(replace(READY, conditions=unknown, idle_s=1300.0), LEARN).start
    assert decide(replace(READY, conditions=unknown, idle_s=None), LEARN).start
    assert not power.of_battery(SimpleNamespace(power_plugged=None, percent=70)).mains


def test_a_night_stops_later_than_it_would_not_have_started() -> None:
    for change in ({"celsius": 84.0}, {"others": 0.4}, {"full_screen": True}):
        now = replace(CALM, **change)  # type: ignore[arg-type]
        assert not decide(replace(READY, conditions=now), LEARN).start
        assert not in_the_way(now, LEARN)
    for change, words in (
        ({"celsius": 91.0}, "91 °C"),
        ({"others": 0.6}, "60%"),
        ({"mains": False}, "battery"),
        ({"free_bytes": 1 << 20}, "1 MB"),
    ):
        assert words in in_the_way(replace(CALM, **change), LEARN)  # type: ignore[arg-type]


def test_the_settings_allow_battery_and_never_mind_others() -> None:
    learn = replace(LEARN, min_battery=40, max_others=1.0)
    on_battery = replace(CALM, mains=False, battery=80.0, others=0.9)
    assert decide(replace(READY, conditions=on_battery), learn).start
    assert not in_the_way(on_battery, learn)
    low = replace(on_battery, battery=30.0)
    assert not decide(replace(READY, conditions=low), learn).start
    assert in_the_way(low, learn)


def test_no_night_starts_by_itself_before_the_user_allowed_it() -> None:
    asked = replace(READY, allowed=False)
    assert "nightschool nights on" in decide(asked, LEARN).reason
    assert decide(asked, replace(LEARN, automatic="yes")).start
    assert not decide(READY, replace(LEARN, automatic="no")).start
    with pytest.raises(UsageError, match=r"learn\.automatic"):
        check(replace(LEARN, automatic="maybe"))


def test_after_a_start_or_a_sleep_other_programs_have_their_turn_first() -> None:
    held = replace(READY, hold=(100.0, "The machine has just woken up"))
    decision = decide(held, LEARN)
    assert decision.reason == "The machine has just woken up; a night waits 2 min more."
    assert decision.check_s == 100.0


def test_the_load_of_others_leaves_our_own_work_out() -> None:
    now = 1000.0
    meter = Others(monotonic=lambda: now, span_s=0.0)
    assert meter.share() is None
    before = load._busy()
    mine = psutil.Process().cpu_times().user + 0.5
    while psutil.Process().cpu_times().user < mine:
        sum(range(10_000))
    now += 1.0
    share = meter.share()
    of_all = load._busy() - before
    assert share is not None
    # Others may be busy meanwhile, but our half second must not be among what they used.
    counted = 0.0 if os.nice(0) > 0 else 0.5  # the kernel books low-priority work elsewhere
    assert share * (psutil.cpu_count() or 1) < of_all - counted + 0.1
    now += 1000.0
    assert meter.share() is None  # too long ago to say anything


def test_what_the_sensors_say_is_understood() -> None:
    sensor = SimpleNamespace
    assert power.hottest({"coretemp": [sensor(current=51.0), sensor(current=63.0)]}) == 63.0
    assert power.hottest({"nvme": [sensor(current=70.0)], "k10temp": []}) is None
    assert power.hottest({"acpitz": [sensor(current=-263.0), sensor(current=None)]}) is None
    assert power.of_pmset("CPU_Speed_Limit \t= 60\n") == power.THROTTLED_C
    assert power.of_pmset("CPU_Speed_Limit \t= 100\n") is None
    assert power.of_battery(None).mains
    assert power.of_battery(SimpleNamespace(power_plugged=True, percent=20)).mains
    assert load.of_smi("7\n93\n") == 0.93
    assert load.of_smi("No devices were found\n") is None
    assert screen.parse_bus("(true,)\n") is True
    assert screen.parse_bus("(<false>,)\n") is False
    assert screen.parse_bus("Error: no such name") is None
    assert screen.full_screen({}) is (False if sys.platform == "linux" else None)


def test_a_forgotten_file_owes_a_night_although_nothing_new_was_written() -> None:
    owed = replace(NEW, new_pairs=0, expected_pairs=0, relearn_since="2026-11-22T22:30:00+00:00")
    decision = decide(replace(READY, material=owed, last=ENDED), LEARN)
    assert decision.start
    assert "forgotten" in decision.reason
    since = {**ENDED, "outcome": "too_little", "ended_at": "2026-11-22T22:45:00+00:00"}
    assert not decide(replace(READY, material=owed, last=since), LEARN).start
    assert not decide(replace(READY, material=replace(owed, files=0)), LEARN).start
