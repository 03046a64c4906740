"""The command line's root: global options, the verbs, and the one place where errors become words.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by the gate or a guard, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from nightschool import __version__, paths
from nightschool.cli import (
    answers,
    configuring,
    demo,
    doctor,
    evals,
    feedback,
    folders,
    forget,
    installing,
    mcp,
    models,
    moving,
    nights,
    pairs,
    portable,
    service,
    streams,
    surroundings,
    token,
    tray,
    versions,
)
from nightschool.cli.door import Options
from nightschool.cli.show import complain
from nightschool.errors import NightschoolError, of_disk

app = typer.Typer(
    name="nightschool",
    help="A local model that goes to night school on your own files.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
for group in (
    folders,
    forget,
    answers,
    feedback,
    pairs,
    nights,
    versions,
    models,
    doctor,
    moving,
    configuring,
    evals,
    streams,
    demo,
    service,
    installing,
    token,
    tray,
    mcp,
    portable,
):
    group.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"nightschool {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    home: Annotated[
        str | None,
        typer.Option(help="Where index, versions and settings live [NIGHTSCHOOL_HOME]."),
    ] = None,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an unexpected error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = Options(home, debug)
    if context.invoked_subcommand is None:
        print(context.get_help())


def run(arguments: list[str] | None = None) -> None:
    """The console script. Never shows a traceback unless `--debug` asks for it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    surroundings.utf8()
    surroundings.speak()
    try:
        code = app(arguments, prog_name="nightschool", standalone_mode=False)
        sys.stdout.flush()
    except NightschoolError as error:
        complain(error.message, error.remedy, error.code)
        code = error.exit_code
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"See `{context.command_path} --help`." if context else ""
        said = error.format_message().rstrip(".")
        complain(said if said.endswith("?") else f"{said}.", hint)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("Interrupted.")
        code = 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is left to say, nor to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if "--debug" in arguments:
            raise
        if isinstance(error, OSError) and (full := of_disk(error)) is not None:
            complain(full.message, full.remedy)
            sys.exit(full.exit_code)
        complain(f"Unexpected failure: {type(error).__name__}: {error}.", _recorded(arguments))
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _recorded(arguments: list[str]) -> str:
    """Write the traceback to the log; the sentence that says where it is."""
    home = arguments[arguments.index("--home") + 1] if "--home" in arguments[:-1] else None
    log = paths.home(home).logs / "command.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as sink:
            sink.write(f"$ nightschool {' '.join(arguments)}\n{traceback.format_exc()}\n")
        return f"Details: {_short(log)}; please report them."
    return "Run it again with --debug for details."


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    return str(path)
