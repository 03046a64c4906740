"""`watch add|remove|list` and `files`: what is indexed, and where each file stands."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import emit, say, table
from nightschool.records import FileStatus

watch = typer.Typer(help="The folders that are watched.", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    app.add_typer(watch, name="watch")
    app.command("files")(files)


@watch.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@watch.command("add")
def add(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder to watch.")],
    search_only: Annotated[
        bool, typer.Option("--search-only", help="Index it, but never learn from it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Watch a folder, and index it now."""
    with school(context) as door, Bar() as bar:
        report = door.watch(folder, learn=not search_only, progress=bar)
    if as_json:
        emit(report)
    else:
        say(summary(report))


@watch.command("remove")
def remove(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(help="The folder, or its number in `watch list`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Stop watching a folder: it leaves index and practice; its files stay untouched."""
    with school(context) as door:
        root = door.unwatch(folder)
    if as_json:
        emit(root)
    else:
        say(f"No longer watched: {root.path}")


@watch.command("list")
def listing(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The watched folders."""
    with school(context) as door:
        rows = [
            {
                "id": root.id,
                "path": root.path,
                "learn": root.learn,
                "there": Path(root.path).is_dir(),
                "files": len(door.files(root.path)),
                "added_at": root.added_at,
            }
            for root in door.roots()
        ]
    if as_json:
        emit(rows)
    elif not rows:
        say("No folder is watched yet. Add one: nightschool watch add FOLDER")
    else:
        table(
            ("no.", "folder", "files", "learned from", "there"),
            [
                (row["id"], row["path"], row["files"], _yes(row["learn"]), _yes(row["there"]))
                for row in rows
            ],
            right="no. files",
        )


def files(
    context: typer.Context,
    folder: Annotated[str | None, typer.Argument(help="Only this watched folder.")] = None,
    status: Annotated[
        str | None, typer.Option(help=f"Only these: {', '.join(FileStatus)}.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Look for changes in the folders first.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every file: indexed, waiting or skipped, and why."""
    with school(context) as door, Bar() as bar:
        reports = door.refresh(bar) if refresh else []
        found = door.files(folder, status)
    if as_json:
        emit(found)
        return
    for report in reports:
        say(summary(report))
    table(
        ("file", "status", "passages", "pairs", "learned in", "reason"),
        [
            (
                item.path,
                item.status.value,
                item.chunks or "",
                item.pairs or "",
                ", ".join(f"v{number}" for number in item.learned_in),
                item.reason,
            )
            for item in found
        ],
        right="passages pairs",
    )
    counts = Counter(item.status.value for item in found)
    say(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "No files.")


def summary(report: dict[str, Any]) -> str:
    """One sentence of what an intake did."""
    counted = [
        f"{value} {name.replace('_', ' ')}"
        for name, value in report.items()
        if isinstance(value, int) and not isinstance(value, bool) and value
    ]
    return f"{report['root']}: {', '.join(counted) if counted else 'no file to read in it yet'}"


def _yes(flag: object) -> str:
    return "yes" if flag else "no"
