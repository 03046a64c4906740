"""`service install|uninstall|status`: whether the service starts by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nightschool.cli.door import Options, home_of, stays
from nightschool.cli.show import emit, say, table

if TYPE_CHECKING:
    from nightschool.device.services.installation import Installation

service = typer.Typer(help="Whether the service starts with your login.")
_KIND = typer.Option("--kind", help="systemd, launchd, task or autostart; empty: what fits here.")


def register(app: typer.Typer) -> None:
    app.add_typer(service, name="service")


@service.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def _wanted(context: typer.Context, kind: str) -> Installation:
    from nightschool.device.services import install

    options: Options = context.find_root().obj or Options()
    return install.describe(kind, install.start_of(options.home))


@service.command("install")
def add(
    context: typer.Context,
    kind: Annotated[str, _KIND] = "",
    tray: Annotated[
        bool, typer.Option("--tray", help="Show the tray icon at every login, too.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what another version or kind installed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written; change nothing.")
    ] = False,
) -> None:
    """Start the service now and at every login. Shows the files that it writes."""
    from nightschool.daemon import client
    from nightschool.device.services import icon, install

    stays(context)
    wanted = _wanted(context, kind)
    others = [_wanted(context, name) for name in install.KINDS if name != wanted.kind]
    parts = [(wanted, others)]
    if tray:
        parts.append((_wanted(context, icon.KIND), []))
    for part, _ in parts:
        say(f"{part.file}:\n\n{part.text}")
        for command in part.enable:
            say(f"$ {' '.join(command)}")
        found = install.state(part)
        if found.changes:
            say(f"There now, by {found.writer} (- goes, + comes):\n\n{found.changes}\n")
    if dry_run:
        return
    for part, instead in parts:  # before anything is stopped
        install.check(part, instead, replace=replace)
    if wanted.enable:  # one that was started by hand would keep the new one out
        client.stop(home_of(context))
    for part, instead in parts:
        install.install(part, instead, replace=replace)
        say(f"Installed ({part.kind}). {part.note}".rstrip())
    say("Remove all of it with `nightschool service uninstall`.")


@service.command("uninstall")
def remove(context: typer.Context, kind: Annotated[str, _KIND] = "") -> None:
    """Stop it and remove what `service install` wrote. Your index and versions stay."""
    from nightschool.device.services import icon, install

    removed = []
    for name in [kind] if kind else (*install.KINDS, icon.KIND):
        wanted = _wanted(context, name)
        if install.remove(wanted):
            removed.append(str(wanted.file))
    if removed:
        say(f"Removed: {', '.join(removed)}.")
    else:
        say("Nothing was installed.")


@service.command("status")
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What is installed here, and whether it runs."""
    from nightschool.device.services import icon, install

    usual = install.usual()
    kinds = (*install.KINDS, icon.KIND)
    states = [install.state(_wanted(context, kind)) for kind in kinds]
    shown = [state for state in states if state.installed or state.kind == usual]
    if as_json:
        emit(shown)
        return
    words = {True: "yes", False: "no", None: "cannot be asked"}
    table(
        ("kind", "installed", "running", "file"),
        [
            (
                state.kind,
                ("yes" if state.current else f"by {state.writer}, differs from this version's")
                if state.installed
                else "no",
                words[state.running] if state.installed else "",
                state.file,
            )
            for state in shown
        ],
    )
    if not any(state.installed for state in states):
        say("Install it: nightschool service install")
    elif not all(state.current for state in states if state.installed):
        say(
            "What differs: nightschool service install --dry-run; to replace it: "
            "nightschool service install --replace"
        )
