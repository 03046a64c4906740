"""`pairs`: the practice questions; which wait for you, which are used, which never."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nightschool.cli.door import school
from nightschool.cli.show import block, emit, line, plain, say, table
from nightschool.errors import StoreError
from nightschool.records import FactItem

Ids = Annotated[list[int], typer.Argument(help="Numbers of pairs; each stands for its fact.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
group = typer.Typer(help="The practice questions: list, review, mend and export them.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="pairs")


@group.command("list")
def show(
    context: typer.Context,
    status: Annotated[str, typer.Option(help="waiting, auto, agreed, approved or rejected.")] = "",
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 50,
    as_json: Json = False,
) -> None:
    """The facts that were read from your files, those that wait for you first."""
    with school(context) as door:
        found = door.facts(status, count)
    if as_json:
        emit(found)
    elif not found:
        say("No such practice questions. They are written by the next `nightschool learn`.")
    else:
        table(
            ("pair", "status", "question", "answer", "file"),
            [(i.id, i.status, i.question, i.answer, i.path) for i in found],
            right="pair",
        )


@group.command("review")
def review(context: typer.Context) -> None:
    """Go through the facts that wait: a approve, r reject, s skip, q stop; else a new answer."""
    done = 0
    with school(context) as door:
        waiting = door.facts("waiting")
        for number, item in enumerate(waiting, start=1):
            say(f"\n{number} of {len(waiting)}: {words(item)}")
            print("[a]pprove, [r]eject, [s]kip, [q]uit, or the right answer: ", end="", flush=True)
            reply = sys.stdin.readline()
            choice = reply.strip()
            if not reply or choice == "q":
                break
            if choice == "a":
                door.decide([item.id], "approved")
            elif choice == "r":
                door.decide([item.id], "rejected")
            elif choice in ("s", ""):
                continue
            else:
                door.edit(item.id, answer=choice)
            done += 1
    say(f"{done} decided; {len(waiting) - done} wait.")


@group.command("approve")
def approve(
    context: typer.Context,
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of pairs.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    as_json: Json = False,
) -> None:
    """Let facts be practised."""
    with school(context) as door:
        given = [item.id for item in door.facts("waiting", 100_000)] if everything else ids or []
        _decided(door.decide(given, "approved"), as_json)


@group.command("reject")
def reject(context: typer.Context, ids: Ids, as_json: Json = False) -> None:
    """Never practise facts, also when their file is read again."""
    with school(context) as door:
        _decided(door.decide(ids, "rejected"), as_json)


@group.command("edit")
def edit(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="The pair.")],
    question: Annotated[str, typer.Option(help="The new wording of this pair.")] = "",
    answer: Annotated[str, typer.Option(help="The fact's answer, in the passage's words.")] = "",
    as_json: Json = False,
) -> None:
    """Reword a question, or mend an answer; the fact is then approved."""
    with school(context) as door:
        _decided([door.edit(number, question=question, answer=answer)], as_json)


@group.command("export")
def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(help="A file of JSON lines; - prints them.")],
) -> None:
    """Write all pairs that are in use as JSON lines: for your own eyes and tools."""
    with school(context) as door:
        lines = [json.dumps(plain(pair), ensure_ascii=False) for pair in door.pairs()]
    if str(target) == "-":
        print(block("\n".join(lines)))
        return
    try:
        target.write_text("".join(f"{item}\n" for item in lines), encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{target} cannot be written: {error.strerror or error}.", "Choose another place."
        ) from error
    say(f"{len(lines)} pairs in {line(target)}.")


def words(item: FactItem) -> str:
    """One fact with its evidence, for a person to judge."""
    return (
        f"{item.question}\n  answer:   {item.answer}\n  evidence: {line(item.evidence)}\n"
        f"  file:     {item.path} (pair {item.id}, {item.wordings} wordings, by {item.writer})"
    )


def _decided(found: list[FactItem], as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    for item in found:
        say(f"{item.status}: {line(item.question)} {line(item.answer)}")
    if not found:
        say("Nothing waits.")
