"""`search` and `ask`: passages, and answers that cite them."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import emit, line, say
from nightschool.records import Answer

CARRIED = {
    "reader": "the reader, from the cited passages",
    "generator": "the model, supported by the cited passages",
    "quote": "a quotation of the best passage",
    "weights": "the model's weights alone, no passage",
    "abstained": "nothing: no passage answers it",
}
"""`Answer.carried_by` in words."""


def register(app: typer.Typer) -> None:
    app.command("search")(search)
    app.command("ask")(ask)


def search(
    context: typer.Context,
    query: Annotated[
        str,
        typer.Argument(help="Words, and filters: in:FOLDER type:pdf after:2024-05 before:2025."),
    ],
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100, help="Results.")] = 8,
    rerank: Annotated[
        str,
        typer.Option(
            metavar="off|reader|FOLDER|OWNER/NAME",
            help="What reads the first passages again and orders them; default: search.rerank.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The best passages, with where they stand."""
    with school(context) as door, Bar() as bar:
        hits = door.search(query, count, rerank=whole(rerank), progress=bar)
    if as_json:
        emit(hits)
        return
    for number, hit in enumerate(hits, start=1):
        say(f"{number:2}. {line(hit.locator)}")
        say(textwrap.indent(textwrap.shorten(hit.text, 240, placeholder=" …"), "    "))
    if not hits:
        say("Nothing found.")


def whole(rerank: str) -> str:
    """A reranker's folder from its root on: the service has another working directory."""
    return str(Path(rerank).resolve()) if rerank and Path(rerank).is_dir() else rerank


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="Your question.")],
    version: Annotated[
        int | None, typer.Option(help="Answer as this version; 0 is the base model.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Ask the model's weights alone, without passages.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """An answer from your files, with citations."""
    with school(context) as door, Bar() as bar:
        answer = door.ask(question, version=version, mode="raw" if raw else "auto", progress=bar)
    if as_json:
        emit(answer)
    else:
        say(words(answer))


def words(answer: Answer) -> str:
    """The answer as a person reads it: text, citations, and what carried it."""
    parts = [answer.text]
    if answer.citations:
        parts.append("")
    for item in answer.citations:
        quote = textwrap.shorten(item.quote, 200, placeholder=" …")
        parts.append(f"[{item.mark}] {line(item.locator)}\n    “{quote}”")
    served = answer.base + (f" + version {answer.version}" if answer.version else "")
    carried = CARRIED.get(answer.carried_by, answer.carried_by)
    name = f"; {answer.id}" if answer.id else ""
    parts += ["", f"{served}; answered by {carried}; {answer.seconds:.1f} s{name}"]
    if answer.note:
        parts.append(answer.note)
    return "\n".join(parts)
