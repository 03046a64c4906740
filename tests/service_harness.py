"""A real daemon in a home of its own, for tests and benchmarks: started, waited for, stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nightschool.daemon import instance
from nightschool.examples import vault_dir
from nightschool.paths import Home

T = TypeVar("T")
START_S = 60.0
STOP_S = 45.0
SOURCE = Path(__file__).resolve().parents[1] / "src"


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(question: Callable[[], T | None], timeout: float, what: str, pause: float = 0.05) -> T:
    """Ask until the answer is true; fails, saying what was waited for, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(pause)


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """One daemon. `arguments` replace the program, `environment` adds settings."""

    home: Home
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("-m", "nightschool.daemon.main")
    process: subprocess.Popen[bytes] | None = None
    ready_s: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return self.home.token.read_text(encoding="ascii").strip()

    @property
    def settings(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("NIGHTSCHOOL_")},
            "NIGHTSCHOOL_HOME": str(self.home.root),
            "NIGHTSCHOOL_SERVE_PORT": str(self.port),
            "NIGHTSCHOOL_LEARN_WINDOW": "00:00-00:01",
            "PYTHONPATH": str(SOURCE),
            "OMP_WAIT_POLICY": "passive",
            **self.environment,
        }

    def start(self) -> Service:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments],
            env=self.settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self.healthy, START_S, f"the daemon is ready; {self.log()}", 0.01)
        self.ready_s = time.perf_counter() - began
        return self

    def healthy(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended ({self.process.returncode}): {self.log()}")
        runtime = instance.read(self.home)
        return runtime is not None and runtime.pid == self.process.pid and instance.healthy(runtime)

    def stop(self) -> int:
        """Ask it to stop and wait; the exit code. Kills it when it does not go."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5.0)
            raise AssertionError(f"the daemon did not stop: {self.log()}") from None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5.0)

    def log(self) -> str:
        path = self.home.logs / "daemon.log"
        return path.read_text(encoding="utf-8")[-2000:] if path.exists() else "no log"

    # -- talking ------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        raw: bytes | None = None,
    ) -> Reply:
        """One request; `token` None sends none, "" the right one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        data = raw
        if raw is None and method == "POST":
            data = json.dumps(body if body is not None else {}).encode()
        if method == "POST":
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        reply = self.request("GET", path)
        assert reply.status == 200, (reply.status, reply.body)
        return reply.json

    def post(self, path: str, body: Any = None) -> Any:
        reply = self.request("POST", path, body)
        assert reply.status in (200, 202), (reply.status, reply.body)
        return reply.json

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/ns/status")
        return found

    def watch(self, folder: Path, *, learn: bool = True, timeout: float = 180.0) -> None:
        """Watch a folder and wait until all of it has its vectors."""
        self.post("/ns/watch", {"path": str(folder), "learn": learn})
        self.wait_quiet(timeout)

    def wait_quiet(self, timeout: float = 180.0) -> None:
        def quiet() -> bool:
            found = self.status()
            return not found["watching"]["changing"] and not found["files"]["without_vector"]

        until(quiet, timeout, "all changes are in the index", 0.2)

    def find(self, query: str, k: int = 8) -> list[dict[str, Any]]:
        hits: list[dict[str, Any]] = self.post("/ns/search", {"query": query, "k": k})["hits"]
        return hits

    def children(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.status()["children"]
        return found


@contextlib.contextmanager
def service(
    *, environment: Mapping[str, str] | None = None, home: Path | None = None, **more: Any
) -> Iterator[Service]:
    """A running daemon in a fresh home, stopped at the end whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="ns-")) if home is None else home
    made = Service(Home(folder / "home"), free_port(), dict(environment or {}), **more)
    try:
        yield made.start()
    finally:
        try:
            made.stop()
        finally:
            if home is None:
                shutil.rmtree(folder, ignore_errors=True)


def copy_vault(folder: Path) -> Path:
    """The example vault, to change freely."""
    return Path(shutil.copytree(vault_dir(), folder / "vault"))
