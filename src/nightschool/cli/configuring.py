"""`config`: see, explain, check and change the settings, with their mistakes named and placed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from nightschool.cli.door import home_of
from nightschool.cli.show import emit, line, say, table
from nightschool.config import change, describe, shown
from nightschool.config.load import DEFAULT, Problem, look, spell
from nightschool.errors import NightschoolError, NotFound, UsageError
from nightschool.paths import Home

config = typer.Typer(help="The settings: see, explain, check and change them.")
_JSON = typer.Option("--json", help="Print JSON.")
_KEY = typer.Argument(help="For example learn.window; `config show --all` lists them.")


def register(app: typer.Typer) -> None:
    app.add_typer(config, name="config")


@config.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@config.command("path")
def path(context: typer.Context, as_json: Annotated[bool, _JSON] = False) -> None:
    """Where the file of your settings is, or would be."""
    file = home_of(context).config
    if as_json:
        emit({"file": file, "exists": file.exists()})
        return
    say(str(file))


@config.command("show")
def show(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Defaults too.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """What is set, and where each value comes from."""
    home = home_of(context)
    found = look(home.config, os.environ)
    rows = shown.rows(found, everything=everything)
    if as_json:
        emit({"file": home.config, "settings": rows, "problems": found.problems})
        return
    if rows:
        table(
            ("setting", "value", "from"), [(row["key"], row["shown"], row["from"]) for row in rows]
        )
    else:
        say("All settings have their defaults; `nightschool config show --all` lists them.")
    for problem in found.problems:
        say(f"problem   {line(problem.error())}")


@config.command("explain")
def explain(
    context: typer.Context,
    key: Annotated[str, _KEY],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """What a setting means, what it may be, what it is now and where that comes from."""
    told = shown.explained(look(home_of(context).config, os.environ), key)
    if as_json:
        emit(told)
        return
    say(f"{key}: {told['meaning']}")
    for name, text in (
        ("values", told["values"]),
        ("default", shown.spelled(told["default"])),
        ("now", f"{shown.spelled(told['now'])} ({told['from']})"),
        ("variable", told["variable"]),
        ("change", f"takes effect {told['takes_effect']}"),
    ):
        say(f"{name:9} {text}")


@config.command("check")
def check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Another file than your own.")] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Look for mistakes: unknown names, wrong kinds, values out of range. Changes nothing."""
    if file is not None and not file.is_file():
        raise NotFound(f"There is no file {file}.", "")
    chosen = file or home_of(context).config
    problems = look(chosen, os.environ if file is None else {}).problems
    if as_json:
        emit({"file": chosen, "ok": not problems, "problems": problems})
    else:
        _tell(problems)
        if not problems:
            kept = "" if chosen.exists() else " (it is not there: the defaults hold)"
            say(f"{chosen} is in order{kept}.")
    raise typer.Exit(2 if problems else 0)


@config.command("set")
def put(
    context: typer.Context,
    key: Annotated[str, _KEY],
    value: Annotated[str, typer.Argument(help="Its new value.")],
) -> None:
    """Write one setting into your file; comments and order there stay."""
    setting = describe.one(key)
    taken = spell(setting, value)
    home = home_of(context)
    text = _text(home)
    _write(home, change.assigned(text, key, taken), f"{key} = {shown.spelled(taken)}", key)


@config.command("unset")
def unset(context: typer.Context, key: Annotated[str, _KEY]) -> None:
    """Take one setting out of your file, so that its default holds again."""
    setting = describe.one(key) if key in describe.every() else None
    home = home_of(context)
    before = _text(home)
    after = change.removed(before, key)
    if before == after:
        if setting is None:
            describe.one(key)  # neither there nor known: says what was probably meant
        say(f"{key} was not set there.")
        return
    _write(home, after, f"{key} is no longer set", key)


@config.command("edit")
def edit(context: typer.Context) -> None:
    """Open your file in an editor ($VISUAL, $EDITOR); it is checked before it takes the old one's
    place."""
    from nightschool.cli import editing

    home = home_of(context)
    text = editing.edited(home, _text(home) or editing.fresh())
    if text is None:
        say("Nothing was changed.")
        return
    problems = look(home.config, {}, text).problems
    if problems:
        kept = editing.keep(home, text)
        _tell(problems)
        raise UsageError(
            "The old settings stay: the new ones have the mistakes above.",
            f"Your text is in {kept}; mend it there, or say `config edit` again, which opens it.",
        )
    _write(home, text, "The settings were changed", "")
    editing.discard(home)


def _text(home: Home) -> str:
    try:
        return home.config.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{home.config} is not readable: {error}.", "Mend or remove it.") from None


def _write(home: Home, text: str, what: str, key: str) -> None:
    """Swap the file, and say what holds now: the environment may win, the service may wait."""
    from nightschool.daemon import client
    from nightschool.store.atomic import write_bytes

    home.create()
    write_bytes(home.config, text.encode())
    say(f"{what} ({home.config}).")
    found = look(home.config, os.environ)
    _tell(found.problems)
    origin = found.origins.get(key, DEFAULT)
    if key and origin.startswith("NIGHTSCHOOL_"):
        say(f"The environment wins: {origin} is set.")
    try:
        running = client.connect(home)
        said = running.get("/ns/status")["settings"] if running is not None else None
    except NightschoolError as error:
        say(f"The service could not be told: {error}")
        return
    if said is None:
        return
    if said["problem"]:
        say(f"The service runs on. {said['problem']}")
    elif key in said["waiting_for_restart"] or (not key and said["waiting_for_restart"]):
        waiting = ", ".join(said["waiting_for_restart"])
        say(f"After a restart of the service: {waiting} (`nightschool stop`, then `start`).")
    else:
        when = f"; {key} takes effect {describe.one(key).takes_effect}" if key else ""
        say(f"The service has taken it in{when}.")


def _tell(problems: list[Problem]) -> None:
    for problem in problems:
        say(str(problem.error()))
