"""The child's side of the channel: read requests, run them one at a time, stream events.

Requests are handled in order of arrival on the main thread (llama.cpp is not thread-safe);
a second thread reads stdin, so that a cancel is seen while work goes on; a third beats.
"""

from __future__ import annotations

import functools
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from nightschool.children.protocol import BEAT_S, decode, encode
from nightschool.errors import ChildError, Interrupted, NightschoolError, of_disk


@dataclass
class Job:
    """What a handler gets beside its parameters: a way to stream, and to see a cancel."""

    id: int
    emit: Callable[[Mapping[str, Any]], None]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise Interrupted when the parent has taken the request back."""
        if self.cancelled.is_set():
            raise Interrupted("The request was cancelled.", "")


Handler = Callable[[dict[str, Any], Job], Any]


class Worker:
    """Serves a table of operations over stdin and stdout until stdin closes."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = dict(handlers)
        self._out = _claim_stdout()
        self._lock = threading.Lock()
        self._inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._jobs: dict[int, Job] = {}
        self._beats = 0

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message; a parent that has gone ends the child."""
        try:
            with self._lock:
                self._out.write(encode(message))
                self._out.flush()
        except (BrokenPipeError, ValueError):
            os._exit(0)

    def beat(self) -> None:
        """Count a unit of work (a step, a token); the heartbeat carries the count."""
        self._beats += 1

    def run(self, ready: Mapping[str, Any]) -> None:
        """Say `ready`, then serve until stdin closes."""
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._heart, daemon=True).start()
        self.send({"ready": dict(ready)})
        while (request := self._inbox.get()) is not None:
            self._handle(request)

    def _handle(self, request: dict[str, Any]) -> None:
        number = int(request.get("id", 0))
        job = self._jobs[number]
        try:
            job.check()
            handler = self._handlers.get(str(request.get("op")))
            if handler is None:
                raise ChildError(f"Unknown operation {request.get('op')!r}.", "")
            result = handler(dict(request.get("params") or {}), job)
            self.send({"id": number, "result": result})
        except NightschoolError as error:
            self._fail(number, error)
        except MemoryError:
            self._fail(
                number, ChildError("Out of memory.", "Close programs or use a smaller model.")
            )
        except Exception as error:
            if isinstance(error, OSError) and (full := of_disk(error)) is not None:
                self._fail(number, full)
                return
            traceback.print_exc()  # stderr is the child's log
            text = f"{type(error).__name__}: {error}"
            self._fail(number, ChildError(f"Unexpected failure: {text}.", "See the child's log."))
        finally:
            self._jobs.pop(number, None)

    def _emit(self, number: int, event: Mapping[str, Any]) -> None:
        self.send({"id": number, "event": dict(event)})

    def _fail(self, number: int, error: NightschoolError) -> None:
        body = {"code": error.code, "message": error.message, "remedy": error.remedy}
        self.send({"id": number, "error": body})

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            try:
                message = decode(line)
            except ValueError:
                continue
            if "cancel" in message:
                job = self._jobs.get(int(message["cancel"]))
                if job is not None:
                    job.cancelled.set()
                continue
            number = int(message.get("id", 0))
            self._jobs[number] = Job(number, functools.partial(self._emit, number))
            self._inbox.put(message)
        for job in list(self._jobs.values()):
            job.cancelled.set()
        self._inbox.put(None)

    def _heart(self) -> None:
        pause = threading.Event()
        while not pause.wait(BEAT_S):
            self.send({"beat": self._beats})


def _claim_stdout() -> BinaryIO:
    """Keep the real stdout for the channel and send stray prints of libraries to stderr."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel
