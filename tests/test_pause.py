"""A pause keeps nights from starting for as long as it was asked for, and no longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from command import nightschool
from nightschool.config import Learn
from nightschool.daemon.schedule import Facts, decide
from nightschool.store import schedule
from nightschool.store.db import open_store
from nightschool.store.schedule import Material

NOW = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
READY = Facts(NOW, 600.0, Material(10, 30, 2, 10, "f1", 1), 0.0, None, 0, allowed=True)


def test_a_pause_ends_by_itself_by_hand_and_when_the_clock_is_set_back(tmp_path: Path) -> None:
    store = open_store(tmp_path / "n.db")
    assert schedule.pause_left(store, NOW) == 0
    schedule.pause(store, NOW, 3600)
    assert schedule.pause_left(store, NOW + timedelta(minutes=20)) == 2400
    assert schedule.pause_left(store, NOW + timedelta(hours=2)) == 0
    assert schedule.pause_left(store, NOW - timedelta(days=1)) == 0
    schedule.pause(store, NOW, 0)
    assert schedule.pause_left(store, NOW) == 0
    store.close()


def test_resting_means_that_no_better_moment_is_waited_for() -> None:
    paused = decide(replace(READY, hold=(1800.0, "You paused learning")), Learn())
    assert not paused.start
    assert not paused.resting
    assert paused.reason == "You paused learning; a night waits 30 min more."
    asked = decide(replace(READY, allowed=False), Learn())
    assert asked.resting


def test_without_a_service_there_is_nothing_to_pause(tmp_path: Path) -> None:
    said = nightschool(tmp_path / "home", "nights", "pause")
    assert said.code == 2
    assert "nightschool start" in said.complaint
