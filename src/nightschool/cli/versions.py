"""`versions`, `use`, `rollback`: which adapter is served."""

from __future__ import annotations

from typing import Annotated

import typer

from nightschool.cli.door import school
from nightschool.cli.show import emit, say, table
from nightschool.records import Version


def register(app: typer.Typer) -> None:
    app.command("versions")(versions)
    app.command("use")(use)
    app.command("rollback")(rollback)


def versions(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """All versions, newest first; 0 is the base model without an adapter."""
    with school(context) as door:
        found = door.versions()
    if as_json:
        emit(found)
        return
    table(
        ("", "version", "status", "scale", "night", "made", "note"),
        [
            (
                "*" if item.current else "",
                item.number,
                item.status,
                f"{item.scale:g}" if item.number else "",
                item.run_id or "",
                item.created_at,
                item.note,
            )
            for item in found
        ],
        right="version night",
    )
    say("* is served.")


def use(
    context: typer.Context,
    number: Annotated[int, typer.Argument(min=0, help="The version; 0 is the base model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Serve a version from the next question on."""
    with school(context) as door:
        _served(door.use(number), as_json)


def rollback(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Serve what was served before."""
    with school(context) as door:
        _served(door.rollback(), as_json)


def _served(version: Version, as_json: bool) -> None:
    if as_json:
        emit(version)
    else:
        name = f"version {version.number}" if version.number else "the base model (version 0)"
        say(f"Served from now on: {name}.")
