"""`export`, `import` and `backup`: take a home to another computer, and keep copies of it here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightschool.cli.door import home_of, school
from nightschool.cli.show import emit, say, size, table


def register(app: typer.Typer) -> None:
    app.command("export")(export)
    app.command("import")(take_in)
    app.command("backup")(backup)


def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write, for example school.tar.")],
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Seal it with a passphrase (the age format).")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write all that another computer needs into one file: index, practice, versions, notes.

    Without --encrypt, who has the file has what your files say. It holds no token and no watched
    files.
    """
    from nightschool.cli.portable import passphrase
    from nightschool.registry import archive

    words = passphrase(-1, twice=True) if encrypt else ""
    with school(context) as door:
        made = archive.export(door.home, door.store, file, passphrase=words, force=force)
    if as_json:
        emit(made)
        return
    say(f"Exported {made.files} files, {size(made.bytes)}, to {made.path}.")
    for root in made.roots:
        say(f"The watched folder {root} itself is not in it: copy it too.")
    for name in made.models:
        say(f"The model {name} lies elsewhere and is only described: bring its file along.")


def take_in(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `nightschool export` made.")],
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", help="OLD=NEW: where a watched folder lies here. Repeatable."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a home that is in use; it moves aside.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take an export into this home, whole or not at all.

    A watched folder that is not on this computer keeps its index and is never taken for deleted.
    """
    from nightschool.cli import checkup
    from nightschool.cli.portable import passphrase
    from nightschool.registry import archive, moving

    home, places = home_of(context), moving.parse_map(mapped or [])
    words = passphrase(-1) if archive.is_sealed(file) else ""
    with checkup.alone(home):
        done = moving.take_in(home, file, passphrase=words, mapped=places, force=force)
    if as_json:
        emit(done)
        return
    say(f"Imported {done.files} files and {done.versions} versions into {home.root}.")
    for root in done.missing:
        say(
            f"{root} is not on this computer; its index is kept. If it lies elsewhere, import "
            f"again with --force --map {root}=HERE."
        )
    for name in done.models:
        say(f"The model {name} is not here: nightschool model add FILE --name {name}")
    if done.before:
        say(f"What was here before lies in {done.before}; `nightschool vacuum` removes it.")


def backup(
    context: typer.Context,
    listed: Annotated[bool, typer.Option("--list", help="Only show what there is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy the database into the home's `backups` now. The service does it once a day by itself."""
    from nightschool.clock import SystemClock
    from nightschool.daemon import backups
    from nightschool.store import snapshot

    with school(context) as door:
        folder = door.home.backups
        if not listed:
            backups.take(door.store, folder, snapshot.ASKED, SystemClock())
    rows = [
        {
            "sequence": item.sequence,
            "reason": item.reason,
            "at": str(snapshot.about(item)["at"]),
            "bytes": item.size,
            "problem": snapshot.problem_of(item),
        }
        for item in snapshot.listed(folder)
    ]
    if as_json:
        emit(rows)
        return
    table(
        ("number", "why", "made", "size", ""),
        [(r["sequence"], r["reason"], r["at"], size(int(str(r["bytes"]))), r["problem"])
         for r in rows],
        right="number size",
    )  # fmt: skip
    say("Restore the newest good one when the database is damaged: nightschool doctor --repair")
