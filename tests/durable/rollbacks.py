"""G28: random promotions, failures, rollbacks, choices, forgettings and kills, and what is served.

A kill is an exception that nothing catches, at a random write, sync or rename; the next start
recovers. A model beside it knows which versions passed their exams.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durable import made
from nightschool.config import Forget
from nightschool.errors import Refused
from nightschool.paths import Home
from nightschool.records import Outcome as Ended
from nightschool.registry import pointer, versions
from nightschool.registry.request import request
from nightschool.store import runs
from nightschool.store import versions as rows
from nightschool.store.db import Store, open_store


class Killed(BaseException):
    """The power of SIGKILL, for one process that goes on testing."""


@dataclass
class Outcome:
    sequences: int = 0
    steps: int = 0
    kills: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Raise Killed at the n-th sync or rename from now on."""
    left = number
    real_fsync, real_replace, real_rename = os.fsync, Path.replace, Path.rename

    def count() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Killed

    def fsync(handle: Any) -> None:
        count()
        real_fsync(handle)

    def replace(self: Path, target: Any) -> Path:
        count()
        return real_replace(self, target)

    def rename(self: Path, target: Any) -> Path:
        count()
        return real_rename(self, target)

    os.fsync, Path.replace, Path.rename = fsync, replace, rename  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        os.fsync, Path.replace, Path.rename = real_fsync, real_replace, real_rename  # type: ignore[method-assign]


class Life:
    """One home living through a sequence."""

    def __init__(self, place: made.Place, luck: random.Random) -> None:
        self.place, self.home, self.luck = place, place.home, luck
        self.store: Store = open_store(self.home.database)
        self.passed = {1, 2}
        self.slowest_s = 0.0

    def close(self) -> None:
        self.store.close()

    def _night(self, status: str) -> None:
        there = [item.path for item in made.documents.documents(self.store) if item.sha256]
        run = made.run_of(self.store, [self.luck.choice(there)])
        folder = made.candidate(self.home, run, f"night {run}")
        if status == "rejected":
            runs.finish(self.store, run, Ended.REJECTED, clock=made.clock())
            return
        version = versions.register(
            self.home, self.store, folder, base_sha=made.BASE, status=status, scale=0.9,
            run_id=run, clock=made.clock(),
        )  # fmt: skip
        if status == "promoted":
            versions.promote(self.home, self.store, version)
            runs.finish(self.store, run, Ended.PROMOTED, version=version.number)
        else:
            runs.finish(self.store, run, Ended.HELD, version=version.number)

    def promote(self) -> None:
        self._night("promoted")

    def hold(self) -> None:
        self._night("held")

    def reject(self) -> None:
        self._night("rejected")

    def rollback(self) -> None:
        began = time.perf_counter()
        before = pointer.read(self.home).version
        with contextlib.suppress(Refused):
            served = versions.rollback(self.home, self.store)
            assert served.number != before, "a rollback that stays where it is"
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)

    def use(self) -> None:
        number = self.luck.choice([0, *(row.number for row in rows.versions(self.store))])
        row = rows.version(self.store, number) if number else None
        try:
            versions.use(self.home, self.store, number)
        except Refused:
            assert row is not None and (
                row.status in ("held", "blocked") or versions.damaged(self.home, row)
            ), f"version {number} was refused"
        else:
            assert row is None or row.status in ("promoted", "retired")

    def forget(self) -> None:
        file = self.place.folder / self.luck.choice(list(made.FILES))
        request(self.home, self.store, str(file), Forget(), clock=made.clock())

    def damage(self) -> None:
        """A version rots on the disk."""
        found = [row for row in rows.versions(self.store) if row.directory]
        if found:
            row = self.luck.choice(found)
            with (self.home.root / row.directory / versions.ADAPTER).open("ab") as file:
                file.write(b"!")

    def restart(self) -> None:
        self.store.close()
        self.store = made.recover(self.home)

    def wrong(self) -> str:
        """What is served must have passed; the base must be reachable; nothing half is served."""
        present = pointer.read(self.home)
        if not present.version:
            return ""
        row = rows.version(self.store, present.version)
        if row is None:
            return f"version {present.version} is served and unknown"
        run = runs.run(self.store, row.run_id or 0)
        if run is None or run.outcome not in (Ended.PROMOTED, Ended.RUNNING):
            return f"version {present.version} is served and its night ended {run and run.outcome}"
        if row.status not in ("promoted", "retired"):
            return f"version {present.version} is served and {row.status}"
        return ""


STEPS: tuple[tuple[str, int], ...] = (
    ("promote", 4), ("hold", 2), ("reject", 1), ("rollback", 5), ("use", 3), ("forget", 1),
    ("damage", 1), ("restart", 2),
)  # fmt: skip


def sequence(place: made.Place, seed: int, steps: int, outcome: Outcome) -> str:
    """One random life; what was wrong in it."""
    luck = random.Random(seed)
    life = Life(place, luck)
    trail: list[str] = []
    damaged = False
    try:
        for _ in range(steps):
            name = luck.choices([n for n, _ in STEPS], [w for _, w in STEPS])[0]
            damaged = damaged or name == "damage"
            trail.append(name)
            outcome.steps += 1
            step: Callable[[], None] = getattr(life, name)
            if luck.random() < 0.35 and name not in ("damage", "restart"):
                trail[-1] += " (killed)"
                try:
                    with killed_at(luck.randrange(1, 14)):
                        step()
                except Killed:
                    outcome.kills += 1
                life.restart()
            else:
                step()
            if why := life.wrong():
                return f"after {trail}: {why}"
        # The base is always reachable, whatever came before.
        if versions.use(life.home, life.store, 0).number or pointer.read(life.home).version:
            return f"after {trail}: the base is not served"
        if not damaged and (why := made.broken(life.home, life.store)):
            return f"after {trail}: {why}"
    except Exception as error:
        return f"after {trail}: {type(error).__name__}: {error}"
    finally:
        outcome.slowest_s = max(outcome.slowest_s, life.slowest_s)
        life.close()
    return ""


def sweep(room: Path, count: int, seed: int, steps: int = 14) -> Outcome:
    """`count` random sequences, each in a fresh copy of one home."""
    outcome = Outcome()
    place = made.make(room / "lives")
    kept = place.saved()
    for number in range(count):
        place.again(kept)
        outcome.sequences += 1
        if why := sequence(place, seed + number, steps, outcome):
            outcome.wrong.append(f"seed {seed + number}: {why}")
    return outcome


@contextlib.contextmanager
def no_gate() -> Iterator[None]:
    """A deliberate defect: `use` takes whatever there is."""

    def use(home: Home, store: Store, number: int, *, base_sha: str = "") -> Any:
        version = rows.version(store, number) or made.versions.Version(0, made.BASE, "base", "")
        versions._move(home, pointer.read(home), version)
        return version

    real = versions.use
    versions.use = use  # type: ignore[assignment]
    try:
        yield
    finally:
        versions.use = real
