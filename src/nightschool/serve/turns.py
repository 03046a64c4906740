"""A fair queue before the engine: clients take turns, so one that asks a lot keeps nobody waiting.

The engine does one request at a time. Each client has a line of its own, and the lines are served
in turn; within a line the oldest goes first. Who waits holds no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from nightschool.errors import ChildError

CLIENT: ContextVar[str] = ContextVar("nightschool_client", default="")
"""Who the present request comes from, as far as it says so (see `name_of`)."""
MOST = 512
"""Requests that may wait at once, all clients together."""
AT_ONCE = 2
"""Requests that the engine holds: one that it works on, and the next, so that it never idles."""


class Busy(ChildError):
    """Too many requests wait already."""


def name_of(headers: list[tuple[bytes, bytes]]) -> str:
    """A client's name for its place in the queue: `X-Client-Name`, else its User-Agent. It decides
    about turns only, never about rights."""
    found = dict(headers)
    return found.get(b"x-client-name", found.get(b"user-agent", b""))[:200].decode("latin-1")


@dataclass
class Turns:
    """Lets `at_once` requests through, the others wait for their client's turn."""

    at_once: int = AT_ONCE
    _inside: int = 0
    _lines: dict[str, deque[asyncio.Future[None]]] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())

    @contextlib.asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn and keep it while the block runs. Raises Busy."""
        if self._inside < self.at_once and not self._lines:
            self._inside += 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._inside -= 1
            self._next()

    async def _wait(self, client: str) -> None:
        if self.waiting >= MOST:
            raise Busy("Too many requests are waiting for the model.", "Try again in a moment.")
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(client, deque()).append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():  # it was our turn already: pass it on
                self._inside -= 1
                self._next()
            else:
                line = self._lines.get(client)
                if line is not None:
                    with contextlib.suppress(ValueError):
                        line.remove(ticket)
                    if not line:
                        del self._lines[client]
            raise

    def _next(self) -> None:
        while self._inside < self.at_once and self._lines:
            client = next(iter(self._lines))
            line = self._lines.pop(client)  # and to the end, if more of it wait
            ticket = line.popleft()
            if line:
                self._lines[client] = line
            if not ticket.done():
                self._inside += 1
                ticket.set_result(None)
