"""`mcp add|list|remove`: MCP servers of other programs whose tools the model may call."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from nightschool.cli.door import home_of
from nightschool.cli.show import emit, say

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="What requests call it.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(mcp: typer.Typer) -> None:
    mcp.command("add")(add)
    mcp.command("list")(show)
    mcp.command("remove")(remove)


def add(
    context: typer.Context,
    name: _NAME,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND [ARG]…", help="Put -- before it.")
    ],
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="A tool that may change something; repeat.")
    ] = None,
    as_json: _JSON = False,
) -> None:
    """Let the model call the tools of another MCP server (stdio), when a request names it.

    It is started once now, to see its tools. Those that say they only read are offered; others
    only if you --allow them. The server is a program of yours and may reach what you may.
    """
    from nightschool.daemon import servers, toolbox
    from nightschool.errors import NightschoolError

    home = home_of(context).create()
    server = servers.OtherServer(name, command[0], tuple(command[1:]), tuple(allow or ()))

    async def look() -> Any:
        failure = None
        found: Any = None
        async with toolbox.connected(home, server) as client:
            try:
                found = await toolbox.offered(client, toolbox.Wanted(server))
            except NightschoolError as error:  # leaving the connection would hide it in a group
                failure = error
        if failure is not None:
            raise failure
        return found

    tools, others = asyncio.run(look())
    servers.add(home, server)
    if as_json:
        emit({"name": name, "tools": [tool.title for tool in tools], "not_offered": others})
        return
    say(f"{name}: {', '.join(tool.name for tool in tools) or 'no tool that only reads'}.")
    if others:
        say(f"Not offered, since they may change something (--allow NAME): {', '.join(others)}.")
    say(f'Name it in a request to nightschool-raw: {{"type": "mcp", "server_label": "{name}"}}')


def show(context: typer.Context, as_json: _JSON = False) -> None:
    """The added servers."""
    from dataclasses import asdict

    from nightschool.daemon import servers

    known = servers.load(home_of(context))
    if as_json:
        rows = [asdict(server) for server in known.values()]
        emit({"servers": [{k: v for k, v in row.items() if k != "env"} for row in rows]})
        return
    for server in known.values():
        extra = f"  (may change: {', '.join(server.allow)})" if server.allow else ""
        say(f"{server.name}: {' '.join((server.command, *server.args))}{extra}")
    if not known:
        say("None. Add one: nightschool mcp add NAME -- COMMAND")


def remove(context: typer.Context, name: _NAME) -> None:
    """Take a server out again."""
    from nightschool.daemon import servers

    servers.remove(home_of(context), name)
    say(f"{name} is taken out.")
