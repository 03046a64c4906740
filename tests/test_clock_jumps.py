"""Whatever the clock does, the same files are learned once, and failures are not repeated for ever.

Goal G22. The calendar is thrown about; the seconds that pass are those of a monotonic clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightschool.clock import FakeClock, iso
from nightschool.config import Learn
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.nights import Nights
from nightschool.daemon.schedule import MAX_TRIES
from nightschool.store import documents, schedule
from nightschool.store.db import Store
from power_traces import NIGHT, filled

JUMPS = {
    "a day back": NIGHT - timedelta(days=1),
    "a day on": NIGHT + timedelta(days=1),
    "six hours back": NIGHT - timedelta(hours=6),
    "the epoch": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    "beyond 32 bits": datetime(2038, 1, 19, 3, 14, 9, tzinfo=UTC),
    "2106": datetime(2106, 2, 8, 1, 0, tzinfo=UTC),
    "summer time begins": datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC),
    "summer time ends": datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC),
    "a leap day": datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = filled(tmp_path / "db")
    yield made
    made.close()


class Evening:
    """A schedule to which nights are reported as they are said to have ended."""

    def __init__(self, store: Store, folder: Path, ending: str) -> None:
        self.store, self.ending, self.starts = store, ending, 0
        self.clock = FakeClock(NIGHT)
        self.generation = documents.generation(store)
        learn = replace(Learn(), automatic="yes", window="00:00-24:00")
        self.nights = Nights(
            store, learn, Keeper("learner", "", [], folder, 0.0, 0), ThreadPoolExecutor(1),
            self.clock, idle=lambda: 7200.0, changing=lambda: 0, on_end=lambda: None,
        )  # fmt: skip

    def look(self) -> bool:
        """Whether a night starts now; it then ends at once, as every one of them does."""
        decision = self.nights.look(self.generation)
        if decision.start:
            self.starts += 1
            material = schedule.material(self.store)
            schedule.record_night(
                self.store,
                {"outcome": self.ending, "message": "it did", "ended_at": iso(self.clock.now()),
                 "fingerprint": material.fingerprint, "by": "schedule"},
                failed=self.ending == "failed",
            )  # fmt: skip
            self.nights.forget_material()
        else:
            assert decision.reason
        return decision.start

    def passes(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)
        self.clock.ticks += seconds


@pytest.mark.parametrize("moment", JUMPS.values(), ids=JUMPS)
def test_a_jump_neither_repeats_a_night_nor_prevents_one(
    store: Store, tmp_path: Path, moment: datetime
) -> None:
    evening = Evening(store, tmp_path, "nothing_new")
    assert evening.look()
    evening.clock.at = moment
    assert not any(evening.look() for _ in range(10))
    root = documents.roots(store)[0]
    item = documents.documents(store)[0]
    chunks = documents.chunks_of(store, item.id)
    documents.save(store, replace(item, sha256="new", root_id=root.id), chunks)
    evening.nights.forget_material()
    assert evening.look()  # what is new is learned, in whatever year


@pytest.mark.parametrize("moment", JUMPS.values(), ids=JUMPS)
def test_a_rest_is_counted_in_seconds_that_pass_and_not_by_the_calendar(
    store: Store, tmp_path: Path, moment: datetime
) -> None:
    evening = Evening(store, tmp_path, "nothing_new")
    evening.nights.rest(120.0, "The machine has just woken up")
    evening.clock.at = moment
    assert not evening.look()
    evening.passes(119)
    assert not evening.look()
    evening.passes(2)
    assert evening.look()


@pytest.mark.parametrize(("ending", "most"), [("failed", MAX_TRIES), ("nothing_new", 1)])
@pytest.mark.parametrize("seed", range(5))
def test_no_storm_comes_of_a_clock_that_never_stands_still(
    store: Store, tmp_path: Path, ending: str, most: int, seed: int
) -> None:
    chance = random.Random(seed)
    evening = Evening(store, tmp_path, ending)
    for _ in range(100):
        evening.look()
        evening.passes(chance.choice((1.0, 60.0, 900.0)))
        if chance.random() < 0.5:
            evening.clock.at = chance.choice(list(JUMPS.values()))
    assert 1 <= evening.starts <= most


def test_a_day_that_comes_twice_has_its_time_only_once(store: Store, tmp_path: Path) -> None:
    evening = Evening(store, tmp_path, "nothing_new")
    day = NIGHT.astimezone().date().isoformat()
    schedule.add_used(store, day, 3600.0)
    assert not evening.look()
    evening.clock.at += timedelta(days=1)
    other = evening.nights.look(evening.generation)
    assert other.start
    evening.clock.at -= timedelta(days=1)
    assert "used up" in evening.nights.look(evening.generation).reason


def test_a_schedule_that_forgets_its_failures_is_noticed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deliberate break of this goal."""
    monkeypatch.setattr(schedule, "tries", lambda store, fingerprint: 0)
    evening = Evening(store, tmp_path, "failed")
    for _ in range(10):
        evening.look()
        evening.clock.at = JUMPS["a day back"]
    assert evening.starts > MAX_TRIES
