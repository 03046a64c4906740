"""`mcp`: the tools for local assistants, over stdio."""

from __future__ import annotations

import typer

from nightschool.cli.service import home_of


def register(app: typer.Typer) -> None:
    app.command("mcp")(mcp)


def mcp(context: typer.Context) -> None:
    """Serve the MCP tools on stdin and stdout; starts the service if it does not run.

    Put this command into an assistant's settings: no token has to be copied anywhere.
    """
    from nightschool.daemon.stdio import serve

    serve(home_of(context))
