"""MCP as the official client uses it: both transports, both protocol revisions."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from service_harness import Service, service

TOOLS = {
    "search",
    "ask",
    "remember",
    "feedback",
    "status",
    "learn",
    "versions",
    "rollback",
    "forget",
}
COMMAND = ("-c", "from nightschool.cli.main import run; run(['mcp'])")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "Boiler.md").write_text(
        "# Boiler\n\nThe boiler was last serviced on 6 March 2025 by Oskar Brandreth.\n"
    )
    with service() as running:
        running.watch(folder)
        yield running


@asynccontextmanager
async def connected(door: Service, transport: str, mode: str) -> AsyncIterator[Client]:
    if transport == "stdio":
        parameters = StdioServerParameters(
            command=sys.executable, args=list(COMMAND), env=door.settings
        )
        async with Client(stdio_client(parameters), mode=mode) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {door.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(f"{door.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def _walk(door: Service, transport: str, mode: str) -> None:
    async with connected(door, transport, mode) as client:
        listed = (await client.list_tools()).tools
        assert {tool.name for tool in listed} == TOOLS
        for tool in listed:
            assert tool.title
            assert tool.output_schema
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint is not None
            assert tool.annotations.destructive_hint is not None
        assert {tool.name for tool in listed if tool.annotations.destructive_hint} == {
            "rollback",
            "forget",
        }
        found = await client.call_tool("search", {"query": "boiler service", "k": 3})
        assert not found.is_error
        assert "Boiler.md" in found.structured_content["hits"][0]["place"]
        answer = await client.call_tool("ask", {"question": "Who serviced the boiler?"})
        assert "Brandreth" in answer.structured_content["text"]
        assert answer.structured_content["citations"]
        judged = {"answer": answer.structured_content["id"], "verdict": "up"}
        assert not (await client.call_tool("feedback", judged)).is_error
        unknown = await client.call_tool("feedback", {"answer": "v0/987654", "verdict": "up"})
        assert unknown.is_error
        word = f"zephyrine{transport}{mode.replace('-', '')}"
        note = await client.call_tool(
            "remember", {"text": f"The password hint is {word}.", "title": f"Hint {word}"}
        )
        assert note.structured_content["findable"], note
        again = await client.call_tool("search", {"query": word})
        assert any(word in hit["text"] for hit in again.structured_content["hits"])
        named = {"what": note.structured_content["path"]}
        proposed = (await client.call_tool("forget", named)).structured_content
        assert not proposed["done"] and len(proposed["files"]) == 1
        still = await client.call_tool("search", {"query": word})
        assert any(word in hit["text"] for hit in still.structured_content["hits"])
        done = (await client.call_tool("forget", {**named, "confirmed": True})).structured_content
        assert done["done"] and done["receipt"]
        gone = await client.call_tool("search", {"query": word})
        assert not any(word in hit["text"] for hit in gone.structured_content["hits"])
        status = await client.call_tool("status", {})
        assert status.structured_content["state"] == "ready"
        assert status.structured_content["night"]
        versions = await client.call_tool("versions", {})
        assert versions.structured_content["versions"][-1]["status"] == "base"
        refused = await client.call_tool("rollback", {})
        assert refused.is_error
        assert "nothing to roll back" in refused.content[0].text


@pytest.mark.parametrize("transport", ["http", "stdio"])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_client_lists_searches_asks_remembers_and_is_refused(
    door: Service, transport: str, mode: str
) -> None:
    asyncio.run(asyncio.wait_for(_walk(door, transport, mode), 120))


def test_without_the_token_the_mcp_route_is_closed(door: Service) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}}
    for bad in (None, "wrong"):
        reply = door.request("POST", "/mcp", body, token=bad)
        assert reply.status == 401


def test_stdout_carries_only_messages_and_the_process_ends_with_stdin(door: Service) -> None:
    process = subprocess.Popen(
        [sys.executable, *COMMAND],
        env=door.settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                   "clientInfo": {"name": "t", "version": "1"}},
    }  # fmt: skip
    try:
        process.stdin.write(json.dumps(hello).encode() + b"\n")
        process.stdin.flush()
        first = process.stdout.readline()
        assert json.loads(first)["id"] == 1
        closed = time.monotonic()
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait(10) == 0
        assert time.monotonic() - closed < 5
        for line in rest.splitlines():
            assert json.loads(line)["jsonrpc"] == "2.0"
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()
