"""One daemon a home: an OS lock, `runtime.json` beside it, and a health check behind both.

The lock dies with its process, so a crash leaves nothing to clean up. A lock that is held by a
process that no longer answers (a dead server in a live process) is taken over.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from nightschool.errors import Refused, StoreError
from nightschool.paths import Home
from nightschool.store.atomic import write_bytes

HEALTH_S = 2.0
"""Seconds a health check may take."""
END_S = 3.0
"""How long a hung daemon may take to end, politely, before it is killed."""
PATIENCE_S = 8.0
"""How long a lock holder that does not answer is given before it is taken over."""
_LOG = logging.getLogger("nightschool.daemon")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the running daemon says of itself. `instance` is random and tells restarts apart;
    `created` is the process's start as the OS counts it, so that a reused pid is not mistaken."""

    pid: int
    port: int
    started_at: str
    created: float
    instance: str
    version: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class AlreadyRunning(Refused):
    """Another daemon serves this home, and it is healthy."""

    exit_code = 0

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(
            f"Nightschool is already running: process {runtime.pid} serves {runtime.url}.",
            "Stop it with `nightschool stop`.",
        )
        self.runtime = runtime


def describe(port: int, started_at: str, version: str) -> Runtime:
    """The runtime record of this very process."""
    return Runtime(
        os.getpid(),
        port,
        started_at,
        psutil.Process().create_time(),
        secrets.token_hex(8),
        version,
    )


def publish(home: Home, runtime: Runtime) -> None:
    """Write `runtime.json`, atomically and for the user alone."""
    write_bytes(home.runtime, json.dumps(asdict(runtime), indent=1).encode())
    home.runtime.chmod(0o600)


def retract(home: Home, runtime: Runtime) -> None:
    """Remove `runtime.json` if it is still ours."""
    if read(home) == runtime:
        home.runtime.unlink(missing_ok=True)


def read(home: Home) -> Runtime | None:
    """The last daemon's record, if there is a sound one."""
    try:
        return Runtime(**json.loads(home.runtime.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def healthy(runtime: Runtime, timeout: float = HEALTH_S) -> bool:
    """Whether that very daemon answers on its port."""
    connection = http.client.HTTPConnection("127.0.0.1", runtime.port, timeout=timeout)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        body = json.loads(answer.read(4096))
        return answer.status == 200 and body.get("instance") == runtime.instance
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def running(home: Home) -> Runtime | None:
    """The healthy daemon of this home, or None."""
    runtime = read(home)
    return runtime if runtime is not None and healthy(runtime) else None


def acquire(home: Home, *, patience_s: float = PATIENCE_S) -> FileLock:
    """The lock of this home. Raises AlreadyRunning, or Refused when a hung one will not go."""
    lock = FileLock(home.lock, mode=0o600)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            lock.acquire(timeout=0)
            return lock
        except Timeout:
            pass
        except OSError as error:
            raise StoreError(
                f"Cannot lock {home.lock}: {error.strerror or error}.",
                "Check the folder's permissions.",
            ) from error
        runtime = running(home)
        if runtime is not None:
            raise AlreadyRunning(runtime)
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    _LOG.warning("The daemon that holds %s does not answer: taking over.", home.lock)
    _end_hung(home)
    try:
        lock.acquire(timeout=5.0)
    except Timeout:
        raise Refused(
            f"Another process holds {home.lock} and does not answer.",
            "End it, then start again.",
        ) from None
    return lock


def held(lock: Path) -> bool:
    """Whether another process holds this lock right now."""
    probe = FileLock(lock, mode=0o600)
    try:
        probe.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False  # no lock can be had here: whoever needs it says so
    probe.release()
    return False


def _end_hung(home: Home) -> None:
    """Terminate the process that `runtime.json` names, if it is still the same process."""
    runtime = read(home)
    if runtime is None or runtime.pid == os.getpid():
        return
    for end in (psutil.Process.terminate, psutil.Process.kill):
        with contextlib.suppress(psutil.Error):
            if process_lives(runtime):
                end(psutil.Process(runtime.pid))
        deadline = time.monotonic() + END_S
        while process_lives(runtime) and time.monotonic() < deadline:
            time.sleep(0.05)


def process_lives(runtime: Runtime) -> bool:
    """Whether that very process still exists (a reused pid does not count, a zombie neither)."""
    try:
        process = psutil.Process(runtime.pid)
        same: bool = abs(process.create_time() - runtime.created) <= 1.0
        zombie: bool = process.status() == psutil.STATUS_ZOMBIE
        return same and not zombie
    except psutil.Error:
        return False
