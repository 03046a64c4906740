"""`model quantize|bench|exam`: a smaller file of a model, and what a model does on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightschool.children.child import Child
from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import complain, emit, say, size, table
from nightschool.errors import ModelError, UsageError
from nightschool.models import ladder
from nightschool.models.catalogue import ModelInfo
from nightschool.models.sitting import NICE, WORKSHOP, wanted
from nightschool.paths import Home

if TYPE_CHECKING:
    from nightschool.api import Nightschool

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_NAME = Annotated[str, typer.Argument(help="A name from `model list`; empty is the one in use.")]


def register(model: typer.Typer) -> None:
    model.command("quantize")(quantize)
    model.command("bench")(bench)
    model.command("exam")(exam)


def quantize(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(ladder.LADDER)}.")],
    name: _NAME = "",
    to: Annotated[str, typer.Option("--as", help="What to call the new model.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Also from a quantised file.")] = False,
    as_json: _JSON = False,
) -> None:
    """Make a smaller file of a model, and measure both: perplexity and tokens a second."""
    kind = kind.upper()
    if kind not in ladder.LADDER:
        if name.upper() in ladder.LADDER:
            raise UsageError(
                "The kind comes first.", f"nightschool model quantize {name.upper()} MODEL"
            )
        raise UsageError(f"{kind!r} is no kind.", f"One of: {', '.join(ladder.LADDER)}.")
    with school(context) as door:
        info = door.model(name)
        chosen = to or f"{info.name}-{kind.lower()}"
        target = door.home.models / f"{chosen}.gguf"
        if target.exists() or any(item.name == chosen for item in door.models()):
            raise UsageError(f"There is a model called {chosen!r} already.", "Give another --as.")
        _room(info, kind, target)
        advice = ladder.advice(info.parameters, kind)
        if advice:
            complain(advice)
        with _workshop(door.home) as child, Bar() as bar:
            before = _run(child, "bench", {"path": str(info.path)}, bar)
            params = {"source": str(info.path), "target": str(target), "kind": kind, "again": again}
            made = _run(child, "quantize", params, bar)
            after = _run(child, "bench", {"path": str(target)}, bar)
        added = door.add_model(str(target), name=chosen)
    if as_json:
        emit({"model": added.name, "file": str(target), "advice": advice,
              "seconds": made["seconds"], "before": before, "after": after})  # fmt: skip
        return
    _table([(info.name, before), (added.name, after)])
    more = after["perplexity"] / before["perplexity"] - 1
    say(f"Perplexity {more:+.1%}, size {after['file_bytes'] / before['file_bytes'] - 1:+.0%}.")
    say(f"Use it: nightschool model use {added.name}")


def bench(context: typer.Context, name: _NAME = "", as_json: _JSON = False) -> None:
    """Start, speed, memory and perplexity of a model on this machine."""
    with school(context) as door:
        info = door.model(name)
        if not info.can_serve:
            raise ModelError(f"{info.name} cannot be measured: {info.why_not}", "Choose another.")
        with _workshop(door.home) as child, Bar() as bar:
            found = _run(child, "bench", {"path": str(info.path)}, bar)
    if as_json:
        emit({"model": info.name, **found})
        return
    _table([(info.name, found)])
    say(
        f"Perplexity is that of {found['tokens']} tokens of plain English; compare it only between "
        "files of one model."
    )


def exam(context: typer.Context, name: _NAME = "", as_json: _JSON = False) -> None:
    """Examine a model: does it read, say that it does not know, and chat? Decides who leads."""
    with school(context) as door:
        info = door.model(name)
        with Bar() as bar:
            found = door.examine(name, bar)
    if as_json:
        emit({"model": info.name, **asdict(found), "leads": found.leads})
        return
    for sentence in found.lines():
        say(sentence)


def sit_if_new(door: Nightschool, name: str) -> None:
    """Set the exam of a model that has not sat it yet. Raises ModelError when it cannot be
    loaded."""
    info = door.model(name)
    if info.can_serve and wanted(door.store, info):
        with Bar() as bar:
            door.examine(name, bar)


def _room(info: ModelInfo, kind: str, target: Path) -> None:
    needs = int(info.parameters * ladder.LADDER[kind].bits / 8 * 1.1)
    free = shutil.disk_usage(target.parent).free
    if needs > free:
        raise ModelError(
            f"The new file needs about {size(needs)}; {size(free)} are free in {target.parent}.",
            "Free some space, or choose a smaller kind.",
        )


@contextmanager
def _workshop(home: Home) -> Iterator[Child]:
    child = Child(WORKSHOP, log=home.logs / "workshop.log", nice=NICE)
    try:
        child.wait_ready()
        yield child
    finally:
        child.stop()


def _run(child: Child, op: str, params: dict[str, Any], bar: Bar) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for message in child.stream(op, params):
        event = message.get("event") or {}
        if "stage" in event:
            bar(str(event["stage"]), int(event.get("done", 0)), int(event.get("total", 0)))
        found = message.get("result", found)
    return found


def _table(rows: list[tuple[str, dict[str, Any]]]) -> None:
    table(
        ("model", "file", "memory", "start", "reads", "writes", "perplexity"),
        [
            (
                name,
                size(row["file_bytes"]),
                size(row["memory_bytes"]),
                f"{row['first_token_s']:.2f} s",
                f"{row['prefill']:.0f} tok/s",
                f"{row['decode']:.0f} tok/s",
                f"{row['perplexity']:.2f}",
            )
            for name, row in rows
        ],
        right="file memory start reads writes perplexity",
    )
