"""`feedback`: what you think of an answer; the next night practises it."""

from __future__ import annotations

from typing import Annotated

import typer

from nightschool.cli.door import school
from nightschool.cli.show import emit, line, say, table


def register(app: typer.Typer) -> None:
    app.command("feedback")(feedback)


def feedback(
    context: typer.Context,
    answer: Annotated[
        str | None, typer.Argument(help="The answer's name, as `ask` prints it: v3/17.")
    ] = None,
    verdict: Annotated[str, typer.Argument(help="up, down, or correct.")] = "",
    correction: Annotated[str, typer.Argument(help="The right answer, after `correct`.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge an answer: up, down, or correct "…". Without arguments: what was judged."""
    with school(context) as door:
        if answer is None:
            found = door.judged()
            if as_json:
                emit(found)
            elif not found:
                say("Nothing was judged yet. For example: nightschool feedback v3/17 up")
            else:
                table(
                    ("answer", "judged", "verdict", "question", "should be"),
                    [(i.answer, i.at, i.verdict, i.question, i.correction) for i in found],
                )
            return
        given = door.feedback(answer, verdict, correction)
    if as_json:
        emit(given)
    else:
        say(f"Thank you: {given.verdict} for {line(given.question)} The next night practises it.")
