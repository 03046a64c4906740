"""What the machine goes through besides us, as one value. None always means: nobody here knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nightschool.device import load, memory, power, screen, sysfs

TEMPERATURE = "the temperature"


@dataclass(frozen=True, slots=True)
class Conditions:
    """`others` and `graphics` are shares from 0 to 1 of what other programs use; `free_bytes` is
    the memory that can be had without swapping, `pressure` the share of time in which some program
    waits for it; `battery` its charge in percent. `doubts` names what this machine has a sensor
    for that tells nothing now; `lost`, of these, what it told before."""

    mains: bool
    battery: float | None
    celsius: float | None
    others: float | None
    graphics: float | None
    full_screen: bool | None
    free_bytes: int
    pressure: float | None = None
    doubts: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass
class Machine:
    """Looks at the machine. One object for one asker: the load is measured between two looks.

    `root` is where the kernel shows its sensors.
    """

    others: load.Others = field(default_factory=load.Others)
    root: Path = sysfs.ROOT
    _felt: bool = False

    def look(self, whole: bool = True) -> Conditions:
        """All of it (some ten milliseconds), or what is read without starting a program: then
        the graphics card may be unknown and the screen is taken for free."""
        fed, heat = power.power(self.root), power.heat(self.root)
        self._felt = self._felt or heat.celsius is not None
        silent = heat.celsius is None and (heat.blind or self._felt)
        return Conditions(
            mains=fed.mains,
            battery=fed.percent,
            celsius=heat.celsius,
            others=self.others.share(),
            graphics=load.graphics(whole, self.root),
            full_screen=screen.full_screen() if whole else False,
            free_bytes=int(psutil.virtual_memory().available),
            pressure=memory.pressure(),
            doubts=(TEMPERATURE,) if silent else (),
            lost=(TEMPERATURE,) if silent and self._felt else (),
        )
