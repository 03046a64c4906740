"""Keeps one heavy child: started when needed, restarted with back-off, limited, put to sleep.

Blocking by design: `stream` runs in a thread of the daemon's pool (see `bridge`). The daemon
calls `check` every couple of seconds while any child lives, and never when none does.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from nightschool.children.child import HUNG_S, Child
from nightschool.daemon.bridge import Message, Ticket
from nightschool.daemon.logs import turn_over
from nightschool.device.memory import oom_kills
from nightschool.errors import ChildError, Interrupted, NightschoolError
from nightschool.paths import private

BACK_OFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds to wait before the next start after n failures in a row; the last one repeats."""
SCARCE = 256 << 20
"""Bytes of available memory below which an idle child is put to sleep early."""
FOREVER_S = 365 * 86_400.0
"""What is shown of a child that is kept for good."""
_LOG = logging.getLogger("nightschool.daemon")


class ChildState(StrEnum):
    """Where one child stands."""

    ASLEEP = "asleep"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    BACKING_OFF = "backing off"


@dataclass
class Keeper:
    """One supervised child.

    `keep_alive_s` is how long it may be idle before it gives its memory back; `memory_bytes` how
    much resident memory it and what it started may hold before it is ended. `silent_s` and
    `stuck_s` say when it counts as hung (see `Child`); `within` gives the program that limits it
    where the system has one.
    """

    name: str
    module: str
    arguments: Sequence[str]
    log: Path
    keep_alive_s: float
    memory_bytes: int
    nice: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    back_off_s: Sequence[float] = BACK_OFF_S
    silent_s: float = HUNG_S
    stuck_s: float = math.inf
    within: Callable[[], Sequence[str]] = tuple
    starved: bool = False
    """Whether the last child was ended because memory ran out."""
    restarts: int = 0
    served: int = 0
    last_error: str = ""
    ready: dict[str, Any] = field(default_factory=dict)
    _child: Child | None = None
    _is_ready: bool = False
    _failures: int = 0
    _not_before: float = 0.0
    _kills: int = 0
    _busy: int = 0
    _last_use: float = 0.0
    _keep_s: float | None = None
    _closed: bool = False
    _start: threading.Lock = field(default_factory=threading.Lock)
    _count: threading.Lock = field(default_factory=threading.Lock)

    # -- use ----------------------------------------------------------------------------------

    def stream(self, ticket: Ticket, op: str, params: Mapping[str, Any]) -> Iterator[Message]:
        """One request to the child, which is started if need be.

        Raises ChildError when it cannot be started or dies; the next request may succeed.
        """
        with self._count:
            self._busy += 1
        try:
            child = self._ensure(ticket)
            number = child.reserve()
            ticket.on_cancel(lambda: child.cancel(number))
            try:
                for message in child.stream(op, params, number=number):
                    if "result" in message:
                        self._failures = 0
                        self.served += 1
                    yield message
            except ChildError:
                if not child.alive:
                    self._fell(child)
                raise
        finally:
            with self._count:
                self._busy -= 1
                self._last_use = time.monotonic()

    def warm(self) -> None:
        """Start the child now, because it will be needed in a moment. Failures show on use."""
        try:
            self._ensure(Ticket())
        except NightschoolError as error:
            _LOG.warning("%s could not be started: %s", self.name, error)
        self._last_use = time.monotonic()

    def keep(self, seconds: float | None) -> None:
        """How long it may be idle this time: None is as set, infinity until memory is scarce, and 0
        gives the memory back after the request that runs."""
        self._keep_s = seconds

    def _ensure(self, ticket: Ticket) -> Child:
        with self._start:
            if ticket.cancelled.is_set():
                raise Interrupted("The request was cancelled.", "")
            if self._closed:
                raise ChildError("Nightschool is stopping.", "Start it again.")
            child = self._child
            if child is not None and child.alive and self._is_ready:
                return child
            if child is not None and not child.alive and self._is_ready:
                self._fell(child)
            wait = self._not_before - time.monotonic()
            if wait > 0:
                raise ChildError(
                    f"The {self.name} failed {self._failures} times in a row and is started again "
                    f"in {wait:.0f} s.",
                    f"See {self.log}. Last error: {self.last_error}",
                )
            return self._begin()

    def _begin(self) -> Child:
        turn_over(self.log)
        began = time.monotonic()
        child = Child(
            self.module, self.arguments, log=self.log, nice=self.nice,
            environment=self.environment, within=self.within(), silent_s=self.silent_s,
            stuck_s=self.stuck_s,
        )  # fmt: skip
        self.starved, self._kills = False, oom_kills()
        private(self.log)
        self._child, self._is_ready = child, False
        try:
            self.ready = child.wait_ready()
        except NightschoolError as error:
            child.kill()
            self._child = None
            self._failed(error.message)
            raise
        self._last_use = time.monotonic()
        self._is_ready = True
        _LOG.info("%s ready in %.2f s (pid %d)", self.name, time.monotonic() - began, self.pid or 0)
        return child

    def _fell(self, child: Child) -> None:
        """A ready child is gone although nobody asked it to go."""
        with self._count:
            if self._child is not child:
                return
            self._child, self._is_ready = None, False
        child.kill()  # whatever is left of its process group
        code = child.process.poll()
        if code == -9 and oom_kills() > self._kills:
            self.starved = True
            self._failed("was ended by the system, which ran out of memory")
        else:
            self._failed(f"ended unexpectedly (exit {code})")

    def _failed(self, reason: str) -> None:
        if self._closed:
            return
        self.last_error = reason
        self.restarts += 1
        wait = self.back_off_s[min(self._failures, len(self.back_off_s) - 1)]
        self._not_before = time.monotonic() + wait
        self._failures += 1
        _LOG.warning("%s %s", self.name, reason)

    # -- supervision --------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int | None:
        """The child's process id, which is its process group too."""
        return self._child.process.pid if self._child is not None and self._child.alive else None

    @property
    def busy(self) -> bool:
        return self._busy > 0

    def check(self) -> None:
        """End a child that hangs, holds too much memory, or was idle for long enough."""
        child = self._child
        if child is None or not self._is_ready:
            return
        if not child.alive:
            self._fell(child)
        elif why := child.hung:
            self._end(child, f"{why} and was ended")
        elif (held := _memory(child.process.pid)) > self.memory_bytes:
            self.starved = True
            self._end(child, f"held {held >> 20} MB of memory and was ended")
        elif not self.busy and self.left_s() <= 0:
            self._sleep(child)
        elif not self.busy and psutil.virtual_memory().available < SCARCE:
            _LOG.info("Memory is scarce: %s gives its own back.", self.name)
            self._sleep(child)

    def renew(self) -> None:
        """Let what comes next be done by a new child, for its settings have changed. Blocks."""
        if self.alive:
            self._keep_s = 0.0
            self.check()

    def left_s(self) -> float:
        """Seconds until an idle child gives its memory back."""
        keep = self.keep_alive_s if self._keep_s is None else self._keep_s
        return keep - (time.monotonic() - self._last_use)

    def _end(self, child: Child, reason: str) -> None:
        with self._count:
            if self._child is not child:
                return
            self._child, self._is_ready = None, False
        self.last_error = reason  # before whoever waits for the child hears that it is gone
        child.kill()
        self._failed(reason)

    def _sleep(self, child: Child) -> None:
        with self._start:
            if self.busy or self._child is not child:
                return
            self._child, self._is_ready = None, False
            self._keep_s = None
        idle = time.monotonic() - self._last_use
        child.stop()
        _LOG.info("%s gave its memory back after %.0f s idle", self.name, idle)

    def finish(self, timeout: float, term_s: float | None = None) -> None:
        """Ask the child to finish (it may still be used later); see `Child.stop`."""
        child = self._child
        if child is not None:
            self._child, self._is_ready = None, False
            child.stop(timeout, term_s)

    def close(self, timeout: float) -> None:
        """End the child for good: politely for `timeout` seconds, then by force."""
        self._closed = True
        self.finish(timeout)

    def describe(self) -> dict[str, Any]:
        """The child in `status`."""
        if self.alive:
            state = (
                ChildState.STARTING
                if not self._is_ready
                else ChildState.BUSY
                if self.busy
                else ChildState.READY
            )
        else:
            late = self._not_before > time.monotonic()
            state = ChildState.BACKING_OFF if late else ChildState.ASLEEP
        pid = self.pid
        return {
            "state": state.value,
            "pid": pid,
            "memory_bytes": _memory(pid) if pid is not None else 0,
            "memory_limit_bytes": self.memory_bytes,
            "left_s": min(max(self.left_s(), 0.0), FOREVER_S) if pid is not None else None,
            "served": self.served,
            "restarts": self.restarts,
            "last_error": self.last_error,
        }


def _memory(pid: int) -> int:
    """Bytes of private resident memory of a process and all that it started."""
    total = 0
    try:
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            info = process.memory_info()
            # Mapped model files are shared pages that the kernel takes back by itself.
            total += info.rss - (info.shared if sys.platform == "linux" else 0)
    except psutil.Error:
        return total
    return total
