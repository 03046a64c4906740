"""`tray`: the icon beside the clock."""

from __future__ import annotations

from typing import Annotated

import typer

from nightschool.cli.door import home_of
from nightschool.paths import HOME_VARIABLE, interpreter


def register(app: typer.Typer) -> None:
    app.command("tray")(tray)


def tray(
    context: typer.Context,
    wait: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds to wait for a panel that shows icons.")
    ] = 0.0,
) -> None:
    """Show an icon beside the clock: what it does, why it waits, pause, roll back, open."""
    import os
    import subprocess
    import sys

    command = [*interpreter(), "-m", "nightschool.tray.main", "--wait", f"{wait:g}"]
    environment = {**os.environ, HOME_VARIABLE: str(home_of(context).root)}
    if os.name == "posix":  # this process becomes the tray: the command's own weight goes
        sys.stdout.flush()
        os.execve(command[0], command, environment)
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)
