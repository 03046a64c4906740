"""The official MCP conformance suite against the real door, guard included, at both revisions.

Every server scenario of both requirement lists runs, on the real server with the fixtures that the
suite calls by name (`tests/mcp_fixtures.py`); those that need none run once more without.

python tests/bench/conformance.py [--quick] [--suite COMMAND] [--inspector COMMAND]

Without --suite both tools are installed into `.rivals/node` (see `tests/node_tools.py`). The suite
can send no token, so a thin layer in front adds it; everything behind is what is served.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import node_tools  # noqa: E402
from bench_report import Report, arguments  # noqa: E402
from local_server import opened  # noqa: E402
from mcp_fixtures import add  # noqa: E402
from nightschool.daemon import client  # noqa: E402
from nightschool.daemon.remote import RemoteService  # noqa: E402
from nightschool.serve import app, mcp  # noqa: E402
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
"""The scenarios that need no fixtures: these pass on a normal start."""
_BOTH = (
    "completion-complete", "tools-list", "tools-call-simple-text", "tools-call-image",
    "tools-call-audio", "tools-call-embedded-resource", "tools-call-mixed-content",
    "tools-call-error", "tools-call-with-progress", "server-sse-multiple-streams",
    "resources-list", "resources-read-text", "resources-read-binary", "resources-templates-read",
    "prompts-list", "prompts-get-simple", "prompts-get-with-args",
    "prompts-get-embedded-resource", "prompts-get-with-image", "dns-rebinding-protection",
)  # fmt: skip
_AGAIN = (
    "basic-elicitation", "basic-sampling", "basic-list-roots", "request-state",
    "multiple-input-requests", "multi-round", "missing-input-response", "non-tool-request",
    "result-type", "unsupported-methods", "tampered-state", "capability-check",
    "ignore-extra-params", "validate-input",
)  # fmt: skip
SCORED = {
    "2025-11-25": (
        *_BOTH, "server-initialize", "logging-set-level", "ping", "tools-call-with-logging",
        "tools-call-sampling", "tools-call-elicitation", "elicitation-sep1034-defaults",
        "elicitation-sep1330-enums", "resources-subscribe", "resources-unsubscribe",
    ),
    "2026-07-28": (
        *_BOTH, "server-stateless", "sep-2164-resource-not-found", "caching",
        *(f"input-required-result-{name}" for name in _AGAIN),
    ),
}  # fmt: skip
"""All server scenarios that the suite's own `requirements/*.yaml` score: 30 and 37."""
UNSCORED = {
    "2025-11-25": ("server-session-lifecycle", "json-schema-2020-12"),
    "2026-07-28": (
        "http-header-validation", "http-custom-header-server-validation", "json-schema-2020-12",
    ),
}  # fmt: skip
"""Run and shown, never counted: later than the revision, or pending in the suite itself."""
EXPECTED: dict[tuple[str, str], str] = {}
"""Scenarios that do not pass, with the reason; a benchmark's check holds that there are no others,
and that these really fail."""
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
    parser.add_argument("--suite", default="", help="the suite's own command")
    parser.add_argument("--inspector", default="", help="MCP Inspector's command")
    options = parser.parse_args()
    report = Report(options.quick)
    if not options.suite:
        try:
            options.suite, options.inspector = node_tools.installed(report)
        except node_tools.Absent as reason:
            report.exactly("conformance_suite_installed", 0, 1, 1)
            report.say(f"The suite could not be installed: {reason}")
            report.finish()
    with service() as daemon, tempfile.TemporaryDirectory() as folder:
        daemon.watch(copy_vault(Path(folder)))
        if options.inspector:
            _inspect(report, options.inspector, daemon)
        for revision, names in FLOOR.items():
            with _served(daemon, fixtures=False) as port:
                _scenarios(report, options.suite, port, revision, names, "without_fixtures")
        if not options.quick:
            for revision, names in SCORED.items():
                with _served(daemon, fixtures=True) as port:
                    _scenarios(report, options.suite, port, revision, names, "scored")
                    _unscored(report, options.suite, port, revision)
    report.finish()


@contextlib.contextmanager
def _served(daemon: Service, *, fixtures: bool) -> Iterator[int]:
    """The door of `daemon` once more, in this process and on a port of its own, without a key."""
    real = mcp.build

    def with_fixtures(service: Any) -> Any:
        server = real(service)
        add(server)
        return server

    mcp.build = with_fixtures if fixtures else real
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
    try:
        with opened(Opened(door.app), port):
            yield port
    finally:
        mcp.build = real


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


def _scenarios(
    report: Report, suite: str, port: int, revision: str, names: tuple[str, ...], what: str
) -> None:
    """Count what passed: a scenario that was skipped ends with exit code 0 too."""
    passed = 0
    for name in names:
        good, said = _passes(suite, port, revision, name)
        passed += good
        reason = EXPECTED.get((revision, name))
        if good == (reason is None):
            continue
        report.say(f"{revision} {name}: {reason or said.strip()[-700:]}")
    expected = sum((revision, name) in EXPECTED for name in names)
    report.exactly(f"{what}_{revision}", passed, len(names) - expected, len(names))


def _unscored(report: Report, suite: str, port: int, revision: str) -> None:
    for name in UNSCORED[revision]:
        good, said = _passes(suite, port, revision, name)
        report.say(f"{revision} {name}, not scored: {'passes' if good else said.strip()[-300:]}")


def _passes(suite: str, port: int, revision: str, name: str) -> tuple[bool, str]:
    said = _run(suite, port, "--scenario", name, "--spec-version", revision)
    found = re.search(r"Passed:?\s*(\d+)/(\d+)", said)
    return found is not None and found.group(1) == found.group(2) != "0", said


if __name__ == "__main__":
    main()
