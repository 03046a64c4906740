"""What the machine goes through besides us, as one value. None always means: nobody here knows."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil

from nightschool.device import load, power, screen


@dataclass(frozen=True, slots=True)
class Conditions:
    """`others` and `graphics` are shares from 0 to 1 of what other programs use; `free_bytes` is
    the memory that can be had without swapping; `battery` its charge in percent."""

    mains: bool
    battery: float | None
    celsius: float | None
    others: float | None
    graphics: float | None
    full_screen: bool | None
    free_bytes: int


@dataclass
class Machine:
    """Looks at the machine. One object for one asker: the load is measured between two looks."""

    others: load.Others = field(default_factory=load.Others)

    def look(self, whole: bool = True) -> Conditions:
        """All of it (some ten milliseconds), or what is read without starting a program: then
        the graphics card is unknown and the screen taken for free."""
        fed = power.power()
        return Conditions(
            mains=fed.mains,
            battery=fed.percent,
            celsius=power.celsius(),
            others=self.others.share(),
            graphics=load.graphics() if whole else None,
            full_screen=screen.full_screen() if whole else False,
            free_bytes=int(psutil.virtual_memory().available),
        )
