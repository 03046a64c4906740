"""What Linux tells of batteries, heat and graphics cards under `/sys`, read with distrust.

Sensors lie: they are missing, hold text where a number should be, or a number that cannot be. What
is read here says so instead of guessing. Several batteries count together; those of mice and
keyboards do not count. `root` is `/sys` itself, or a copy of it in a test.

Kernel documentation: Documentation/ABI/testing/sysfs-class-power, -class-hwmon, -class-thermal;
chassis types: SMBIOS 3.7, table 17; `gpu_busy_percent`: Documentation/gpu/amdgpu.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys")
PORTABLE = (8, 9, 10, 11, 14, 30, 31, 32)
"""Chassis types that run on a battery: laptops, tablets, convertibles."""
CHIPS = ("coretemp", "k10temp", "zenpower", "cpu", "soc", "acpitz", "thermal", "x86_pkg")
"""Parts of the names of sensors that measure a processor."""
PLAUSIBLE = (1.0, 130.0)
"""Degrees Celsius that a running processor can have."""


@dataclass(frozen=True, slots=True)
class Supply:
    """`plugged` None: nobody tells, or they contradict each other; `percent` None: no battery, or
    none that tells; `battery` whether there is one."""

    plugged: bool | None
    percent: float | None
    battery: bool


@dataclass(frozen=True, slots=True)
class Heat:
    """`celsius` of the hottest processor sensor; `blind`: there are sensors, none tells."""

    celsius: float | None
    blind: bool


def supply(root: Path = ROOT) -> Supply | None:
    """How the machine is fed, or None when the kernel knows of no supply at all."""
    chargers: list[bool | None] = []
    batteries: list[Path] = []
    for folder in _folders(root / "class" / "power_supply"):
        kind = _text(folder / "type")
        if kind in ("Battery", "UPS"):
            if _text(folder / "scope") != "Device" and _number(folder / "present") != 0:
                batteries.append(folder)
        elif kind in ("Mains", "USB", "Wireless"):
            online = _number(folder / "online")
            chargers.append(None if online not in (0, 1, 2) else online > 0)
    if not batteries:
        if not _portable(root):
            return None if not chargers else Supply(True, None, False)
        return Supply(None, None, False)  # a laptop whose battery is not seen
    states = [_text(folder / "status") for folder in batteries]
    return Supply(_plugged(chargers, states), _charge(batteries), True)


def _plugged(chargers: list[bool | None], states: list[str]) -> bool | None:
    """Draining decides; then a charger that says so; then what the batteries do."""
    if "Discharging" in states:
        return False
    if any(chargers):
        return True
    feeding = any(state in ("Charging", "Full", "Not charging") for state in states)
    if chargers and None not in chargers:
        return None if feeding else False
    return True if feeding and not chargers else None


def _charge(batteries: list[Path]) -> float | None:
    """Percent of all batteries together, by what they hold; the emptiest if they do not say."""
    told = [found for folder in batteries if (found := _share(folder)) is not None]
    if not told:
        return None
    if any(full is None for _, full in told):
        return min(percent for percent, _ in told)
    most = sum(full or 0.0 for _, full in told)
    return sum(percent * (full or 0.0) for percent, full in told) / most


def _share(folder: Path) -> tuple[float, float | None] | None:
    """Percent of one battery and what it holds when full (None: it says no amount)."""
    for unit in ("energy", "charge"):
        held, most = _number(folder / f"{unit}_now"), _number(folder / f"{unit}_full")
        if held is not None and most is not None and most > 0 and 0 <= held <= 1.2 * most:
            return min(100.0 * held / most, 100.0), most
    percent = _number(folder / "capacity")
    return (percent, None) if percent is not None and 0 <= percent <= 100 else None


def _portable(root: Path) -> bool:
    return _number(root / "class" / "dmi" / "id" / "chassis_type") in PORTABLE


def heat(root: Path = ROOT) -> Heat:
    """The hottest plausible sensor of the processor, of the monitoring chips or thermal zones."""
    found: list[float | None] = []
    for chip in _folders(root / "class" / "hwmon"):
        if _processor(_text(chip / "name")):
            inputs = sorted([*chip.glob("temp*_input"), *chip.glob("device/temp*_input")])
            found += [_degrees(path) for path in inputs]
    if not any(value is not None for value in found):
        for zone in _folders(root / "class" / "thermal"):
            if zone.name.startswith("thermal_zone") and _processor(_text(zone / "type")):
                found.append(_degrees(zone / "temp"))
    known = [value for value in found if value is not None]
    return Heat(max(known, default=None), bool(found) and not known)


def graphics(root: Path = ROOT) -> float | None:
    """Share (0 to 1) of the busiest card whose driver tells without being asked, or None."""
    found = [
        value
        for card in _folders(root / "class" / "drm")
        if re.fullmatch(r"card\d+", card.name)
        and (value := _number(card / "device" / "gpu_busy_percent")) is not None
        and 0 <= value <= 100
    ]
    return max(found) / 100 if found else None


def _processor(name: str) -> bool:
    return any(part in name.lower() for part in CHIPS)


def _degrees(path: Path) -> float | None:
    thousandths = _number(path)
    if thousandths is None or not PLAUSIBLE[0] <= thousandths / 1000 <= PLAUSIBLE[1]:
        return None
    return thousandths / 1000


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[:200].decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path) -> float | None:
    text = _text(path)
    return float(text) if re.fullmatch(r"[+-]?\d{1,15}", text) else None
