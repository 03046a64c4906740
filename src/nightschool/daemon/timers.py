"""What happens by itself: APScheduler for the calendar, one pulse against a clock that jumps.

APScheduler counts in wall-clock time, so a clock that is set back would put every job off by as
much; and a laptop that sleeps fires late. The pulse runs on the event loop's monotonic clock: it
compares both clocks, and after a jump or a sleep everything is looked at again at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from nightschool.clock import Clock
from nightschool.daemon.schedule import span

PULSE_S = 30.0
"""Seconds between two looks at the clocks and the roots: two wake-ups a minute."""
JUMP_S = 60.0
"""The wall clock running ahead of the monotonic one by more than this means: it slept."""
NIGHT = "night"
RECONCILE = "reconcile"
_LOG = logging.getLogger("nightschool.daemon")

Job = Callable[[], Awaitable[None]]


@dataclass
class Timers:
    """`look_at_night` returns the seconds until it wants to be called again."""

    clock: Clock
    reconcile_s: float
    compare_all: Callable[[str], None]
    look_at_night: Callable[[], Awaitable[float]]
    look_at_roots: Job
    pulse_s: float = PULSE_S
    woke: Callable[[], None] = lambda: None
    """Called after a sleep or a jump, before anything is planned anew."""
    _scheduler: Any = None
    _task: asyncio.Task[None] | None = None
    _soonest_s: float = field(default=0.2)

    def start(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_job(self._reconcile, "interval", seconds=self.reconcile_s, id=RECONCILE)
        self._scheduler.start()
        self._plan_night(1.0)
        self._task = asyncio.create_task(self._pulse())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)

    def compare_every(self, seconds: float) -> None:
        """Another time between two full comparisons, counted from now."""
        self.reconcile_s = seconds
        self._scheduler.reschedule_job(RECONCILE, trigger="interval", seconds=seconds)

    def soon(self) -> None:
        """Look at the night again now: something changed."""
        self._plan_night(self._soonest_s)

    def _plan_night(self, seconds: float) -> None:
        when = datetime.now(UTC) + timedelta(seconds=max(seconds, self._soonest_s))
        self._scheduler.add_job(self._night, "date", run_date=when, id=NIGHT, replace_existing=True)

    async def _night(self) -> None:
        self._plan_night(min(await self.look_at_night(), 2 * self.pulse_s))

    async def _reconcile(self) -> None:
        self.compare_all("the hourly look")

    async def _pulse(self) -> None:
        wall, ticks, woke = self._clocks()
        while True:
            await asyncio.sleep(self.pulse_s)
            before = wall, ticks, woke
            wall, ticks, woke = self._clocks()
            ahead = (wall - before[0]) - (ticks - before[1])
            late = (woke - before[2]) - self.pulse_s
            if abs(ahead) > JUMP_S or late > JUMP_S:
                self._jumped(ahead, late)
            await self.look_at_roots()

    def _clocks(self) -> tuple[float, float, float]:
        """The calendar, what passed by the injected clock, and what really passed."""
        return self.clock.now().timestamp(), self.clock.monotonic(), time.monotonic()

    def _jumped(self, ahead: float, late: float) -> None:
        if ahead < -JUMP_S:
            _LOG.warning("The clock was set back by %s; timers are planned anew.", span(-ahead))
        else:
            _LOG.info("The machine slept for about %s.", span(max(ahead, late)))
        self.woke()
        self._scheduler.reschedule_job(RECONCILE, trigger="interval", seconds=self.reconcile_s)
        self.compare_all("the machine slept or the clock was set")
        self.soon()
