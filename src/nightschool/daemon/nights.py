"""Run one night in the learner child: start it, follow it, book its time, remember how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nightschool.clock import Clock, iso
from nightschool.config import Learn
from nightschool.daemon import bridge
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.schedule import CONCLUDED, Decision, Facts, decide
from nightschool.errors import Interrupted, NightschoolError, Refused, TooLittle
from nightschool.store import runs, schedule
from nightschool.store.db import Store
from nightschool.store.schedule import Material

BOOK_S = 15.0
"""Learner time is booked this often, so that a crash loses no more of it."""
WATCH_INPUT_S = 2.0
"""A scheduled night yields within this after the user's return, where input is known."""
BACK_S = 10.0
"""Input younger than this means that the user is back."""
YIELD_S = 10.0
"""How long the learner may take to write its checkpoint when it must yield."""
_LOG = logging.getLogger("nightschool.daemon")


@dataclass
class Nights:
    """All that concerns learning. Methods run on the event loop."""

    store: Store
    learn: Learn
    learner: Keeper
    pool: ThreadPoolExecutor
    clock: Clock
    idle: Callable[[], float | None]
    changing: Callable[[], int]
    on_end: Callable[[], None]
    progress: dict[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    _task: asyncio.Task[None] | None = None
    _material: Material | None = None
    _yielding: str = ""

    # -- deciding -----------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def look(self, generation: int) -> Decision:
        """Evaluate all gates (milliseconds; reads the store, asks for the idle time)."""
        now = self.clock.now().astimezone()
        if self._material is None or self._material.generation != generation or self.running:
            self._material = schedule.material(self.store)
        unfinished = runs.unfinished(self.store)
        facts = Facts(
            now=now,
            idle_s=self.idle(),
            material=self._material,
            used_s=schedule.used_s(self.store, _day(now)),
            last=schedule.last_night(self.store),
            tries=schedule.tries(self.store, self._material.fingerprint),
            running=f"A night is running: {self._stage()}." if self.running else "",
            changing=self.changing(),
            unfinished=unfinished.id if unfinished is not None else None,
        )
        self.decision = decide(facts, self.learn)
        return self.decision

    def forget_material(self) -> None:
        """Count again at the next look: pairs or runs changed without the index changing."""
        self._material = None

    def _stage(self) -> str:
        stage = self.progress.get("stage", "starting")
        total = self.progress.get("total") or 0
        return f"{stage} {self.progress.get('done', 0)}/{total}" if total else str(stage)

    # -- running ------------------------------------------------------------------------------

    def start(self, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Start a night now. Raises Refused when one is running."""
        if self.running:
            raise Refused(
                f"A night is already running: {self._stage()}.", "See `nightschool status`."
            )
        self.progress = {
            "stage": "starting",
            "done": 0,
            "total": 0,
            "note": "",
            "by": by,
            "started_at": iso(self.clock.now()),
            "dry_run": dry_run,
        }
        self._yielding = ""
        self._task = asyncio.get_running_loop().create_task(self._night(by, dry_run))
        _LOG.info("A night starts (by %s).", by)
        return dict(self.progress)

    async def _night(self, by: str, dry_run: bool) -> None:
        material = await asyncio.to_thread(schedule.material, self.store)
        night: dict[str, Any] = {
            "by": by,
            "dry_run": dry_run,
            "fingerprint": material.fingerprint,
            "started_at": self.progress["started_at"],
        }
        timers = [asyncio.create_task(self._book())]
        if by == "schedule":
            timers.append(asyncio.create_task(self._watch_input()))
        failed = False
        try:
            night |= await self._follow({"plan": {}, "dry_run": dry_run})
            failed = night["outcome"] not in (*CONCLUDED, "interrupted")
        except NightschoolError as error:
            outcome = self._sad(error)
            failed = outcome == "failed"
            night |= {"outcome": outcome, "message": self._yielding or error.message}
        finally:
            for timer in timers:
                timer.cancel()
            await asyncio.gather(*timers, return_exceptions=True)
        night["ended_at"] = iso(self.clock.now())
        if not dry_run:
            await asyncio.to_thread(schedule.record_night, self.store, night, failed=failed)
        _LOG.info("The night ended: %s. %s", night["outcome"], night.get("message", ""))
        self.forget_material()
        await asyncio.to_thread(self.learner.finish, YIELD_S)
        self.on_end()

    def _sad(self, error: NightschoolError) -> str:
        if self._yielding or isinstance(error, Interrupted):
            return "interrupted"
        return "too_little" if isinstance(error, TooLittle) else "failed"

    async def _follow(self, params: dict[str, Any]) -> dict[str, Any]:
        source = lambda ticket: self.learner.stream(ticket, "learn", params)  # noqa: E731
        result: dict[str, Any] = {}
        async with contextlib.aclosing(bridge.stream(self.pool, source)) as messages:
            async for message in messages:
                if "event" in message:
                    self.progress |= message["event"]
                elif "result" in message:
                    result = dict(message["result"])
        result.setdefault("outcome", "failed")
        result.setdefault("message", "")
        kept = ("outcome", "message", "verdict", "version", "run_id")  # the rest is in its row
        return {name: result.get(name) for name in kept}

    async def _book(self) -> None:
        """Learner time counts by the monotonic clock; a day is the local day it falls into."""
        since = time.monotonic()
        try:
            while True:
                await asyncio.sleep(BOOK_S)
                now = time.monotonic()
                await asyncio.to_thread(self._add_used, now - since)
                since = now
        finally:
            self._add_used(time.monotonic() - since)

    def _add_used(self, seconds: float) -> None:
        schedule.add_used(self.store, _day(self.clock.now().astimezone()), seconds)

    async def _watch_input(self) -> None:
        """The user comes first: end the night at its next step when somebody is there again."""
        while True:
            await asyncio.sleep(WATCH_INPUT_S)
            idle = await asyncio.to_thread(self.idle)
            if idle is not None and idle < min(BACK_S, self.learn.idle_s):
                self._yielding = "The machine is in use again; the night goes on later."
                _LOG.info("%s", self._yielding)
                await asyncio.to_thread(self.learner.finish, YIELD_S)
                return

    async def stop(self, timeout_s: float) -> None:
        """Let the learner write its checkpoint and end it."""
        self._yielding = "Nightschool was stopped; the night goes on after the next start."
        await asyncio.to_thread(self.learner.close, timeout_s)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2.0)

    def describe(self) -> dict[str, Any]:
        """The night in `status`."""
        decision = self.decision
        return {
            "state": "running" if self.running else "waiting",
            "reason": decision.reason if decision is not None else "",
            "blockers": list(decision.blockers) if decision is not None else [],
            "progress": dict(self.progress) if self.running else None,
            "last": schedule.last_night(self.store),
        }


def _day(now: datetime) -> str:
    return now.date().isoformat()
