"""`up`, `start`, `stop`, `status`: the background service."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightschool.cli import doctor
from nightschool.cli.door import home_of
from nightschool.cli.show import emit, line, say, size
from nightschool.paths import HOME_VARIABLE, Home

if TYPE_CHECKING:
    from nightschool.daemon.client import Client


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("start")(start)
    app.command("stop")(stop)
    app.command("status")(status)


_PROFILE = typer.Option(
    "--profile", help="Settings to start from: tiny, laptop, workstation or portable."
)


def _start_from(profile: str) -> None:
    """Let the service that is started now read its settings on top of this profile."""
    from nightschool.config.describe import every
    from nightschool.config.load import fit

    if profile:
        os.environ[every()["profile"].variable] = fit(every()["profile"], profile)


def _warn_of_share(home: Home) -> None:
    from nightschool.device import disks

    if kind := disks.share(home.root):
        note = f"Warning: {home.root} is on a network share ({kind}), where a database is slow and "
        print(f"{note}may be damaged; better use a folder of this machine.", file=sys.stderr)


def up(context: typer.Context, profile: Annotated[str, _PROFILE] = "") -> None:
    """Run the service here, in the foreground, until Ctrl+C. Service managers call this."""
    from nightschool.daemon.instance import AlreadyRunning
    from nightschool.daemon.main import run

    _start_from(profile)
    os.environ[HOME_VARIABLE] = str(home_of(context).root)
    _warn_of_share(home_of(context))
    try:
        run(console=True)
    except AlreadyRunning as running:
        say(f"{running.message} {running.remedy}")


def start(
    context: typer.Context,
    profile: Annotated[str, _PROFILE] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start the service in the background; it goes on when the terminal closes."""
    from nightschool.daemon import client

    _start_from(profile)
    home = home_of(context)
    before = client.connect(home)
    _warn_of_share(home)
    if before and profile:
        say("It runs already, with its own settings; for good: nightschool config set profile NAME")
    running = before or client.start(home)
    if as_json:
        emit(running.runtime)
        return
    word = "is already running" if before else "runs"
    runtime = running.runtime
    say(f"Nightschool {word}: process {runtime.pid} serves {runtime.url}.")
    if before is None:
        say("Open it with `nightschool open`, stop it with `nightschool stop`.")
        if not running.get("/ns/status")["night"]["allowed"]:
            say("It learns only when told to; let it learn at night: nightschool nights on")


def stop(context: typer.Context) -> None:
    """Stop the service cleanly; a running night keeps its checkpoint."""
    from nightschool.daemon import client

    stopped = client.stop(home_of(context))
    if stopped is None:
        say("Nightschool is not running.")
    else:
        say(f"Stopped (process {stopped.pid}).")


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What the service does, what it waits for, and what is served."""
    from nightschool.daemon import client

    running = client.connect(home_of(context))
    if running is None:
        if not as_json:
            say("The service is not running; `nightschool start` starts it.\n")
        doctor.status(context, as_json)
        return
    found = running.get("/ns/status")
    if as_json:
        emit(found)
    else:
        _show(running, found)


def _show(running: Client, found: dict[str, Any]) -> None:
    night, files, watching = found["night"], found["files"], found["watching"]
    served = found["serving"]["version"]
    say(
        f"Nightschool {found['version']} is {found['state']}: process {found['pid']}, "
        f"{running.runtime.url}, {size(found['memory_bytes'])}"
    )
    say(f"served    {f'version {served}' if served else 'the base model (version 0)'}")
    of_folders = {root["reason"] for root in watching["roots"]}  # said with the folder below
    for problem in found["problems"]:
        if problem not in of_folders:
            say(f"problem   {line(problem)}")
    if later := found.get("settings", {}).get("waiting_for_restart"):
        say(f"settings  after a restart of the service: {', '.join(later)}")
    say(f"night     {night['reason']}")
    for blocker in night["blockers"][1:]:
        say(f"          {line(blocker)}")
    if night["last"]:
        last = night["last"]
        say(f"last      {last['ended_at']} {last['outcome']}: {line(last.get('message', ''))}")
        say("          its report: nightschool report --open")
    waiting = f", {files['without_vector']} passages without vector" * bool(files["without_vector"])
    say(
        f"files     {files['indexed']} indexed, {files['skipped']} skipped, "
        f"{files['passages']} passages{waiting}"
    )
    if watching["changing"]:
        say(f"          {watching['changing']} changes are being read")
    for root in watching["roots"]:
        learn = "" if root["learn"] else " (search only)"
        reason = f": {line(root['reason'])}" if root["reason"] else ""
        say(f"folder    {line(root['path'])}{learn}, {root['state']}{reason}")
    for name, child in found["children"].items():
        held = f", {size(child['memory_bytes'])}" if child["pid"] else ""
        failed = f", {child['restarts']} failures ({child['last_error']})" * bool(child["restarts"])
        say(f"{name:9} {child['state']}{held}{failed}")
