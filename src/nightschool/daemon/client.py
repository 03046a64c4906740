"""How other processes of this user talk to the daemon: over HTTP, with the token from its file."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from nightschool import errors
from nightschool.daemon import instance
from nightschool.daemon.instance import Runtime
from nightschool.errors import ChildError, NightschoolError
from nightschool.paths import HOME_VARIABLE, Home, interpreter, private
from nightschool.serve import credentials

START_S = 20.0
"""How long a fresh daemon may take until it answers (it usually needs less than one second)."""
STOP_S = 40.0
_CODES: dict[str, type[NightschoolError]] = {
    "not_found": errors.NotFound,
    "model_not_found": errors.NotFound,
    "bad_request": errors.UsageError,
    "too_little": errors.TooLittle,
    "refused": errors.Refused,
    "source_unavailable": errors.SourceError,
    "interrupted": errors.Interrupted,
    "engine_unavailable": errors.ChildError,
    "model_unavailable": errors.ModelError,
    "store_unavailable": errors.StoreError,
}


@dataclass(frozen=True, slots=True)
class Client:
    """A healthy daemon. Methods raise the daemon's own error, or ChildError when it is gone."""

    runtime: Runtime
    token: str

    def get(self, path: str, query: Mapping[str, Any] | None = None, timeout: float = 60.0) -> Any:
        """GET a native route, for example `get("/ns/status")`."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None, timeout)

    def post(self, path: str, body: Mapping[str, Any] | None = None, timeout: float = 600.0) -> Any:
        """POST a JSON object to a native route, for example `post("/ns/search", {"query": …})`."""
        return self._call("POST", path, body or {}, timeout)

    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a streaming route, for example `/ns/ask` with `"stream": true`."""
        with self._exchange("POST", path, body, 600.0) as answer:
            for line in answer:
                if line.startswith(b"data: {"):
                    message = json.loads(line[6:])
                    if "error" in message:
                        raise _error(message["error"])
                    yield message

    def open_url(self) -> str:
        """An address that lets one browser tab in, once, within a minute."""
        code = self.post("/ns/open")["code"]
        return f"{self.runtime.url}/#code={code}"

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        with self._exchange(method, path, body, timeout) as answer:
            return json.loads(answer.read())

    @contextlib.contextmanager
    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.runtime.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _error(_problem(answer))
            yield answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ChildError(
                f"The service does not answer ({error or type(error).__name__}).",
                "See `nightschool status`.",
            ) from error
        finally:
            connection.close()


def _problem(answer: http.client.HTTPResponse) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(answer.read(65_536))["error"]
    except (ValueError, KeyError, TypeError):
        return {"code": "failed", "message": f"HTTP {answer.status}", "remedy": ""}
    return found


def _error(problem: Mapping[str, Any]) -> NightschoolError:
    remedy = str(problem.get("remedy") or "")
    message = str(problem.get("message", "")).removesuffix(remedy).strip()
    return _CODES.get(str(problem.get("code")), NightschoolError)(message, remedy)


def connect(home: Home) -> Client | None:
    """The daemon of this home when it runs and is healthy, else None."""
    runtime = instance.running(home)
    return None if runtime is None else Client(runtime, credentials.token(home.token))


def start(home: Home, timeout: float = START_S) -> Client:
    """The daemon of this home, started in the background if need be.

    Raises Refused when its port is taken, ChildError when it does not come up.
    """
    client = connect(home)
    if client is not None:
        return client
    home.create()
    log = home.logs / "start.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*interpreter(), "-m", "nightschool.daemon.main"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, HOME_VARIABLE: str(home.root)},
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "DETACHED_PROCESS", 0)
            | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    private(log)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        client = connect(home)
        if client is not None:
            return client
        code = process.poll()
        if code:
            said = log.read_text(encoding="utf-8", errors="replace").strip()
            last = said.splitlines()[-1] if said else f"exit {code}"
            kind = {2: errors.UsageError, 3: errors.Refused}.get(code, ChildError)
            raise kind(f"The service did not start: {last}", f"See {home.logs / 'daemon.log'}.")
        time.sleep(0.05)
    raise ChildError(
        f"The service did not answer within {timeout:.0f} s.", f"See {home.logs / 'daemon.log'}."
    )


def stop(home: Home, timeout: float = STOP_S) -> Runtime | None:
    """Stop the daemon of this home cleanly; None when none ran. Raises ChildError if it stays."""
    client = connect(home)
    if client is None:
        return None
    client.post("/ns/stop")
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not instance.process_lives(client.runtime):
            return client.runtime
        time.sleep(0.05)
    raise ChildError(
        f"The service (process {client.runtime.pid}) is still stopping.",
        f"See {home.logs / 'daemon.log'}.",
    )
