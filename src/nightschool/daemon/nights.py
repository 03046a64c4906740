"""Run one night in the learner child: start it, follow it, book its time, remember how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
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
from nightschool.daemon.schedule import CONCLUDED, Decision, Facts, decide, in_the_way, unsteady
from nightschool.device.conditions import Conditions
from nightschool.errors import (
    ChildError,
    Forgotten,
    Interrupted,
    NightschoolError,
    Refused,
    TooLittle,
)
from nightschool.models.catalogue import ModelInfo
from nightschool.store import runs, schedule
from nightschool.store.db import Store
from nightschool.store.schedule import Material

BOOK_S = 15.0
"""Learner time is booked this often, so that a crash loses no more of it."""
WATCH_INPUT_S = 0.5
"""While a scheduled night runs, the user's input and the machine are looked at this often."""
WHOLE_S = 15.0
"""How often, while a night runs, also what takes a program of the system to find out."""
REST_S = 300.0
"""A night that gave way goes on when nothing was in its way for so long, and none starts before
what comes and goes (power, heat, memory) has been well for so long."""
MIND_S = 15.0
"""Shortly before a night, power, heat and memory are looked at this often."""
AWAKE_S = 120.0
"""After a start, a sleep or a jump of the clock, other programs have their turn first."""
BACK_S = 10.0
"""Input younger than this means that the user is back."""
YIELD_S = 0.9
"""How long the learner may take to come to a stop when it must give way. It writes its last whole
step at once, so nothing but the step under way is done again when it is ended after that."""
FORCE_S = 0.1
"""How long it is then asked by signal before the whole group is killed."""
PAUSED = "You paused learning"
PAUSE_TRIES = 20
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
    on_promoted: Callable[[dict[str, Any]], None] = lambda night: None
    """Called in a thread with the night whose version is served from now on."""
    progress: dict[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    _task: asyncio.Task[None] | None = None
    _material: Material | None = None
    _base_sha: str = ""
    _hold: tuple[float, str] = (0.0, "")
    _yielding: str = ""
    _minded: float = -math.inf

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
            spoilt=runs.spoilt(self.store, base_sha),
            running=self._busy(),
            cannot=cannot,
            needs_bytes=needs,
            allowed=schedule.allowed(self.store),
            hold=self._holding(),
            changing=self.changing(),
            unfinished=unfinished.id if unfinished is not None else None,
        )
        return self._decide(facts)

    def _decide(self, facts: Facts) -> Decision:
        """Look at the machine only where nothing else is in the way but the user, who may be gone
        for long enough by and by; what is dearer is looked at last."""
        soon = replace(facts, hold=None, idle_s=None)
        if self.machine is not None and decide(soon, self.learn).start:
            seen = self.machine(False)
            self._mind(seen)
            facts = replace(facts, conditions=seen, hold=self._holding())
            if decide(facts, self.learn).start:
                facts = replace(facts, conditions=self.machine(True))
            found = decide(facts, self.learn)
            self.decision = replace(found, check_s=min(found.check_s, MIND_S))
        else:
            self.decision = decide(facts, self.learn)
        return self.decision

    def _mind(self, seen: Conditions) -> None:
        """Let no night start before power, heat and memory have been well for `REST_S`, as far as
        anybody has watched; where nothing can tell of them, there is nothing to wait for."""
        now = self.clock.monotonic()
        watched, self._minded = now - self._minded <= REST_S, now
        why = unsteady(seen, self.learn)
        if not why and not watched and not (seen.battery is None and seen.celsius is None):
            why = "Power and heat are watched for a while first"
        if why:
            self.rest(REST_S, why)

    def rest(self, seconds: float, why: str) -> None:
        """Let no night start by itself for so long."""
        self._hold = max(self._hold, (self.clock.monotonic() + seconds, why))

    def _holding(self) -> tuple[float, str] | None:
        rest = (self._hold[0] - self.clock.monotonic(), self._hold[1])
        longest = max(rest, (self.paused_s(), PAUSED))
        return longest if longest[0] > 0 else None

    def paused_s(self) -> float:
        """Seconds that are left of the user's pause."""
        return schedule.pause_left(self.store, self.clock.now())

    async def pause(self, seconds: float) -> None:
        """Let no night start by itself for so long, and a running one go on later; 0 ends it."""
        await asyncio.to_thread(schedule.pause, self.store, self.clock.now(), seconds)
        task = self._task
        if seconds > 0 and task is not None and not task.done():
            self._yielding = f"{PAUSED}. The night goes on later."
            _LOG.info("%s", self._yielding)
            for _ in range(PAUSE_TRIES):  # the learner may only just be starting
                await asyncio.to_thread(self._end_learner)
                if (await asyncio.wait([task], timeout=WATCH_INPUT_S))[0]:
                    break
        self.on_end()

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
        if by != "schedule":  # which has said why
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
            for pause_s, whole in ((WATCH_INPUT_S, False), (WHOLE_S, True)):
                timers.append(asyncio.create_task(self._watch_machine(pause_s, whole)))
        failed = False
        try:
            night |= await self._follow({"plan": wishes, "dry_run": dry_run})
            failed = night["outcome"] not in (*CONCLUDED, "interrupted")
        except NightschoolError as error:
            outcome = self._sad(error)
            failed = outcome == "failed"
            if isinstance(error, ChildError) and not self._yielding:
                error = await asyncio.to_thread(self._died, error)
            night |= {"outcome": outcome, "message": self._yielding or error.message}
            night |= {"error": error.code, "remedy": error.remedy}
        finally:
            for timer in timers:
                timer.cancel()
            await asyncio.gather(*timers, return_exceptions=True)
        night["ended_at"] = iso(self.clock.now())
        if not dry_run:
            await asyncio.to_thread(schedule.record_night, self.store, night, failed=failed)
        if self._yielding:  # which has said why
            _LOG.info("The learner has ended; what the night has done is kept.")
        else:
            outcome = night["outcome"].replace("_", " ")
            _LOG.info("The night ended: %s. %s", outcome, night.get("message", ""))
        self.forget_material()
        await asyncio.to_thread(self._end_learner)
        self.on_end()
        if night["outcome"] == "promoted" and not dry_run:
            await asyncio.to_thread(self.on_promoted, night)

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

    async def _watch_machine(self, pause_s: float, whole: bool) -> None:
        """The user comes first: end the night when the machine is needed. What takes a program of
        the system to find out has a watch of its own, for such a program may hang."""
        while True:
            await asyncio.sleep(pause_s)
            why = self._yielding or await asyncio.to_thread(self._look_careful, whole)
            if why and not self._yielding:
                self.give_way(why)
            if why:  # again and again until it has ended: it may only just be starting
                await asyncio.to_thread(self._end_learner)

    def give_way(self, why: str) -> None:
        """Note that the running night ends for now, and let none start before it is calm again."""
        self._yielding = f"{why} The night goes on later."
        _LOG.info("%s", self._yielding)
        self.rest(REST_S, f"A night just gave way ({why.rstrip('.')})")

    def needed(self, whole: bool = False) -> str:
        """Why a running night must give way now, empty when it need not."""
        idle = self.idle()
        if idle is not None and idle < min(BACK_S, self.learn.idle_s):
            return "The machine is in use again."
        return "" if self.machine is None else in_the_way(self.machine(whole), self.learn)

    def _look_careful(self, whole: bool) -> str:
        """As `needed`; a look that fails must not leave a night without anybody who watches it."""
        try:
            return self.needed(whole)
        except Exception:
            _LOG.exception("The machine cannot be looked at.")
            return "The machine cannot be looked at (see the log)."

    def _end_learner(self) -> None:
        self.learner.finish(YIELD_S, FORCE_S)

    def _died(self, error: ChildError) -> ChildError:
        """What to say of a learner that is gone; a night that memory ran out for is over, so that
        the next one takes smaller steps instead of going on with the same."""
        reason = self.learner.last_error
        if self.learner.alive or not reason or reason in error.message:
            return error  # it said itself what went wrong
        if self.learner.starved:
            runs.starved(self.store, f"Out of memory: the learner {reason}.", self.clock)
        return ChildError(f"The learner {reason}.", f"See {self.learner.log}.")

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
            "paused_s": round(self.paused_s()),
            "resting": decision is not None and decision.resting,
            "allowed": self.learn.automatic == "yes"
            or (self.learn.automatic == "ask" and schedule.allowed(self.store)),
        }


def _day(now: datetime) -> str:
    return now.date().isoformat()
