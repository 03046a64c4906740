"""A chat with tools of added MCP servers: the model calls, this module asks the server, and so on.

Only a request that names a server gets its tools, and only with the model alone
(`nightschool-raw`): no passage of a file stands in such a conversation, so none can cause a call.
What a tool returns is data of a program that the user added; it may lead to further calls of the
same tools, `ROUNDS` at most. One task holds all connections from the first line to the last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nightschool.daemon.servers import OtherServer
from nightschool.errors import ChildError, NightschoolError, Refused, UsageError
from nightschool.paths import Home
from nightschool.serve.service import Json

if TYPE_CHECKING:
    from mcp import Client

ROUNDS = 6
"""Times that the model may call tools before it must answer."""
START_S, CALL_S = 20.0, 60.0
LONGEST, SHORTEST = 8000, 300
"""Characters of one result that the model gets to see: at most, and in a context that is small."""
MOST_TOOLS, ABOUT = 64, 1000
"""Tools of one conversation, and characters of a tool's description."""

Ask = Callable[[Mapping[str, Any]], AsyncGenerator[Json, None]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A server that a request names; `only` are the tools it may use (None: all offered)."""

    server: OtherServer
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """One offered tool: `title` is `SERVER__NAME`, which is how the model calls it."""

    server: str
    name: str
    title: str
    about: str
    parameters: Json


@contextlib.asynccontextmanager
async def connected(home: Home, server: OtherServer) -> AsyncIterator[Client]:
    """The running server; it ends with the block. Raises ChildError when it does not start."""
    from mcp import Client, MCPError
    from mcp.client.stdio import StdioServerParameters, stdio_client

    parameters = StdioServerParameters(
        command=server.command, args=list(server.args), env=dict(server.env)
    )
    log = (home.logs / "mcp.log").open("a", encoding="utf-8")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(log.close)
        try:
            async with asyncio.timeout(START_S):
                client = await stack.enter_async_context(Client(stdio_client(parameters, log)))
        except (OSError, ValueError, TimeoutError, MCPError, ExceptionGroup) as error:
            raise ChildError(
                f"The MCP server {server.name} did not start: {server.command}.",
                f"See {log.name}, and `nightschool mcp list`.",
            ) from error
        yield client


async def offered(client: Client, wanted: Wanted) -> tuple[list[Tool], list[str]]:
    """The tools that the model may call, and the names of the others. Raises ChildError."""
    from mcp import MCPError

    found, others = [], []
    try:
        async with asyncio.timeout(START_S):
            listed = (await client.list_tools()).tools
    except (TimeoutError, MCPError) as error:
        raise ChildError(
            f"The MCP server {wanted.server.name} does not list its tools: {error}.",
            "Try it by itself, or take it out: `nightschool mcp remove`.",
        ) from error
    for tool in listed:
        reads = tool.annotations is not None and tool.annotations.read_only_hint is True
        if not (reads or tool.name in wanted.server.allow):
            others.append(tool.name)
        elif wanted.only is None or tool.name in wanted.only:
            title = f"{wanted.server.name}__{tool.name}"[:64]
            about = (tool.description or tool.title or "")[:ABOUT]
            found.append(Tool(wanted.server.name, tool.name, title, about, tool.input_schema))
    return found, others


def converse(
    home: Home, servers: Sequence[Wanted], params: Mapping[str, Any], ask: Ask
) -> AsyncGenerator[Json, None]:
    """As `ask(params)`, with the servers' tools: deltas of the last answer, then the result.

    The result says under `mcp_calls` what was called. Calls of the client's own tools are the
    client's: the conversation stops there and hands them over.
    """

    async def work(say: Callable[[Json], None]) -> None:
        failure: NightschoolError | None = None
        async with contextlib.AsyncExitStack() as stack:
            known: dict[str, tuple[Client, Tool]] = {}
            try:
                for wanted in servers:
                    client = await stack.enter_async_context(connected(home, wanted.server))
                    for tool in (await offered(client, wanted))[0]:
                        known[tool.title] = (client, tool)
                await _rounds(known, params, ask, say)
            except NightschoolError as error:  # leaving a connection would wrap it into a group
                failure = error
        if failure is not None:
            raise failure

    return _in_one_task(work)


async def _rounds(
    known: Mapping[str, tuple[Client, Tool]],
    params: Mapping[str, Any],
    ask: Ask,
    say: Callable[[Json], None],
) -> None:
    own = list(params.get("tools") or ())
    tools = own + [_as_function(tool) for _, tool in known.values()]
    if len(tools) > MOST_TOOLS:
        raise Refused(
            f"{len(tools)} tools are too many for one conversation ({MOST_TOOLS}).",
            "Name fewer with `allowed_tools`.",
        )
    messages = list(params["messages"])
    called: list[Json] = []
    prompt = written = 0
    for turn in range(ROUNDS + 1):
        asked = {**params, "messages": list(messages), "tools": tools}
        if turn:
            asked["tool_choice"] = "auto"
        if turn == ROUNDS or not tools:
            asked = {k: v for k, v in asked.items() if k not in ("tools", "tool_choice")}
        deltas, result = await _answered(asked, ask)
        prompt += int(result.get("prompt_tokens", 0))
        written += int(result.get("tokens", 0))
        calls = list(result.get("tool_calls") or ())
        foreign = [call for call in calls if call["name"] in known]
        if not foreign or len(foreign) < len(calls):
            mine = [call for call in calls if call["name"] not in known]
            for delta in deltas:
                say(delta)
            whole = {"tool_calls": mine, "prompt_tokens": prompt, "tokens": written}
            say({"result": {**result, **whole, "mcp_calls": called}})
            return
        messages.append(
            {"role": "assistant", "content": result.get("text", ""), "tool_calls": foreign}
        )
        for call in foreign:
            client, tool = known[call["name"]]
            text, failed = await _call(client, tool, call["arguments"])
            messages.append({"role": "tool", "content": text})
            about = {"server": tool.server, "tool": tool.name, "arguments": call["arguments"]}
            called.append({**about, "failed": failed})


async def _answered(asked: Mapping[str, Any], ask: Ask) -> tuple[list[Json], Json]:
    """One turn of the model. Results that do not fit into its context are cut to a third."""
    while True:
        deltas: list[Json] = []
        result: Json = {}
        try:
            async with contextlib.aclosing(ask(asked)) as source:
                async for message in source:
                    result = message.get("result", result)
                    if "delta" in message:
                        deltas.append(message)
            return deltas, result
        except UsageError:
            longest = max(
                (len(m["content"]) for m in asked["messages"] if m["role"] == "tool"), default=0
            )
            if longest <= SHORTEST:
                raise
            shorter = [
                m | {"content": m["content"][: longest // 3]} if m["role"] == "tool" else m
                for m in asked["messages"]
            ]
            asked = {**asked, "messages": shorter}


async def _call(client: Client, tool: Tool, arguments: Json) -> tuple[str, bool]:
    """The result as text, and whether it failed; a failure is for the model to read."""
    from mcp import MCPError

    try:
        async with asyncio.timeout(CALL_S):
            found = await client.call_tool(tool.name, arguments)
    except (MCPError, TimeoutError, ValueError, RuntimeError) as error:
        return f"The tool failed: {str(error)[:300] or 'no answer in time'}", True
    parts = [
        part.text if part.type == "text" else f"[{part.type}: not shown]" for part in found.content
    ]
    return "\n".join(parts)[:LONGEST], bool(found.is_error)


def _as_function(tool: Tool) -> Json:
    function = {"name": tool.title, "description": tool.about, "parameters": tool.parameters}
    return {"type": "function", "function": function}


async def _in_one_task(work: Callable[..., Any]) -> AsyncGenerator[Json, None]:
    """What `work` says. A connection must end in the task that opened it, whoever reads here."""
    inbox: asyncio.Queue[Json | BaseException | None] = asyncio.Queue()

    async def run() -> None:
        try:
            await work(inbox.put_nowait)
            inbox.put_nowait(None)
        except Exception as error:
            inbox.put_nowait(error)

    task = asyncio.create_task(run())
    try:
        while (item := await inbox.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
