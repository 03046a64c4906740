"""Which profile suits this machine: memory, cores, battery, kind of processor."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import psutil

SMALL = 6_000_000_000
"""Below this many bytes of memory every megabyte counts: `tiny`."""
BOARD = 9_000_000_000
"""The same on a single-board computer, whose processor is slow and whose card wears out."""
LARGE = 16_000_000_000
"""From this much memory on, with `CORES`, a machine without a battery is a `workstation`."""
CORES = 8


@dataclass(frozen=True, slots=True)
class Build:
    """What the suggestion rests on; memory in bytes, `cores` physical ones."""

    memory: int
    cores: int
    battery: bool
    board: bool
    """An ARM board: a Linux machine with such a processor and little memory."""


def build() -> Build:
    """This machine."""
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    arm = platform.machine().lower() in ("aarch64", "arm64", "armv7l", "armv8l")
    return Build(
        psutil.virtual_memory().total,
        psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        battery is not None,
        arm and platform.system() == "Linux",
    )


def profile(machine: Build) -> str:
    """The name of the profile that suits it; empty: the defaults do."""
    if machine.memory < (BOARD if machine.board else SMALL):
        return "tiny"
    if machine.battery:
        return "laptop"
    if machine.memory >= LARGE and machine.cores >= CORES:
        return "workstation"
    return ""
