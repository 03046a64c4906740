"""Mains or battery, and how hot the processor is.

Sources: on Linux `/sys` (see `sysfs`); elsewhere psutil's sensors; on macOS `pmset -g therm`. BOINC
and Folding@home stop on battery too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nightschool.device import sysfs
from nightschool.device.sysfs import CHIPS, PLAUSIBLE
from nightschool.device.tools import SYSTEM, output

THROTTLED_C = 95.0
"""What a Mac that slows itself down counts as: it tells no degrees."""


@dataclass(frozen=True, slots=True)
class Power:
    """`mains` is False on battery and also when a battery does not say; `percent` None: none."""

    mains: bool
    percent: float | None


def power(root: Path = sysfs.ROOT) -> Power:
    """How the machine is fed. A machine without a battery is on mains; a laptop without one that
    can be seen is taken for running on it."""
    if SYSTEM == "linux":
        found = sysfs.supply(root)
        return Power(True, None) if found is None else Power(found.plugged is True, found.percent)
    sensors = getattr(psutil, "sensors_battery", None)
    try:
        return of_battery(sensors() if sensors is not None else None)
    except (OSError, RuntimeError, ValueError):  # a battery that cannot be read
        return Power(False, None)


def of_battery(found: Any) -> Power:
    """What psutil's `sensors_battery()` means; an unknown plug counts as none."""
    if found is None:
        return Power(True, None)
    percent = float(found.percent)
    return Power(found.power_plugged is True, percent if 0 <= percent <= 100 else None)


def heat(root: Path = sysfs.ROOT) -> sysfs.Heat:
    """The hottest processor sensor, and whether there are sensors that tell nothing."""
    if SYSTEM == "linux":
        return sysfs.heat(root)
    if SYSTEM == "darwin":
        return sysfs.Heat(of_pmset(output("pmset", "-g", "therm") or ""), False)
    sensors = getattr(psutil, "sensors_temperatures", None)
    return sysfs.Heat(None if sensors is None else hottest(sensors()), False)


def hottest(chips: Mapping[str, Iterable[Any]]) -> float | None:
    """The highest plausible reading of the processor's sensors in psutil's table."""
    found = [
        float(sensor.current)
        for chip, sensors in chips.items()
        if any(part in chip.lower() for part in CHIPS)
        for sensor in sensors
        if sensor.current is not None and PLAUSIBLE[0] <= sensor.current <= PLAUSIBLE[1]
    ]
    return max(found, default=None)


def of_pmset(text: str) -> float | None:
    """THROTTLED_C when macOS slows the processor down, None when it does not or says nothing."""
    found = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", text)
    return THROTTLED_C if found and int(found.group(1)) < 100 else None
