"""From a child's blocking stream to an asynchronous one that can be cancelled at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]


@dataclass
class Ticket:
    """The handle of one request: set `cancelled` from any thread, and `undo` runs once."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    _undo: Callable[[], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_cancel(self, undo: Callable[[], None]) -> None:
        """What takes the request back; called at once when it is too late already."""
        with self._lock:
            self._undo = undo
            late = self.cancelled.is_set()
        if late:
            undo()

    def cancel(self) -> None:
        with self._lock:
            first = not self.cancelled.is_set()
            self.cancelled.set()
            undo = self._undo
        if first and undo is not None:
            undo()


Source = Callable[[Ticket], Iterator[Message]]


async def stream(pool: ThreadPoolExecutor, source: Source) -> AsyncGenerator[Message, None]:
    """Run `source` in a thread and yield its messages; leaving early cancels the request."""
    loop = asyncio.get_running_loop()
    inbox: asyncio.Queue[Message | BaseException | None] = asyncio.Queue()
    ticket = Ticket()

    def put(item: Message | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(inbox.put_nowait, item)

    def work() -> None:
        try:
            for message in source(ticket):
                put(message)
            put(None)
        except BaseException as error:
            put(error)

    pool.submit(work)
    try:
        while (item := await inbox.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ticket.cancel()


async def result(pool: ThreadPoolExecutor, source: Source) -> Any:
    """Only the result of a request."""
    found: Any = None
    async with contextlib.aclosing(stream(pool, source)) as messages:
        async for message in messages:
            if "result" in message:
                found = message["result"]
    return found
