"""The official MCP conformance suite against the real door, guard included, at both revisions.

python tests/bench/conformance.py --suite NODE_MODULES/.bin/conformance \\
    [--inspector NODE_MODULES/.bin/mcp-inspector] [--quick]

Needs Node 22 and the npm packages @modelcontextprotocol/conformance 0.2.0-alpha.12 and, if wanted,
@modelcontextprotocol/inspector. The suite can send no token, so a thin layer in front adds it;
everything behind is what is served.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import uvicorn  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool.daemon import client  # noqa: E402
from nightschool.daemon.remote import RemoteService  # noqa: E402
from nightschool.serve import app  # noqa: E402
from nightschool.serve.credentials import Keyring, Throttle  # noqa: E402
from service_harness import Service, copy_vault, free_port, service  # noqa: E402

FLOOR = {
    "2025-11-25": (
        "server-initialize", "server-session-lifecycle", "ping", "tools-list", "resources-list",
        "prompts-list", "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "tools-list", "resources-list", "prompts-list", "dns-rebinding-protection", "caching",
        "http-header-validation", "sep-2164-resource-not-found",
        "input-required-result-unsupported-methods",
    ),
}  # fmt: skip
"""The scenarios that need no fixture tools (`test_simple_text` and the like, which a normal start
does not have): these must pass."""
TOKEN = "c" * 43


class Opened:
    """The guard's app, with the token put into each request."""

    def __init__(self, guarded: Any) -> None:
        self.guarded = guarded

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            header = (b"authorization", b"Bearer " + TOKEN.encode())
            scope = {**scope, "headers": [*scope["headers"], header]}
        await self.guarded(scope, receive, send)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--suite", required=True, help="the suite's own command")
    parser.add_argument("--inspector", default="", help="MCP Inspector's command")
    options = parser.parse_args()
    report = Report(options.quick)
    with service() as daemon, tempfile.TemporaryDirectory() as folder:
        daemon.watch(copy_vault(Path(folder)))
        if options.inspector:
            _inspect(report, options.inspector, daemon)
        port = free_port()
        remote = RemoteService(lambda: client.start(daemon.home))
        door = app.build(
            lambda: remote,
            port=port,
            keyring=Keyring(TOKEN, time.monotonic),
            throttle=Throttle(time.monotonic),
            health=lambda: {"status": "ready"},
            body_limit=1 << 20,
        )
        server = uvicorn.Server(
            uvicorn.Config(Opened(door.app), port=port, log_level="error", lifespan="off")
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            for revision, names in FLOOR.items():
                _floor(report, options.suite, port, revision, names)
            if not options.quick:
                for revision in FLOOR:
                    _all(report, options.suite, port, revision)
        finally:
            server.should_exit = True
            thread.join(20)
    report.finish()


def _inspect(report: Report, inspector: str, daemon: Service) -> None:
    """MCP Inspector's CLI over both transports."""
    bearer = f"Authorization: Bearer {daemon.token}"
    ways = (
        [f"{daemon.url}/mcp", "--transport", "http", "--header", bearer],
        [sys.executable, "-m", "nightschool", "--home", str(daemon.home.root), "mcp"],
    )
    calls = (
        ["--method", "tools/list"],
        ["--method", "tools/call", "--tool-name", "search", "--tool-arg", "query=boiler"],
        ["--method", "resources/list"],
        ["--method", "prompts/list"],
    )
    right = 0
    for way in ways:
        for call in calls:
            done = subprocess.run(
                [inspector, "--cli", *way, *call],
                capture_output=True, text=True, timeout=120, env=daemon.settings,
            )  # fmt: skip
            good = done.returncode == 0 and isinstance(json.loads(done.stdout), dict)
            right += good
            if not good:
                report.say(f"inspector {call}: {done.stdout[-300:]} {done.stderr[-300:]}")
    report.exactly("inspector_calls_right", right, 8, 8)


def _run(suite: str, port: int, *more: str) -> str:
    done = subprocess.run(
        [suite, "server", "--url", f"http://127.0.0.1:{port}/mcp", *more],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return done.stdout + done.stderr


def _floor(report: Report, suite: str, port: int, revision: str, names: tuple[str, ...]) -> None:
    passed = 0
    for name in names:
        said = _run(suite, port, "--scenario", name, "--spec-version", revision)
        found = re.search(r"Passed:?\s*(\d+)/(\d+)", said)
        good = found is not None and found.group(1) == found.group(2) != "0"
        passed += good
        if not good:
            report.say(f"{revision} {name}: {said.strip()[-600:]}")
    report.exactly(f"scenarios_{revision}", passed, len(names), len(names))


def _all(report: Report, suite: str, port: int, revision: str) -> None:
    """Every scenario of a revision; those that need fixtures fail by name, and are only shown."""
    said = _run(suite, port, "--requirements", revision)
    for line in said.splitlines():
        if re.search(r"[✓✗]|passed|failed", line):
            report.say(f"{revision} {line.strip()}")


if __name__ == "__main__":
    main()
