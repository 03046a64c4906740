"""`status` and `doctor`: what is going on, and whether everything that is needed is in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from nightschool.cli.door import home_of, school
from nightschool.cli.show import emit, say, table
from nightschool.errors import NightschoolError
from nightschool.registry.health import REPAIR

if TYPE_CHECKING:
    from nightschool.api import Nightschool
    from nightschool.cli.checkup import Check
    from nightschool.paths import Home


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What is watched, what is served, and how the last night ended."""
    with school(context) as door:
        found = door.status()
    if as_json:
        emit(found)
        return
    files = ", ".join(f"{count} {name}" for name, count in found["files"].items() if count)
    night = found["last_night"]
    served = f"version {found['version']}" if found["version"] else "without adapter"
    pairs = found["pairs"]
    last = "none yet"
    if night:
        ended = night["outcome"].replace("_", " ")
        last = f"{ended} ({night['started_at']}); see: nightschool report --open"
    rows = [
        ("home", found["home"]),
        ("folders", found["folders"]),
        ("files", files or "none"),
        ("passages", found["passages"]),
        ("practice pairs", sum(pairs.get(s, 0) for s in ("train", "visible", "hidden"))),
        ("model", f"{found['model']}, {served}"),
        ("last night", last),
    ]
    if number := found["unfinished_night"]:
        rows.append(("unfinished", f"night {number}: `nightschool learn` resumes it"))
    table(("", ""), rows)


def doctor(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Do not start the engine.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; damaged files move aside.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at everything that is needed, and say what is wrong and how to mend it."""
    from nightschool.cli import checkup

    home = home_of(context).create()
    with checkup.alone(home) if repair else contextlib.nullcontext():
        checks = list(_examine(home, repair=repair, start_engine=not quick))
    healthy = all(check.ok for check in checks)
    if as_json:
        emit({"healthy": healthy, "checks": checks})
        raise typer.Exit(0 if healthy else 1)
    table(
        ("", "what", "found"),
        [("ok" if c.ok else "!!", c.name, _told(c)) for c in checks],
    )
    if healthy:
        say("All is well.")
    else:
        say("Something needs attention; the lines marked !! say what.")
        if any(check.can_mend for check in checks):
            say("Mend it: nightschool doctor --repair (nothing is deleted; see docs/durability.md)")
    raise typer.Exit(0 if healthy else 1)


def _told(check: Check) -> str:
    mended = f" Mended: {check.mended}" if check.mended else ""
    return f"{check.found}{mended} {check.remedy}".strip()


def _examine(home: Home, *, repair: bool, start_engine: bool) -> Iterator[Check]:
    """All checks; without a database that opens, those of the files alone."""
    from nightschool import config
    from nightschool.api import Nightschool
    from nightschool.cli import checkup
    from nightschool.daemon import client
    from nightschool.daemon.through import ThroughService

    whole = True
    for check in checkup.of_home(home, repair=repair):
        whole = whole and (check.ok or check.name != "database")
        yield check
    if not whole:
        yield checkup.Check("records", False, "Not looked at: the database is damaged.", REPAIR)
        return
    service = client.connect(home)
    try:
        settings = config.load(home.config)
    except NightschoolError:  # said above, as "settings"
        settings = config.Config()
    try:
        door: Nightschool
        if service is None:
            door = Nightschool(home.root, settings=settings)
        else:
            door = ThroughService(home.root, service)
    except NightschoolError as error:
        yield checkup.Check("records", False, error.message, error.remedy)
        return
    with door:
        yield from checkup.of_school(door, repair=repair, start_engine=start_engine)
