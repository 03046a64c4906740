"""Run one night in the learner child: start it, follow it, book its time, remember how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from nightschool.clock import Clock, iso
from nightschool.config import Learn
from nightschool.daemon import bridge
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.schedule import CONCLUDED, Decision, Facts, decide, in_the_way
from nightschool.device.conditions import Conditions
from nightschool.errors import Forgotten, Interrupted, NightschoolError, Refused, TooLittle
from nightschool.models.catalogue import ModelInfo
from nightschool.store import runs, schedule
from nightschool.store.db import Store
from nightschool.store.schedule import Material

BOOK_S = 15.0
"""Learner time is booked this often, so that a crash loses no more of it."""
WATCH_INPUT_S = 2.0
"""A scheduled night yields within this after the user's return, where input is known."""
REST_S = 60.0
"""A night that gave way goes on when nothing was in its way for so long."""
AWAKE_S = 120.0
"""After a start, a sleep or a jump of the clock, other programs have their turn first."""
BACK_S = 10.0
"""Input younger than this means that the user is back."""
YIELD_S = 2.0
"""How long the learner may take to write its checkpoint when it must give way. A step that takes
longer is done again from the checkpoint before, which is a minute old at most."""
ELSEWHERE = "A night is running in another process."
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
    elsewhere: Callable[[], bool] = lambda: False
    """Whether another process of this home (a `learn` from before the service) holds a night."""
    base: Callable[[], ModelInfo | NightschoolError] | None = None
    """The base model in use, or why there is none."""
    machine: Callable[[bool], Conditions] | None = None
    """Looks at the machine, wholly or only at what is quick; None: it is not looked at."""
    progress: dict[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    _task: asyncio.Task[None] | None = None
    _material: Material | None = None
    _base_sha: str = ""
    _hold: tuple[float, str] = (0.0, "")
    _yielding: str = ""

    # -- deciding -----------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def look(self, generation: int) -> Decision:
        """Evaluate all gates (milliseconds; reads the store, asks for the idle time)."""
        now = self.clock.now().astimezone()
        base_sha, cannot, needs = self._look_at_base()
        known = self._material
        if (
            known is None
            or known.generation != generation
            or base_sha != self._base_sha
            or self.running
        ):
            known = schedule.material(self.store, base_sha)
            self._material, self._base_sha = known, base_sha
        unfinished = runs.unfinished(self.store)
        facts = Facts(
            now=now,
            idle_s=self.idle(),
            material=known,
            used_s=schedule.used_s(self.store, _day(now)),
            last=schedule.last_night(self.store),
            tries=schedule.tries(self.store, known.fingerprint),
            running=self._busy(),
            cannot=cannot,
            needs_bytes=needs,
            allowed=schedule.allowed(self.store),
            hold=self._holding(),
            changing=self.changing(),
            unfinished=unfinished.id if unfinished is not None else None,
        )
        self.decision = decide(facts, self.learn)
        for whole in (False, True):  # what is dearer is looked at last
            if self.decision.start and self.machine is not None:
                facts = replace(facts, conditions=self.machine(whole))
                self.decision = decide(facts, self.learn)
        return self.decision

    def rest(self, seconds: float, why: str) -> None:
        """Let no night start by itself for so long."""
        self._hold = max(self._hold, (self.clock.monotonic() + seconds, why))

    def _holding(self) -> tuple[float, str] | None:
        left = self._hold[0] - self.clock.monotonic()
        return (left, self._hold[1]) if left > 0 else None

    def _busy(self) -> str:
        if self.running:
            return f"A night is running: {self._stage()}."
        return ELSEWHERE if self.elsewhere() else ""

    def _look_at_base(self) -> tuple[str, str, int]:
        """The base model's hash, what stands against learning on it, and the bytes that takes."""
        if self.base is None:
            return "", "", 0
        found = self.base()
        if isinstance(found, NightschoolError):
            return "", str(found), 0
        cannot = "" if found.can_learn else f"{found.name} cannot learn now: {found.why_not}"
        return found.sha256, cannot, found.learn_bytes

    def allow(self, yes: bool) -> None:
        """Remember whether nights may start by themselves. Raises Refused when it is a setting."""
        if self.learn.automatic != "ask":
            raise Refused(
                f"The settings decide that: learn.automatic is {self.learn.automatic!r}.",
                'Set it to "ask" or remove it from config.toml.',
            )
        schedule.allow(self.store, yes)
        self.on_end()

    def forget_material(self) -> None:
        """Count again at the next look: pairs or runs changed without the index changing."""
        self._material = None

    def _stage(self) -> str:
        stage = self.progress.get("stage", "starting")
        total = self.progress.get("total") or 0
        return f"{stage} {self.progress.get('done', 0)}/{total}" if total else str(stage)

    # -- running ------------------------------------------------------------------------------

    def start(
        self, by: str, *, dry_run: bool = False, wishes: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Start a night now, with parts of its plan in `wishes`. Raises Refused when one runs."""
        if self.running:
            raise Refused(
                f"A night is already running: {self._stage()}.", "See `nightschool status`."
            )
        if self.elsewhere():
            raise Refused(ELSEWHERE, "Wait for its end; see `nightschool runs`.")
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
        self._task = asyncio.get_running_loop().create_task(
            self._night(by, dry_run, dict(wishes or {}))
        )
        _LOG.info("A night starts (by %s).", by)
        return dict(self.progress)

    async def _night(self, by: str, dry_run: bool, wishes: dict[str, Any]) -> None:
        base_sha = (await asyncio.to_thread(self._look_at_base))[0]
        material = await asyncio.to_thread(schedule.material, self.store, base_sha)
        night: dict[str, Any] = {
            "by": by,
            "dry_run": dry_run,
            "fingerprint": material.fingerprint,
            "started_at": self.progress["started_at"],
        }
        timers = [asyncio.create_task(self._book())]
        if by == "schedule":
            timers.append(asyncio.create_task(self._watch_machine()))
        failed = False
        try:
            night |= await self._follow({"plan": wishes, "dry_run": dry_run})
            failed = night["outcome"] not in (*CONCLUDED, "interrupted")
        except NightschoolError as error:
            outcome = self._sad(error)
            failed = outcome == "failed"
            night |= {"outcome": outcome, "message": self._yielding or error.message}
            night |= {"error": error.code, "remedy": error.remedy}
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
        if isinstance(error, Forgotten):
            return "forgotten"
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
        # The rest is in its row.
        kept = ("outcome", "message", "verdict", "version", "run_id", "facts", "available", "pairs")
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

    async def _watch_machine(self) -> None:
        """The user comes first: end the night at its next step when the machine is needed."""
        while True:
            await asyncio.sleep(WATCH_INPUT_S)
            why = await asyncio.to_thread(self._needed)
            if why:
                self._yielding = f"{why} The night goes on later."
                _LOG.info("%s", self._yielding)
                self.rest(REST_S, why.rstrip("."))
                await asyncio.to_thread(self.learner.finish, YIELD_S)
                return

    def _needed(self) -> str:
        """Why the night must give way now, empty when it need not."""
        idle = self.idle()
        if idle is not None and idle < min(BACK_S, self.learn.idle_s):
            return "The machine is in use again."
        return "" if self.machine is None else in_the_way(self.machine(False), self.learn)

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
            "allowed": self.learn.automatic == "yes"
            or (self.learn.automatic == "ask" and schedule.allowed(self.store)),
        }


def _day(now: datetime) -> str:
    return now.date().isoformat()
