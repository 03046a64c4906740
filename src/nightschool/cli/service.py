"""`up`, `start`, `stop`, `status`: the background service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightschool import paths
from nightschool.cli import doctor
from nightschool.cli.door import Options
from nightschool.cli.show import emit, line, say, size
from nightschool.paths import HOME_VARIABLE, Home

if TYPE_CHECKING:
    from nightschool.daemon.client import Client


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("start")(start)
    app.command("stop")(stop)
    app.command("status")(status)


def home_of(context: typer.Context) -> Home:
    """The home this command is about."""
    options: Options = context.find_root().obj or Options()
    return paths.home(options.home)


def up(context: typer.Context) -> None:
    """Run the service here, in the foreground, until Ctrl+C. Service managers call this."""
    import os

    from nightschool.daemon.instance import AlreadyRunning
    from nightschool.daemon.main import run

    os.environ[HOME_VARIABLE] = str(home_of(context).root)
    try:
        run(console=True)
    except AlreadyRunning as running:
        say(f"{running.message} {running.remedy}")


def start(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start the service in the background; it goes on when the terminal closes."""
    from nightschool.daemon import client

    home = home_of(context)
    before = client.connect(home)
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
    say(f"night     {night['reason']}")
    for blocker in night["blockers"][1:]:
        say(f"          {line(blocker)}")
    if night["last"]:
        last = night["last"]
        say(f"last      {last['ended_at']} {last['outcome']}: {line(last.get('message', ''))}")
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
