"""`watch add|remove|list` and `files`: what is indexed, and where each file stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import emit, say, table
from nightschool.records import Document, FileStatus

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
                "source": root.source,
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
            ("no.", "folder", "kind", "files", "learned from", "there"),
            [
                (
                    row["id"],
                    row["path"],
                    row["source"],
                    row["files"],
                    _yes(row["learn"]),
                    _yes(row["there"]),
                )
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
        ("file", "status", "passages", "pairs", "learned in", "redacted", "last seen", "reason"),
        [
            (
                item.path,
                item.status.value,
                item.chunks or "",
                item.pairs or "",
                ", ".join(f"v{number}" for number in item.learned_in),
                redacted(item.redactions),
                item.last_seen,
                why(item),
            )
            for item in found
        ],
        right="passages pairs",
    )
    counts = Counter(item.status.value for item in found)
    say(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "No files.")


def why(item: Document) -> str:
    """The reason of a skip, and how many passages still wait for their vector."""
    parts = [item.reason] if item.reason else []
    if item.waiting:
        parts.append(f"{item.waiting} passages wait for their vector (found by words only)")
    return "; ".join(parts)


def redacted(counts: Mapping[str, int]) -> str:
    """What was taken out of what is practised: `2 passwords, 1 IBAN`."""
    return ", ".join(
        f"{count} {kind}{'' if count == 1 else 'es' if kind.endswith('ss') else 's'}"
        for kind, count in sorted(counts.items())
    )


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
