"""`learn`, `runs`, `report`: one night now, the nights that were, and what each of them did."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from nightschool.cli import scorecard
from nightschool.cli.door import home_of, school
from nightschool.cli.progress import Bar
from nightschool.cli.show import emit, plain, say, size, table
from nightschool.errors import UsageError
from nightschool.records import Outcome, Scorecard

if TYPE_CHECKING:
    from nightschool.api import Night

_REFUSED = {Outcome.HELD, Outcome.REJECTED, Outcome.TOO_LITTLE}
_DONE = {Outcome.PROMOTED, Outcome.NOTHING_NEW}


def register(app: typer.Typer) -> None:
    app.command("learn")(learn)
    app.command("runs")(runs)
    app.command("report")(report)
    app.command("nights")(nights)


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
        return planned(night, fit) if night.message == "planned" else f"{fit} {night.message}"
    outcome = night.outcome.value.replace("_", " ")
    given = f", stored as version {night.version}" if night.version else ""
    if night.scorecard is not None:  # which has said why
        return f"Night {night.run_id}: {outcome}{given}."
    return f"Night {night.run_id}: {outcome}{given}. {night.message}".strip()


def planned(night: Night, fit: str) -> str:
    """Tonight's plan: what is tried and why, with which settings, and what it takes."""
    plan, needs = night.plan or {}, night.estimate or {}
    settings = (
        f"Recipe {plan.get('recipe')}, from the {plan.get('start')}, rank {plan.get('rank')}, "
        f"rate {plan.get('learning_rate'):g}, {plan.get('batch_size')} items a step, "
        f"seed {plan.get('seed')}."
    )
    exams = needs.get("exams_s")
    after = "exams of unknown length" if exams is None else f"{exams / 60:.1f} min of exams"
    takes = (
        f"Takes about {size(needs.get('memory', 0))} of memory ({size(needs.get('free', 0))} are "
        f"free), at most {needs.get('practice_s', 0) / 60:.1f} min of practice, and {after}."
    )
    tried = f"Hypothesis: {plan.get('hypothesis')}.\nExpected: {plan.get('expected')}."
    return "\n".join((fit, tried, settings, takes))


def learn(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan and count only; change nothing.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything drawn at random.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Bound of the training itself; exams come on top.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="How to train: lora, lora_all, rslora, lora_plus, … (docs/method.md)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold a night now: practise, examine, then promote, hold or reject."""
    with school(context) as door, Bar() as bar:
        night = door.learn(
            dry_run=dry_run,
            seed=seed,
            minutes=minutes,
            recipe=recipe,
            progress=bar,
            on_note=bar.note,
        )
    if as_json:
        emit(night)
    else:
        if night.scorecard is not None:
            scorecard.show(night.scorecard)
        say(ending(night))
        if not dry_run:
            say("What was learned, what was left out, and why: nightschool report --open")
    raise typer.Exit(exit_code(night.outcome, dry_run))


def nights(
    context: typer.Context,
    switch: Annotated[
        str,
        typer.Argument(
            help="on: nights may start by themselves; off: only `learn` does; pause: not for a "
            "while, and a running one goes on later; resume: the pause is over."
        ),
    ] = "",
    minutes: Annotated[float, typer.Option(min=1, max=1440, help="How long a pause takes.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Whether nights start by themselves. They do not, until you say so."""
    if switch in ("pause", "resume"):
        _pause(context, minutes if switch == "pause" else 0.0, as_json)
        return
    if switch not in ("", "on", "off"):
        raise UsageError(
            f"{switch!r} is neither on nor off.",
            "Say `nights on`, `nights off`, `nights pause` or `nights resume`.",
        )
    with school(context) as door:
        if switch:
            door.allow_nights(switch == "on")
        allowed = door.nights_allowed()
    if as_json:
        emit({"allowed": allowed})
    elif allowed:
        say("Nights start by themselves while the service runs; `nightschool status` says when.")
    else:
        say("Nights do not start by themselves. Allow it: nightschool nights on")


def _pause(context: typer.Context, minutes: float, as_json: bool) -> None:
    from nightschool.daemon import client

    running = client.connect(home_of(context))
    if running is None:
        raise UsageError(
            "The service does not run, so no night starts by itself.",
            "Start it: `nightschool start`.",
        )
    left = running.post("/ns/pause", {"minutes": minutes})["paused_s"]
    if as_json:
        emit({"paused_s": left})
    elif left:
        say(f"Paused for {left / 60:.0f} min; end it with: nightschool nights resume")
    else:
        say("No pause; nights start by themselves again where they are allowed.")


def runs(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(help="One night, with its score card.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The nights: when, what was tried, how they ended."""

    with school(context) as door:
        if number is not None:
            run = door.run(number)
            if as_json:
                emit(run)
                return
            say(f"Night {run.id}, {run.started_at} to {run.ended_at or 'still open'}")
            say(f"Tried: {run.plan.get('hypothesis', '')} (recipe {run.plan.get('recipe', '')})")
            if run.scorecard:
                scorecard.show(Scorecard.of(run.scorecard))
            say(f"Outcome: {run.outcome.value.replace('_', ' ')}. {run.message}".strip())
            return
        found = door.runs(count)
    if as_json:
        emit([plain(run) for run in found])
    elif not found:
        say("No night yet. Hold one: nightschool learn")
    else:
        table(
            ("night", "started", "recipe", "outcome", "version", "message"),
            [
                (
                    run.id,
                    run.started_at,
                    run.plan.get("recipe", ""),
                    run.outcome.value.replace("_", " "),
                    "" if run.version is None else f"v{run.version}",
                    run.message,
                )
                for run in found
            ],
            right="night",
        )


def report(
    context: typer.Context,
    number: Annotated[
        int | None,
        typer.Argument(
            min=0,
            help="The night; without it the newest. 0: the last one that ended before it began.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Where the page of a night lies: what it learned from which file, exams, what was left out."""
    with school(context) as door:
        path, told = door.report(number)
    if as_json:
        emit(told | {"path": path})
    else:
        ended = told["outcome"].replace("_", " ")
        name = f"Night {told['run']}" if told["run"] else "A night that did not begin"
        say(f"{name}: {ended}.")
        say(str(path))
    if show and not webbrowser.open(path.as_uri()):
        raise UsageError("No browser can be opened here.", f"Open this file: {path}")
