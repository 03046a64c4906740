"""Time as a parameter: everything that depends on it takes a `Clock`, so that tests can move it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how much of it has passed."""

    def now(self) -> datetime:
        """The wall-clock time, timezone-aware (UTC). May jump (sleep, the user, NTP)."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class FakeClock:
    """A clock that moves only when it is told to: `clock.at += timedelta(...)`."""

    at: datetime
    ticks: float = field(default=0.0)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.ticks


def iso(moment: datetime) -> str:
    """UTC, seconds resolution, sortable as text: `2026-11-22T03:04:05+00:00`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")
