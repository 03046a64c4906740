"""Servers that a test or a bench starts on loopback, waits for, and ends."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from service_harness import until


@contextlib.contextmanager
def answering(
    process: subprocess.Popen[bytes], port: int, path: str, *, seconds: float, name: str,
    last_words: Callable[[], str] = str,
) -> Iterator[None]:  # fmt: skip
    """Wait until GET `path` answers 200; afterwards the process is gone, politely if it can be."""

    def answers() -> bool:
        assert process.poll() is None, f"{name} ended ({process.returncode}) {last_words()}"
        probe = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            probe.request("GET", path)
            return probe.getresponse().status == 200
        except OSError:
            return False
        finally:
            probe.close()

    try:
        until(answers, seconds, f"{name} answers", 0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@contextlib.contextmanager
def opened(app: ASGIApp, port: int) -> Iterator[None]:
    """`app` behind a real socket, on a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, 20, "the door is open")
        yield
    finally:
        server.should_exit = True
        thread.join(20)
