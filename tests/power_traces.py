"""Fifty half hours of a machine's power and heat, as files under a `/sys` of their own (goal G27).

A trace is a function of the second: which files are there, and whether learning must not go on
then. `Tree` writes what has changed. Also used by the bench `yield`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nightschool.clock import FakeClock
from nightschool.config import Learn
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.nights import Nights
from nightschool.device.conditions import Conditions, Machine
from nightschool.records import Chunk, Document, FileStatus, Locator
from nightschool.store import documents
from nightschool.store.db import Store, open_store

Files = dict[str, str | bytes | None]
"""Path under `/sys` → content; None is a folder in the place of a file, which cannot be read."""
LENGTH_S = 1800
NEVER, FIRST, ALWAYS = "never", "until it changes", "throughout"


@dataclass(frozen=True)
class Trace:
    """`bad(t)`: learning must not go on at second t. `learns`: when a night is expected at all."""

    name: str
    files: Callable[[float], Files]
    bad: Callable[[float], bool]
    learns: str
    min_battery: int = 0


@dataclass
class Tree:
    """A folder that stands for `/sys`."""

    root: Path
    _now: Files = field(default_factory=dict)

    def show(self, files: Mapping[str, str | bytes | None]) -> None:
        for name in [name for name in self._now if name not in files]:
            self._remove(self.root / name)
        for name, content in files.items():
            path = self.root / name
            if name in self._now and self._now[name] == content:
                continue
            self._remove(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self._now = dict(files)

    @staticmethod
    def _remove(path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


POWER = "class/power_supply"


def battery(status: str | bytes | None, capacity: str = "70", name: str = "BAT0") -> Files:
    place = f"{POWER}/{name}"
    return {f"{place}/type": "Battery\n", f"{place}/present": "1\n",
            f"{place}/status": status, f"{place}/capacity": capacity + "\n"}  # fmt: skip


def charger(online: str | bytes | None, kind: str = "Mains", name: str = "AC") -> Files:
    return {f"{POWER}/{name}/type": kind + "\n", f"{POWER}/{name}/online": online}


def heat(degrees: str | bytes | None, name: str = "coretemp") -> Files:
    return {"class/hwmon/hwmon0/name": name + "\n", "class/hwmon/hwmon0/temp1_input": degrees}


def celsius(value: float) -> Files:
    return heat(f"{value * 1000:.0f}\n")


PLUGGED: Files = {**battery("Charging\n"), **charger("1\n")}
UNPLUGGED: Files = {**battery("Discharging\n"), **charger("0\n")}
LAPTOP: Files = {"class/dmi/id/chassis_type": "10\n"}


def steady(name: str, files: Files, learns: str, **more: int) -> Trace:
    return Trace(name, lambda t: files, lambda t: learns == NEVER, learns, **more)


def flapping(name: str, period: float, good: Files, bad: Files, **more: int) -> Trace:
    """Half of each period is good; it begins with that."""

    def is_bad(t: float) -> bool:
        return t % period >= period / 2

    return Trace(name, lambda t: bad if is_bad(t) else good, is_bad, NEVER, **more)


def change(name: str, before: Files, after: Files, *, at: float = 900.0, bad: bool = True) -> Trace:
    return Trace(name, lambda t: after if t >= at else before, lambda t: bad and t >= at,
                 FIRST if bad else ALWAYS)  # fmt: skip


def traces() -> list[Trace]:
    """All fifty."""
    found = [
        steady("a desktop that knows of no supply", {}, ALWAYS),
        steady("a desktop with mains only", charger("1\n"), ALWAYS),
        steady("a charging laptop", PLUGGED, ALWAYS),
        steady("full", {**battery("Full\n", "100"), **charger("1\n")}, ALWAYS),
        steady("held below a threshold", {**battery("Not charging\n", "80"), **charger("1\n")},
               ALWAYS),
        steady("charging, no charger seen", battery("Charging\n"), ALWAYS),
        steady("fed over USB-C", {**battery("Charging\n"), **charger("0\n"),
                                  **charger("1\n", "USB", "ucsi0")}, ALWAYS),
        steady("two batteries", {**PLUGGED, **battery("Not charging\n", "99", "BAT1")}, ALWAYS),
        steady("the battery of a mouse", {**charger("1\n"), **battery("Discharging\n", "9", "hid"),
                                          f"{POWER}/hid/scope": "Device\n"}, ALWAYS),
        steady("an empty battery bay", {**charger("1\n"), **battery("Unknown\n"),
                                        f"{POWER}/BAT0/present": "0\n"}, ALWAYS),
        steady("an uninterruptible supply", {f"{POWER}/ups/type": "UPS\n",
                                             f"{POWER}/ups/status": "Full\n"}, ALWAYS),
        steady("on battery", UNPLUGGED, NEVER),
        steady("no charger seen, draining", battery("Discharging\n"), NEVER),
        steady("a charger too weak", {**battery("Discharging\n"), **charger("1\n")}, NEVER),
        steady("state unknown", battery("Unknown\n"), NEVER),
        steady("state empty", battery(""), NEVER),
        steady("state binary", battery(b"\xff\xfe\x00\x81"), NEVER),
        steady("state unreadable", battery(None), NEVER),
        steady("plug says yes", {**battery("Unknown\n"), **charger("yes\n")}, NEVER),
        steady("plug says 7", {**battery("Unknown\n"), **charger("7\n")}, NEVER),
        steady("plug unreadable", {**battery("Unknown\n"), **charger(None)}, NEVER),
        steady("plug and battery disagree", {**battery("Charging\n"), **charger("0\n")}, NEVER),
        steady("a laptop that shows no battery", LAPTOP, NEVER),
        steady("a supply that drains", {f"{POWER}/ups/type": "UPS\n",
                                        f"{POWER}/ups/status": "Discharging\n"}, NEVER),
        steady("charge unknown, battery allowed", battery("Discharging\n", "many"), NEVER,
               min_battery=40),
        steady("charge of 250 %", battery("Discharging\n", "250"), NEVER, min_battery=40),
        steady("charge of -3 %", battery("Discharging\n", "-3"), NEVER, min_battery=40),
        steady("battery allowed and charged", battery("Discharging\n", "90"), ALWAYS,
               min_battery=40),
        *(flapping(f"the plug every {period} s", period, PLUGGED, UNPLUGGED)
          for period in (7, 10, 20, 60, 120, 240)),
        flapping("80 %, 79 % (BOINC 5310)", 20, battery("Discharging\n", "81"),
                 battery("Discharging\n", "79"), min_battery=80),
        flapping("80 %, 79 %, slowly", 120, battery("Discharging\n", "81"),
                 battery("Discharging\n", "79"), min_battery=80),
        flapping("a sensor that comes and goes", 40, {**LAPTOP, **PLUGGED}, LAPTOP),
        flapping("a plug that speaks every other time", 30, PLUGGED,
                 {**battery("Unknown\n"), **charger("??")}),
        change("the plug is pulled", PLUGGED, UNPLUGGED),
        change("the battery is lost", {**LAPTOP, **PLUGGED}, LAPTOP),
        change("the plug turns to garbage", PLUGGED, {**battery("Unknown\n"), **charger("\x00")}),
        change("the battery is found", {}, PLUGGED, bad=False),
        steady("cool", {**PLUGGED, **celsius(48)}, ALWAYS),
        steady("hot from the start", {**PLUGGED, **celsius(85)}, NEVER),
        steady("a sensor that says -273", {**PLUGGED, **heat("-273000\n")}, ALWAYS),
        steady("a sensor that says nothing", {**PLUGGED, **heat("")}, ALWAYS),
        steady("a sensor of the disk only", {**PLUGGED, **heat("99000\n", "nvme")}, ALWAYS),
        flapping("heat every 40 s", 40, {**PLUGGED, **celsius(60)}, {**PLUGGED, **celsius(95)}),
        change("it gets hot", {**PLUGGED, **celsius(60)}, {**PLUGGED, **celsius(92)}),
        change("the sensor of the heat is lost", {**PLUGGED, **celsius(60)}, PLUGGED),
    ]  # fmt: skip
    assert len(found) == 50 and len({trace.name for trace in found}) == 50, len(found)
    return found


# -- a service in such a half hour ---------------------------------------------------------------

NIGHT = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
TICK_S = 5
LOOK_S = 60


def filled(path: Path) -> Store:
    """A store with something to learn."""
    made = open_store(path)
    root = documents.add_root(made, "/notes")
    item = Document(root.id, "a.md", 3, 1, "aa", FileStatus.INDEXED)
    chunks = [Chunk(n, f"text {n}", f"text {n}", Locator("a.md")) for n in range(30)]
    documents.save(made, item, chunks)
    return made


class Half:
    """One half hour, second by second, of a service whose learner is only pretended to run."""

    def __init__(self, trace: Trace, store: Store, folder: Path) -> None:
        self.trace, self.clock = trace, FakeClock(NIGHT)
        self.tree = Tree(folder)
        self.generation = documents.generation(store)
        learn = replace(Learn(), automatic="yes", window="00:00-24:00", max_others=1.0,
                        min_battery=trace.min_battery)  # fmt: skip
        look = Machine(root=folder).look

        def machine(whole: bool) -> Conditions:
            return replace(look(False), free_bytes=8 << 30, pressure=None)

        self.nights = Nights(
            store, learn, Keeper("learner", "", [], folder, 0.0, 0), ThreadPoolExecutor(1),
            self.clock, idle=lambda: 7200.0, changing=lambda: 0, on_end=lambda: None,
            machine=machine,
        )  # fmt: skip
        self.running = False
        self.changes: list[tuple[float, bool]] = []
        self.longest_bad = self.bad_since = 0.0

    def run(self) -> None:
        next_look = 0.0
        for second in range(0, LENGTH_S, TICK_S):
            self.clock.at, self.clock.ticks = NIGHT + timedelta(seconds=second), float(second)
            self.tree.show(self.trace.files(second))
            if self.running and (why := self.nights.needed()):
                self.nights.give_way(why)
                self._change(second, False)
                next_look = 0.0
            elif not self.running and second >= next_look:
                decision = self.nights.look(self.generation)
                next_look = second + min(decision.check_s, LOOK_S)
                if decision.start:
                    self._change(second, True)
            if not (self.running and self.trace.bad(second)):
                self.bad_since = second + TICK_S
            self.longest_bad = max(self.longest_bad, second + TICK_S - self.bad_since)

    def _change(self, second: float, running: bool) -> None:
        self.running = running
        self.changes.append((second, running))
