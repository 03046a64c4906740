"""Long work that somebody asked the service for: the command itself, in a process of its own.

So a route does what its verb does, to the letter, and nothing heavy comes into the service. The
command is told by `NIGHTSCHOOL_PROGRESS=json` to say on stderr in JSON lines how far it is, and
what went wrong (see `cli.progress`); its stdout is one JSON document, the result.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Any

from nightschool.children import group
from nightschool.clock import Clock, iso
from nightschool.errors import NightschoolError, NotFound, Refused, by_code
from nightschool.paths import PROGRESS_VARIABLE, Home, interpreter
from nightschool.serve import problems
from nightschool.serve.service import Json

KEPT = 20
"""Jobs that are remembered, until the service ends."""
LONGEST = 16 << 20
"""Characters of a result; more is no result."""
GIVE_UP_S = 4.0
"""What a cancelled job gets to end its own children."""
NICE = 5
_LOG = logging.getLogger("nightschool.daemon")


class State(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Job:
    """One of them. `result` is the command's own JSON; `error` has the shape of all errors."""

    number: int
    verb: str
    started_at: str
    state: State = State.RUNNING
    progress: Json | None = None
    result: Any = None
    error: Json | None = None
    exit_code: int | None = None
    ended_at: str = ""

    def plain(self, *, whole: bool = True) -> Json:
        """As JSON; the result only when `whole`."""
        names = [name for name in self.__slots__ if whole or name != "result"]
        return {name: getattr(self, name) for name in names} | {"state": self.state.value}


@dataclass
class Jobs:
    """At most one runs at a time. Methods are quick; `close` waits for the one that runs."""

    home: Home
    clock: Clock
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _jobs: list[Job] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _group: group.Group | None = None
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def start(self, verb: str, words: Sequence[str], secrets: Mapping[str, str]) -> Json:
        """Run `nightschool words --json`; `secrets` go into its environment, and into no log.

        Raises Refused while another job runs.
        """
        with self._lock:
            if self._closed:
                raise Refused("Nightschool is stopping.", "Start it again.")
            if (busy := self._running()) is not None:
                raise Refused(
                    f"Job {busy.number} ({busy.verb}) is running.",
                    "Wait for it (GET /ns/job), or end it (POST /ns/job/cancel).",
                )
            number = self._jobs[-1].number + 1 if self._jobs else 1
            job = Job(number, verb, iso(self.clock.now()))
            self._process = process = self._begin(verb, words, secrets)
            self._group = group.Group(process.pid)
            del self._jobs[: max(len(self._jobs) + 1 - KEPT, 0)]
            self._jobs.append(job)
            self._thread = threading.Thread(target=self._follow, args=(job, process), daemon=True)
            self._thread.start()
        _LOG.info("Job %d begins: %s.", number, verb)
        return job.plain()

    def all(self) -> list[Json]:
        """The newest first, without their results."""
        return [job.plain(whole=False) for job in reversed(self._jobs)]

    def one(self, number: int) -> Json:
        """One with its result. Raises NotFound."""
        return self._one(number).plain()

    def cancel(self, number: int) -> Json:
        """Ask the one that runs to end; one that has ended stays as it is. Raises NotFound."""
        job = self._one(number)
        with self._lock:
            if job.state is State.RUNNING:
                job.state = State.CANCELLED
                self._interrupt()
        return job.plain()

    def close(self) -> None:
        """End the one that runs. Blocks, for a bounded time."""
        with self._lock:
            self._closed = True
            running, thread = self._running(), self._thread
            if running is not None:
                running.state = State.CANCELLED
                self._interrupt()
        if thread is not None:
            thread.join(GIVE_UP_S + 2.0)

    # -- inside ---------------------------------------------------------------------------------

    def _running(self) -> Job | None:
        """The job whose process is there, cancelled or not."""
        return self._jobs[-1] if self._jobs and not self._jobs[-1].ended_at else None

    def _one(self, number: int) -> Job:
        for job in self._jobs:
            if job.number == number:
                return job
        raise NotFound(f"There is no job {number}.", f"See /ns/jobs; {KEPT} are remembered.")

    def _begin(
        self, verb: str, words: Sequence[str], secrets: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        depth = len(verb.split())  # the option goes behind the verb, before a `--`
        arguments = [*words[:depth], "--json", *words[depth:]]
        return subprocess.Popen(
            [*interpreter(), "-m", "nightschool", "--home", str(self.home.root), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.home.root,
            env={**self.environment, PROGRESS_VARIABLE: "json", **secrets},
            start_new_session=os.name == "posix",
            creationflags=group.flags(NICE),
        )

    def _interrupt(self) -> None:
        """As Ctrl-C does: the command ends its own children. What does not go is ended by force."""
        process, whole = self._process, self._group
        if process is None or whole is None:
            return
        if sys.platform == "win32":
            whole.end()
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        force = threading.Timer(GIVE_UP_S, whole.end)
        force.daemon = True
        force.start()
        threading.Thread(target=_call_off, args=(process, force), daemon=True).start()

    def _follow(self, job: Job, process: subprocess.Popen[bytes]) -> None:
        said: list[Json] = []
        assert process.stdout is not None and process.stderr is not None
        listener = threading.Thread(target=_listen, args=(job, process.stderr, said), daemon=True)
        listener.start()
        out = process.stdout.read(LONGEST + 1)
        while process.stdout.read(1 << 16):
            pass  # too long to be kept; the command must be able to end all the same
        code = process.wait()
        listener.join(5.0)
        process.stdout.close()
        process.stderr.close()
        self._settle(job, code, out, said)

    def _settle(self, job: Job, code: int, out: bytes, said: list[Json]) -> None:
        result, error = None, None
        with contextlib.suppress(ValueError):
            result = json.loads(out) if len(out) <= LONGEST else None
        if result is None:
            last = said[-1] if said else {}
            failure = by_code(
                str(last.get("code", "")),
                str(last.get("message") or f"The command ended with exit code {code}."),
                str(last.get("remedy") or f"See {self.home.logs}."),
            )
            error = _shape(failure)
        with self._lock:
            job.result, job.exit_code, job.progress = result, code, None
            if job.state is State.RUNNING:
                job.state = State.FAILED if error else State.DONE
                job.error = error
            job.ended_at = iso(self.clock.now())
            self._process = self._group = None
        _LOG.info("Job %d (%s) is %s (exit %d).", job.number, job.verb, job.state.value, code)


def _shape(error: NightschoolError) -> Json:
    found: Json = problems.of(error).body()["error"]
    return found


def _listen(job: Job, stream: IO[bytes], said: list[Json]) -> None:
    """Take in what the command says of itself; other lines are for people and left alone."""
    for line in stream:
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            told = json.loads(line)
            if "stage" in told:
                job.progress = {name: told[name] for name in ("stage", "done", "total")}
            elif "message" in told:
                said.append(told)


def _call_off(process: subprocess.Popen[bytes], force: threading.Timer) -> None:
    """No force for one that went by itself."""
    process.wait()
    force.cancel()
