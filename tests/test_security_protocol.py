"""Goals G1 and G1b without any fixture: what both MCP revisions ask of a local server.

The official suite runs in a benchmark (Node is needed); these are its rules, over a real socket.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightschool.paths import Home
from nightschool.serve.mount import McpMount
from service_harness import Service, free_port
from slow_door import LEGACY, MODERN, TOKEN, Slow, slow_door
from stdio_session import EXIT_S, Session

META = "io.modelcontextprotocol"
Headers = dict[str, str]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with slow_door(Slow(steps=1)) as found:
        yield found


def post(port: int, body: dict[str, Any], headers: Headers) -> tuple[int, Any]:
    """Status and JSON of one message, of the stream's first event where it is one."""
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    always = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json",
              "Accept": "application/json, text/event-stream"}  # fmt: skip
    wire.request("POST", "/mcp", json.dumps(body).encode(), always | headers)
    answer = wire.getresponse()
    raw = answer.read().decode()
    wire.close()
    return answer.status, json.loads(raw.partition("data:")[2] or raw)


def modern(method: str, params: dict[str, Any] | None = None, version: str = MODERN) -> Any:
    """The message and the headers that the newer revision wants."""
    meta = {f"{META}/protocolVersion": version, f"{META}/clientCapabilities": {}}
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {**(params or {}), "_meta": meta},
    }
    return body, {"MCP-Protocol-Version": version, "Mcp-Method": method}


def legacy(method: str, **headers: str) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
    return body, {"MCP-Protocol-Version": LEGACY, **headers}


SEARCH = {"name": "search", "arguments": {"query": "x"}}
WRONG: list[tuple[str, Any, int, int]] = [
    ("an unknown version", modern("tools/list", version="2030-01-01"), 400, -32022),
    ("an unknown method", modern("no/such"), 404, -32601),
    ("a call without its name", modern("tools/call", SEARCH), 400, -32020),
    ("an old call without a session", legacy("tools/list"), 400, -32600),
    ("an unknown session", legacy("tools/list", **{"Mcp-Session-Id": "x" * 32}), 404, -32600),
]
"""What is sent, and the status and code that the specification names for it."""
LYING = {
    "another method": {"Mcp-Method": "tools/call"},
    "another version": {"MCP-Protocol-Version": "2030-01-01"},
    "no method": {"Mcp-Method": ""},
}


@pytest.mark.parametrize(("what", "sent", "status", "code"), WRONG, ids=[one[0] for one in WRONG])
def test_g1_what_the_revisions_refuse_is_refused_with_their_codes(
    port: int, what: str, sent: Any, status: int, code: int
) -> None:
    found, answer = post(port, *sent)
    assert (found, answer["error"]["code"]) == (status, code), what


@pytest.mark.parametrize("headers", LYING.values(), ids=LYING)
def test_g1_headers_that_disagree_with_the_body_are_refused(port: int, headers: Headers) -> None:
    body, right = modern("tools/list")
    status, answer = post(port, body, right | headers)
    assert (status, answer["error"]["code"]) == (400, -32020)
    body, right = modern("tools/call", SEARCH)
    status, answer = post(port, body, right | {"Mcp-Name": "forget"})
    assert (status, answer["error"]["code"]) == (400, -32020)


def test_g1_both_revisions_introduce_themselves_and_lists_are_private(port: int) -> None:
    status, answer = post(port, *modern("server/discover"))
    assert status == 200 and answer["result"]["cacheScope"] == "private"
    for method in ("tools/list", "prompts/list", "resources/templates/list"):
        _, answer = post(port, *modern(method))
        result = answer["result"]
        assert result["resultType"] == "complete" and result["cacheScope"] == "private"
        assert isinstance(result["ttlMs"], int)
    body, headers = legacy("initialize")
    body["params"] = {"protocolVersion": LEGACY, "capabilities": {},
                      "clientInfo": {"name": "t", "version": "1"}}  # fmt: skip
    status, answer = post(port, body, headers)
    assert status == 200 and answer["result"]["protocolVersion"] == LEGACY


# -- G1b: stdio ------------------------------------------------------------------------------------

NONSENSE = (b"\n", b"not json\n", b"[]\n", b'{"jsonrpc": "1.0"}\n', b"\xff\xfe\x00\n",
            b'{"jsonrpc": "2.0", "id": null, "method": 5}\n', b"{" * 5000 + b"\n")  # fmt: skip


def stdio(folder: Path, program: str) -> float:
    """A session with every library warning, nonsense and odd line ends; its seconds to the end."""
    door = Service(Home(folder / "home"), free_port())
    session = Session(door, modern=True, noisy=True, program=("-c", program))
    try:
        for raw in NONSENSE:
            session.write(raw)
        assert len(session.tools()) == 9
        odd = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
        assert session.ask("prompts/get", {"name": odd})["error"]
        session.write(session.request("tools/list", {})[:-20])  # half a message, then the end
    finally:
        took = session.close()
    return took


SERVE = "from nightschool.cli.main import run; run(['mcp'])"


def test_g1b_stdout_carries_whole_messages_only_and_ends_with_stdin(tmp_path: Path) -> None:
    began = time.monotonic()
    took = stdio(tmp_path, SERVE)
    assert took <= max(EXIT_S, time.monotonic() - began - took)  # a busy machine is slow at all


# -- G0: the same, with the defence taken away ----------------------------------------------------


def test_g0_a_stray_print_on_stdout_is_seen(tmp_path: Path) -> None:
    stray = f"import os; os.write(1, b'Loading the model ...\\n'); {SERVE}"
    with pytest.raises(ValueError, match="Expecting value"):
        stdio(tmp_path, stray)


def test_g0_a_door_that_drops_the_headers_of_mcp_is_seen(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearing = McpMount.__call__

    async def careless(self: McpMount, scope: Any, receive: Any, send: Any) -> None:
        fresh = [(b"mcp-protocol-version", LEGACY.encode())]
        kept = [pair for pair in scope["headers"] if not pair[0].startswith(b"mcp-")]
        await hearing(self, {**scope, "headers": [*kept, *fresh]}, receive, send)

    monkeypatch.setattr(McpMount, "__call__", careless)
    for case in WRONG[:3]:
        with pytest.raises(AssertionError):
            test_g1_what_the_revisions_refuse_is_refused_with_their_codes(port, *case)
    for headers in LYING.values():
        with pytest.raises(AssertionError):
            test_g1_headers_that_disagree_with_the_body_are_refused(port, headers)
