"""G22: a clock that jumps by a day, to 1970, past 2038, over daylight saving, back in the middle.

Months are lived in seconds with a clock that is a parameter; real time goes on evenly beside it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from durable import made
from nightschool.clock import FakeClock
from nightschool.config import Learn
from nightschool.daemon.backups import Backups
from nightschool.daemon.schedule import Facts, decide
from nightschool.registry import rescue
from nightschool.store import documents, schedule, snapshot, state
from nightschool.store.db import open_store
from nightschool.store.schedule import Material

JUMPS = {
    "steady": [],
    "a day ahead and back": [timedelta(days=1), timedelta(days=-1)],
    "1970": [datetime(1970, 1, 1, tzinfo=UTC) - made.NOON],
    "past 2038": [datetime(2038, 2, 1, tzinfo=UTC) - made.NOON],
    "2100 and back": [timedelta(days=27_000), timedelta(days=-27_000)],
    "daylight saving": [timedelta(hours=1), timedelta(hours=-1)],
    "flapping": [timedelta(days=1), timedelta(days=-1)] * 20,
}
STEP_S = 1800.0
NIGHT_S = 300.0


@dataclass
class Outcome:
    lived_days: int = 0
    backups: dict[str, int] = field(default_factory=dict)
    nights: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def sweep(room: Path, days: int = 12, restarts: int = 2) -> Outcome:
    """Each kind of jump through `days` of real time, with the service started again in between."""
    found = Outcome()
    for number, (name, jumps) in enumerate(JUMPS.items()):
        place = made.make(room / f"clock{number}")
        found.lived_days += days
        found.wrong += [
            f"{name}: {why}" for why in _live(place, name, jumps, days, restarts, found)
        ]
    return found


def _live(
    place: made.Place, name: str, jumps: list[timedelta], days: int, restarts: int, found: Outcome
) -> list[str]:
    luck = random.Random(name)
    clock = FakeClock(made.NOON)
    store = open_store(place.home.database)
    daily = Backups(store, place.home.backups, clock)
    steps = int(days * 86_400 / STEP_S)
    at = sorted(luck.sample(range(steps), len(jumps)))
    again = set(luck.sample(range(steps), restarts))
    wrong: list[str] = []
    sequences: list[int] = []
    nights = 0
    material = Material(4, 0, 0, 0, "", 0)
    for step in range(steps):
        clock.at += timedelta(seconds=STEP_S)
        clock.ticks += STEP_S
        if step in at:
            clock.at += jumps[at.index(step)]
        if step in again:  # the service is started again: only the database remembers
            daily = Backups(store, place.home.backups, clock)
        if step % 48 == 7:  # something changes every day
            state.bump(store, documents.GENERATION)
            material = Material(4, 30, 1, 0, f"day {step}", step)
        newest = snapshot.listed(place.home.backups)[:1]
        made_now = daily.look(idle=True)
        if made_now is not None:
            sequences.append(made_now.sequence)
            if newest and not newest[0].path.exists():
                wrong.append("the newest backup was pruned when the next one was made")
        nights += _night(store, clock, material)
    store.close()
    present = snapshot.listed(place.home.backups)
    if sequences != sorted(set(sequences)):
        wrong.append(f"numbers do not rise: {sequences}")
    if [item.sequence for item in present[:2]] != sequences[::-1][:2]:
        wrong.append("what is kept is not what was made last")
    most = days + restarts + 1
    if not days // 3 <= len(sequences) <= most:
        wrong.append(f"{len(sequences)} backups in {days} days")
    if rescue.newest_good(place.home) is None:
        wrong.append("no backup can be restored")
    if nights > days + 2:
        wrong.append(f"{nights} nights in {days} days")
    found.backups[name], found.nights[name] = len(sequences), nights
    return wrong


def _night(store: made.Store, clock: FakeClock, material: Material) -> int:
    """One look of the schedule; a night that starts takes its time and is remembered."""
    day = clock.now().date().isoformat()
    last = schedule.last_night(store)
    new = material if last is None or last["fingerprint"] != material.fingerprint else None
    facts = Facts(
        clock.now(), 9999.0, new or Material(4, 0, 0, 0, material.fingerprint, 0),
        schedule.used_s(store, day), last, schedule.tries(store, material.fingerprint),
    )  # fmt: skip
    if not decide(facts, Learn(automatic="yes")).start:
        return 0
    schedule.add_used(store, day, NIGHT_S)
    night = {"outcome": "held", "message": "", "fingerprint": material.fingerprint,
             "ended_at": clock.now().isoformat()}  # fmt: skip
    schedule.record_night(store, night, failed=False)
    return 1
