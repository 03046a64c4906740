"""The parent's side: start a child by module name, send requests, receive streams, end it.

Every child leads its own process group (a job of its own on Windows), so that ending it ends
what it started; nothing is left of the group after its leader went, however it went.

Two things tell a hung child. Its heart is a thread of its own: silence for `silent_s` means that
the process is stopped or starved. The beat counts work done: no progress for `stuck_s` while a
request runs means that it works on nothing, however lively it beats.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nightschool.children import group
from nightschool.children.protocol import decode, encode
from nightschool.errors import ChildError, by_code
from nightschool.paths import interpreter

START_S = 60.0
HUNG_S = 30.0
"""Without any sign of life for so long a child counts as hung."""
STOP_S = 5.0
_GONE: dict[str, Any] = {"gone": True}


class Child:
    """One heavy process. Thread-safe: several requests may wait at once; the child serves in order.

    `module` is run as `python -m module *arguments`; its stderr goes to `log`. `memory_bytes`
    limits its address space where the platform can (RLIMIT_AS); `nice` lowers its priority, and
    from `launch.BACKGROUND` on the class of its processor and disk time too. `within` is a program
    that is started with the child's command line and becomes it (see `device.scope`).
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        log: Path,
        nice: int = 0,
        memory_bytes: int | None = None,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
        silent_s: float = HUNG_S,
        stuck_s: float = math.inf,
    ) -> None:
        self.module = module
        self.silent_s, self.stuck_s = silent_s, stuck_s
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._inboxes: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._ready: queue.Queue[dict[str, Any]] = queue.Queue()
        self.beats = 0
        self.last_beat = self.last_progress = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                [*within, *interpreter(), "-m", "nightschool.children.launch", str(nice),
                 str(memory_bytes or 0), module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env={**os.environ, **(environment or {})},
                start_new_session=os.name == "posix",
                creationflags=group.flags(nice),
            )  # fmt: skip
        self._group = group.Group(self.process.pid, memory_bytes)
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_ready(self, timeout: float = START_S) -> dict[str, Any]:
        """What the child said of itself when it was ready. Raises ChildError when it is not."""
        try:
            message = self._ready.get(timeout=timeout)
        except queue.Empty:
            self.kill()
            raise ChildError(
                f"{self.module} did not start within {timeout:.0f} s.", f"See {self._log}."
            ) from None
        if "failed" in message:
            failed = message["failed"]
            raise by_code(failed["code"], failed["message"], failed["remedy"])
        if "ready" not in message:
            raise ChildError(f"{self.module} ended while starting.", f"See {self._log}.")
        ready: dict[str, Any] = message["ready"]
        return ready

    @property
    def alive(self) -> bool:
        """Whether the process runs (it may still be hung; see `hung`)."""
        return self.process.poll() is None

    @property
    def hung(self) -> str:
        """Why the child counts as hung, empty when it does not."""
        now = time.monotonic()
        if not self.alive:
            return ""
        if now - self.last_beat > self.silent_s:
            return f"gave no sign of life for {now - self.last_beat:.0f} s"
        with self._lock:
            waiting = bool(self._inboxes)
        if waiting and now - self.last_progress > self.stuck_s:
            return f"made no progress for {now - self.last_progress:.0f} s"
        return ""

    def stream(
        self,
        op: str,
        params: Mapping[str, Any] | None = None,
        *,
        number: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield `{"event": …}` messages, then one `{"result": …}`.

        Closing the iterator early cancels the request; so does `cancel(number)` from another
        thread, with a `number` from `reserve` given here. Raises the child's own error, or
        ChildError when it dies.
        """
        number = self.reserve() if number is None else number
        inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        with self._lock:
            if not self._inboxes:
                self.last_progress = time.monotonic()  # it had nothing to do until now
            self._inboxes[number] = inbox
        done = False
        try:
            self._send({"id": number, "op": op, "params": dict(params or {})})
            while True:
                message = inbox.get()
                if message is _GONE:
                    done = True
                    raise ChildError(
                        f"{self.module} ended while working (exit {self.process.poll()}).",
                        f"Try again; see {self._log}.",
                    )
                if "error" in message:
                    done = True
                    error = message["error"]
                    raise by_code(error["code"], error["message"], error["remedy"])
                if "result" in message:
                    done = True
                yield message
                if done:
                    return
        finally:
            with self._lock:
                self._inboxes.pop(number, None)
            if not done:
                with contextlib.suppress(ChildError):
                    self._send({"cancel": number})

    def reserve(self) -> int:
        """A number for one request, so that another thread can cancel it."""
        return next(self._numbers)

    def cancel(self, number: int) -> None:
        """Take a request back; its stream ends with the child's Interrupted error."""
        with contextlib.suppress(ChildError):
            self._send({"cancel": number})

    def call(self, op: str, params: Mapping[str, Any] | None = None) -> Any:
        """The result of one request; its events are dropped."""
        result: Any = None
        for message in self.stream(op, params):
            result = message.get("result")
        return result

    def stop(self, timeout: float = STOP_S, term_s: float | None = None) -> None:
        """Ask politely (close stdin), then terminate, then kill the whole group.

        `timeout` seconds are for the polite end and `term_s` (default: as long) for the signal.
        """
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        for wait, insist in ((timeout, False), (timeout if term_s is None else term_s, True)):
            if insist:
                self._group.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(wait)
                break
        self.kill()

    def kill(self) -> None:
        """End the process group at once, also what is left of it when its leader is gone."""
        self._group.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            assert self.process.stdin is not None
            with self._lock:
                self.process.stdin.write(encode(message))
                self.process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ChildError(f"{self.module} is not running.", f"See {self._log}.") from error

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                message = decode(line)
            except ValueError:
                continue
            self.last_beat = time.monotonic()
            if "beat" in message:
                if int(message["beat"]) != self.beats:
                    self.beats = int(message["beat"])
                    self.last_progress = self.last_beat
                continue
            self.last_progress = self.last_beat
            if "ready" in message or "failed" in message:
                self._ready.put(message)
            else:
                with self._lock:
                    inbox = self._inboxes.get(int(message.get("id", 0)))
                if inbox is not None:
                    inbox.put(message)
        self.process.wait()
        self.process.stdout.close()
        with self._lock, contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        self._ready.put(_GONE)
        with self._lock:
            waiting = list(self._inboxes.values())
        for inbox in waiting:
            inbox.put(_GONE)
