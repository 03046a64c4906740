"""Real clients, unmodified, against a running daemon: the openai package and the MCP SDK.

python tests/bench/service_clients.py [--quick]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import httpx2  # noqa: E402
import openai  # noqa: E402
from mcp import Client  # noqa: E402
from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402

from bench_report import Report, arguments, percentile  # noqa: E402
from service_harness import Service, copy_vault, service  # noqa: E402

TOOLS = {"search", "ask", "remember", "feedback", "status", "learn", "versions", "rollback",
         "forget"}  # fmt: skip
COMMAND = ["-c", "from nightschool.cli.main import run; run(['mcp'])"]
QUESTIONS = (
    "When was the boiler serviced?",
    "Who does the paperwork for the heating engineer?",
    "What is the rest length of a Halvex boiler hose?",
    "Which radiator has to be bled every autumn?",
)


def openai_client(report: Report, door: Service, rounds: int) -> None:
    """Models, chat, streamed chat, embeddings; 401 without the token."""
    good = 0
    tried = 0

    def attempt(name: str, work: Callable[[], bool]) -> None:
        nonlocal good, tried
        tried += 1
        if work():
            good += 1
        else:
            report.say(f"openai: {name} failed")

    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, timeout=180) as client:
        attempt("models", lambda: "nightschool" in [m.id for m in client.models.list()])
        for name in ("nightschool", "nightschool:base", "nightschool-raw"):
            for question in QUESTIONS[:rounds]:
                messages = [{"role": "user", "content": question}]
                whole = client.chat.completions.create(model=name, messages=messages)
                text = whole.choices[0].message.content or ""
                attempt(f"chat {name}", lambda whole=whole: whole.usage.total_tokens > 0)
                pieces = client.chat.completions.create(model=name, messages=messages, stream=True)
                streamed = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
                attempt(f"stream {name}", lambda a=streamed, b=text: a.strip() == b.strip() != "")
        vectors = client.embeddings.create(model="nightschool", input=list(QUESTIONS)).data
        attempt("embeddings", lambda: {len(v.embedding) for v in vectors} == {384})
    for bad in ("wrong", "x"):
        with openai.OpenAI(base_url=f"{door.url}/v1", api_key=bad, max_retries=0) as client:
            try:
                client.models.list()
                attempt("401", lambda: False)
            except openai.AuthenticationError:
                attempt("401", lambda: True)
    report.exactly("openai_calls_right_of_all", good / tried, 1.0, tried)


@asynccontextmanager
async def connected(door: Service, transport: str, mode: str) -> AsyncIterator[Client]:
    if transport == "stdio":
        parameters = StdioServerParameters(command=sys.executable, args=COMMAND, env=door.settings)
        async with Client(stdio_client(parameters), mode=mode) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {door.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=180) as http,
        Client(streamable_http_client(f"{door.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def mcp_client(
    door: Service, transport: str, mode: str, notes: int
) -> tuple[int, list[float]]:
    """How many of the calls were right, and the seconds until each note was found by search."""
    right = 0
    seconds: list[float] = []
    async with connected(door, transport, mode) as client:
        tools = (await client.list_tools()).tools
        right += {tool.name for tool in tools} == TOOLS
        right += all(
            tool.title
            and tool.output_schema
            and tool.annotations
            and tool.annotations.read_only_hint is not None
            and tool.annotations.destructive_hint is not None
            for tool in tools
        )
        found = await client.call_tool("search", {"query": "boiler service"})
        right += "Boiler" in found.structured_content["hits"][0]["place"]
        answer = await client.call_tool("ask", {"question": QUESTIONS[0]})
        right += "6 March 2025" in answer.structured_content["text"]
        right += (await client.call_tool("status", {})).structured_content["state"] == "ready"
        versions = (await client.call_tool("versions", {})).structured_content["versions"]
        right += versions[-1]["number"] == 0
        right += (await client.call_tool("rollback", {})).is_error is True
        for number in range(notes):
            word = f"quarrel{transport}{mode.replace('-', '')}{number}"
            began = time.monotonic()
            await client.call_tool("remember", {"text": f"The gate code is {word}.", "title": word})
            while time.monotonic() - began < 30:
                hits = (await client.call_tool("search", {"query": word})).structured_content[
                    "hits"
                ]
                if any(word in hit["text"] for hit in hits):
                    break
                await asyncio.sleep(0.1)
            seconds.append(time.monotonic() - began)
    return right, seconds


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    with service() as door, tempfile.TemporaryDirectory() as folder:
        report.say(f"daemon ready in {door.ready_s:.2f} s; the example vault is indexed")
        door.watch(copy_vault(Path(folder)))
        openai_client(report, door, 1 if options.quick else len(QUESTIONS))
        all_seconds: list[float] = []
        for transport in ("http", "stdio"):
            for mode in ("legacy", "2026-07-28"):
                notes = 2 if options.quick else 5
                right, seconds = asyncio.run(mcp_client(door, transport, mode, notes))
                all_seconds += seconds
                report.exactly(f"mcp_{transport}_{mode}_calls_right", right, 7, 7)
        report.at_most("remembered_note_found_s_max", max(all_seconds), 5.0, len(all_seconds))
        report.say(f"median {percentile(all_seconds, 0.5):.2f} s")
    report.finish()


if __name__ == "__main__":
    main()
