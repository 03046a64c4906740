"""`mcp`: the tools for local assistants, over stdio, and their place in an assistant's settings."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from nightschool.cli import servers
from nightschool.cli.door import Options, home_of, stays
from nightschool.cli.show import emit, say
from nightschool.paths import HOME_VARIABLE

mcp = typer.Typer(help="The tools for local assistants.")
_CLIENT = Annotated[
    str, typer.Argument(metavar="CLIENT", help="claude, cursor, vscode, zed or continue.")
]
_DRY = Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    app.add_typer(mcp, name="mcp")
    servers.register(mcp)


@mcp.callback(invoke_without_command=True)
def serve(context: typer.Context) -> None:
    """Serve the MCP tools on stdin and stdout; starts the service if it does not run.

    Put this command into an assistant's settings (`mcp install` does): no token is copied.
    """
    if context.invoked_subcommand is None:
        from nightschool.daemon.stdio import serve as serve_stdio

        serve_stdio(home_of(context))


@mcp.command("install")
def install(
    context: typer.Context, client: _CLIENT, dry_run: _DRY = False, as_json: _JSON = False
) -> None:
    """Show and write the entry that lets an assistant use your files. Undo it with `uninstall`."""
    _change(context, client, remove=False, dry_run=dry_run, as_json=as_json)


@mcp.command("uninstall")
def uninstall(
    context: typer.Context, client: _CLIENT, dry_run: _DRY = False, as_json: _JSON = False
) -> None:
    """Take the entry out of an assistant's settings again; everything else in them stays."""
    _change(context, client, remove=True, dry_run=dry_run, as_json=as_json)


def _change(
    context: typer.Context, client: str, *, remove: bool, dry_run: bool, as_json: bool
) -> None:
    from nightschool.device import assistants

    stays(context)
    options: Options = context.find_root().obj or Options()
    home = options.home or os.environ.get(HOME_VARIABLE)
    program, arguments = assistants.command(home)
    found = assistants.find(client)
    change = assistants.plan(found, program, arguments, remove=remove)
    if change.changed and not dry_run:
        assistants.write(change)
    if as_json:
        done = change.changed and not dry_run
        emit({"file": str(found.file), "entry": change.snippet, "written": done})
        return
    if not remove:
        say(change.snippet)
    if not change.changed:
        say(f"{found.file} says so already." if not remove else f"{found.file} has no entry.")
    elif dry_run:
        say(f"Would {'leave' if remove else 'go into'} {found.file}.")
    elif remove:
        say(f"Taken out of {found.file}. Restart {found.title}.")
    else:
        say(
            f"Written to {found.file}; restart {found.title}. "
            f"Undo: nightschool mcp uninstall {client}"
        )
