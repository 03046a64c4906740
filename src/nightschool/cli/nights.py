"""`learn` and `runs`: one night now, and the nights that were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nightschool.cli import scorecard
from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import emit, plain, say, table
from nightschool.records import Outcome

if TYPE_CHECKING:
    from nightschool.api import Night

_REFUSED = {Outcome.HELD, Outcome.REJECTED, Outcome.TOO_LITTLE}
_DONE = {Outcome.PROMOTED, Outcome.NOTHING_NEW}


def register(app: typer.Typer) -> None:
    app.command("learn")(learn)
    app.command("runs")(runs)


def exit_code(outcome: Outcome, dry_run: bool = False) -> int:
    """0 promoted or nothing to do, 3 kept the old version on purpose, 1 failed."""
    if dry_run or outcome in _DONE:
        return 0
    return 3 if outcome in _REFUSED else 1


def ending(night: Night) -> str:
    """How a night ended, in one sentence; of a dry run, what it would practise."""
    if not night.run_id:
        counts = ", ".join(f"{n} {name}" for name, n in (night.pairs or {}).items())
        fit = f"{night.facts} of {night.available} facts fit the budget ({counts})."
        return fit if night.message == "planned" else f"{fit} {night.message}".strip()
    outcome = night.outcome.value.replace("_", " ")
    given = f", stored as version {night.version}" if night.version else ""
    if night.scorecard is not None:  # which has said why
        return f"Night {night.run_id}: {outcome}{given}."
    return f"Night {night.run_id}: {outcome}{given}. {night.message}".strip()


def learn(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan and count only; change nothing.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything drawn at random.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Bound of the training itself; exams come on top.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold a night now: practise, examine, then promote, hold or reject."""
    with school(context) as door, Bar() as bar:
        night = door.learn(
            dry_run=dry_run, seed=seed, minutes=minutes, progress=bar, on_note=bar.note
        )
    if as_json:
        emit(night)
    else:
        if night.scorecard is not None:
            scorecard.show(night.scorecard)
        say(ending(night))
    raise typer.Exit(exit_code(night.outcome, dry_run))


def runs(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(help="One night, with its score card.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The nights: when, what was tried, how they ended."""
    from nightschool.api import scorecard as card_of

    with school(context) as door:
        if number is not None:
            run = door.run(number)
            if as_json:
                emit(run)
                return
            say(f"Night {run.id}, {run.started_at} to {run.ended_at or 'still open'}")
            say(f"Tried: {run.plan.get('hypothesis', '')}")
            if run.scorecard:
                scorecard.show(card_of(run.scorecard))
            say(f"Outcome: {run.outcome.value.replace('_', ' ')}. {run.message}".strip())
            return
        found = door.runs(count)
    if as_json:
        emit([plain(run) for run in found])
    elif not found:
        say("No night yet. Hold one: nightschool learn")
    else:
        table(
            ("night", "started", "outcome", "version", "message"),
            [
                (
                    run.id,
                    run.started_at,
                    run.outcome.value.replace("_", " "),
                    "" if run.version is None else f"v{run.version}",
                    run.message,
                )
                for run in found
            ],
            right="night",
        )
