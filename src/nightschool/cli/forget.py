"""`forget` and `vacuum`: take something out of search, practice and weights, with a receipt."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import complain, emit, say, size, table
from nightschool.errors import Refused, UsageError
from nightschool.records import Document, Receipt
from nightschool.registry import forget as registry
from nightschool.registry.request import Forgetting

SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command("forget")(forget)
    app.command("vacuum")(vacuum)


def forget(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(help="A path, a folder, a file's number (#12), or words that it holds."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about folders and words.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would be.")] = False,
    receipt: Annotated[
        str | None, typer.Option(help="Print one receipt by its number, or `list` all.")
    ] = None,
    undo: Annotated[
        int | None, typer.Option(help="Take a `forget` back, within its grace period.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take files out of search, practice and the weights, at once, with a receipt.

    The files stay on the disk and are not read again. Deleting a watched file does the same.
    """
    if sum(given is not None for given in (what, receipt, undo)) != 1:
        raise UsageError(
            "Say one thing: what to forget, --receipt, or --undo.", "See `nightschool forget -h`."
        )
    with school(context) as door, Bar() as bar:
        if receipt is not None:
            if receipt == "list":
                _list(door.receipts(), as_json)
            else:
                _show(registry.one(door.store, _number(receipt)), as_json)
            return
        if undo is not None:
            _show(door.undo(undo, progress=bar), as_json)
            return
        assert what is not None
        found = door.forget(what, confirmed=yes, dry_run=dry_run)
        if found.receipt is None and not dry_run:
            _confirm(found, what)
            found = door.forget(what, confirmed=True)
    if as_json:
        emit(found)
    elif found.receipt is None:
        _files(found.files)
        say("Nothing was changed (--dry-run).")
    else:
        if found.repeated:
            say("This was forgotten before:")
        _show(found.receipt, as_json=False)


def vacuum(
    context: typer.Context,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for grace periods: no undo after this.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove every byte of what was forgotten from the home: pages, caches, logs, adapters."""
    with school(context) as door:
        report = door.vacuum(now=now)
    if as_json:
        emit(report)
        raise typer.Exit(1 if report.problem else 0)
    for number in report.versions:
        say(f"Removed: the adapter of version {number}.")
    for number in report.nights:
        say(f"Removed: the folder of night {number}.")
    for name in report.files:
        say(f"Removed: {name}.")
    for text in report.kept:
        say(f"Kept: {text}.")
    say(f"The home takes {size(report.bytes_after)}, {size(report.bytes_before)} before.")
    if report.problem:
        complain(report.problem, "Make one: nightschool backup")
        raise typer.Exit(1)


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 15:
        raise UsageError(f"{text!r} is no receipt's number.", "Give a number, or `list`.")
    return int(text)


def _confirm(found: Forgetting, what: str) -> None:
    """Ask about a folder or a query. Raises Refused without a person to ask, or on no."""
    _files(found.files)
    count = f"{len(found.files)} file{'s' if len(found.files) != 1 else ''}"
    if not sys.stdin.isatty():
        raise Refused(
            f"{what!r} names {count}; nothing was forgotten.",
            "Look at them with --dry-run, then repeat it with --yes.",
        )
    if not typer.confirm(f"Forget {count}?", default=False):
        raise Refused("Nothing was forgotten.", "")


def _files(found: tuple[Document, ...]) -> None:
    for item in found[:SHOWN]:
        say(f"  {item.path}")
    if len(found) > SHOWN:
        say(f"  and {len(found) - SHOWN} more")


def _list(found: list[Receipt], as_json: bool) -> None:
    if as_json:
        emit(found)
    elif not found:
        say("Nothing was forgotten yet.")
    else:
        table(
            ("no.", "when", "how", "what", "blocked", "undo until"),
            [
                (
                    item.id,
                    item.at,
                    item.kind,
                    item.target,
                    ", ".join(f"v{version.number}" for version in item.versions),
                    f"undone {item.undone_at}" if item.undone_at else item.grace_until,
                )
                for item in found
            ],
            right="no.",
        )


def _show(item: Receipt, as_json: bool) -> None:
    if as_json:
        emit(item)
        return
    say(f"Receipt {item.id}: {item.kind} at {item.at}")
    say(f"What: {item.target}")
    for file in item.files[:SHOWN]:
        extra = ", deleted from the disk" if file.removed else ""
        say(f"  {file.path}  sha256 {file.sha256 or '(not read)'}  "
            f"{file.passages} passages, {file.pairs} pairs{extra}")  # fmt: skip
        for copy in file.copies:
            say(f"    the same bytes stay in {copy}")
    if len(item.files) > SHOWN:
        say(f"  and {len(item.files) - SHOWN} more (--json has all)")
    for version in item.versions:
        say(f"  version {version.number} (night {version.run_id}, sha256 {version.sha256}) is "
            f"blocked; it was {version.status}")  # fmt: skip
    for night in item.nights:
        say(f"  night {night} was ended: it practised this")
    if item.served_before != item.served_after:
        say(f"Served now: {_name(item.served_after)} instead of {_name(item.served_before)}.")
    if item.relearn:
        say("A night without it is queued (`nightschool learn` holds one now).")
    if item.undone_at:
        say(f"Undone at {item.undone_at}.")
    elif item.grace_until:
        say(f"Can be undone until {item.grace_until}.")
    if item.erased_at:
        gone = [f"adapter of v{n}" for n in item.erased.get("versions", [])]
        gone += [f"folder of night {n}" for n in item.erased.get("nights", [])]
        say(f"Erased from the disk at {item.erased_at}: {', '.join(gone) or 'nothing was left'}.")
    elif item.versions or item.nights:
        say("Adapters and night folders are removed by `nightschool vacuum`.")
    say(f"Receipt hash {item.sha256}")


def _name(number: int) -> str:
    return f"version {number}" if number else "the base model"
