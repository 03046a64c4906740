"""`portable create|check|run`: Nightschool on a stick."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nightschool.cli.door import home_of
from nightschool.cli.show import complain, emit, say, size
from nightschool.errors import Refused, UsageError

portable = typer.Typer(help="Nightschool on a stick: it runs anywhere and leaves nothing behind.")
PASSPHRASE = "NIGHTSCHOOL_PASSPHRASE"
"""For scripts; taken out of the environment before anything is started."""
_DESCRIPTOR = typer.Option(
    "--passphrase-fd", help="Read the passphrase from this open file descriptor."
)
_JSON = typer.Option("--json", help="Print JSON.")


def register(app: typer.Typer) -> None:
    app.add_typer(portable, name="portable")


@portable.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@portable.command("create")
def create(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A new or empty folder, best on the stick.")],
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Seal index, adapters and notes with a passphrase.")
    ] = False,
    wheel: Annotated[
        Path | None,
        typer.Option("--llama-wheel", help="A wheel of llama-cpp-python for other processors."),
    ] = None,
    native: Annotated[
        bool,
        typer.Option(
            "--same-processor",
            help="Take llama.cpp as installed here: for computers with this very processor.",
        ),
    ] = False,
    descriptor: Annotated[int, _DESCRIPTOR] = -1,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Make a folder with everything: Python, packages, model, launchers, an empty home.

    The first time llama.cpp is built for other processors, which takes minutes.
    """
    from nightschool.cli.progress import Bar
    from nightschool.device.portable.create import create as make

    if native and wheel is not None:
        raise UsageError("--same-processor and --llama-wheel exclude each other.", "Give one.")
    with Bar(quiet=as_json) as progress:
        made = make(
            folder.expanduser().absolute(),
            home=home_of(context),
            passphrase=(lambda: passphrase(descriptor, twice=True)) if encrypt else None,
            wheel=wheel,
            native=native,
            progress=progress,
        )
    if as_json:
        emit(asdict(made))
        return
    say(f"{made.folder}: {made.files} files, {size(made.size)}, for {made.system}.")
    say("Start it there: sh start-linux.sh")
    if made.encrypted:
        say("Without the passphrase nobody can read what it learns; it is kept nowhere.")


@portable.command("check")
def check(
    folder: Annotated[Path, typer.Argument(help="The folder that `portable create` made.")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Whether the stick is whole: every file there, nothing that FAT, exFAT or Windows refuse."""
    from nightschool.device.portable.check import check as look

    problems = look(folder.expanduser().absolute())
    if as_json:
        emit({"folder": folder, "problems": problems})
    else:
        for problem in problems:
            say(problem)
        say("Something is wrong with this stick." if problems else "All is well.")
    raise typer.Exit(1 if problems else 0)


@portable.command(
    "run", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
def run(
    context: typer.Context,
    arguments: Annotated[list[str] | None, typer.Argument(help="A command.")] = None,
) -> None:
    """Run a command from the stick; the launchers on it call this. Without one: the service."""
    from nightschool.daemon import client
    from nightschool.device.portable import session

    place = home_of(context).stick
    if place is None:
        raise UsageError("This is not a stick.", "Start the launcher in a stick's folder.")
    words = list(arguments or ["up"])
    if words[:1] == ["start"]:
        raise Refused(
            "On a stick the service runs in a window of its own, and ends with it.",
            "Start the launcher without a command, and leave its window open.",
        )
    given = os.environ.pop(PASSPHRASE, "")  # whether it is needed or not: no child gets it
    if place.encrypted and not session.in_memory(place):
        complain(
            f"Here is no folder in memory: what is sealed lies open in {session.opened(place)}."
        )
    raise typer.Exit(session.run(place, words, lambda: passphrase(-1, given=given), client.stop))


def passphrase(descriptor: int, *, twice: bool = False, given: str = "") -> str:
    """From a file descriptor, the environment, or the terminal. Raises Refused without any."""
    import getpass

    if descriptor >= 0:
        try:
            with os.fdopen(descriptor, encoding="utf-8") as source:
                return source.readline().rstrip("\n")
        except OSError as error:
            raise UsageError(f"Descriptor {descriptor} cannot be read: {error}.", "") from error
    if given := given or os.environ.pop(PASSPHRASE, ""):
        return given
    if not sys.stdin.isatty():
        raise Refused(
            "A passphrase is needed, and there is no terminal to ask for it.",
            f"Set {PASSPHRASE}, or give --passphrase-fd.",
        )
    said = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Again: ") != said:
        raise Refused("The two passphrases differ.", "Try again.")
    return said
