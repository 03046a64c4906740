"""Mains or battery, and how hot the processor is.

Sources: psutil's sensors; on macOS `pmset -g therm`. BOINC and Folding@home stop on battery too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from nightschool.device.tools import output

CHIPS = ("coretemp", "k10temp", "zenpower", "cpu", "soc", "acpitz", "thermal")
"""Parts of the names of sensors that measure a processor."""
PLAUSIBLE = (1.0, 130.0)
THROTTLED_C = 95.0
"""What a Mac that slows itself down counts as: it tells no degrees."""


@dataclass(frozen=True, slots=True)
class Power:
    """`mains` is False on battery and also when a battery does not say; `percent` None: none."""

    mains: bool
    percent: float | None


def power() -> Power:
    """How the machine is fed. A machine without a battery is on mains."""
    sensors = getattr(psutil, "sensors_battery", None)
    return of_battery(sensors() if sensors is not None else None)


def of_battery(found: Any) -> Power:
    """What psutil's `sensors_battery()` means; an unknown plug counts as none."""
    if found is None:
        return Power(True, None)
    return Power(found.power_plugged is True, float(found.percent))


def celsius() -> float | None:
    """The hottest processor sensor, or None when nobody tells."""
    if sys.platform == "darwin":
        return of_pmset(output("pmset", "-g", "therm") or "")
    sensors = getattr(psutil, "sensors_temperatures", None)
    return None if sensors is None else hottest(sensors())


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
