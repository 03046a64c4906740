"""`model list|add|use|card`: the base models (`quantize`, `bench` and `exam` are in `workshop`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightschool.cli import workshop
from nightschool.cli.door import school
from nightschool.cli.progress import Bar
from nightschool.cli.show import complain, emit, say, size, table
from nightschool.errors import ModelError
from nightschool.models.abilities import Abilities
from nightschool.models.catalogue import ModelInfo
from nightschool.models.change import between

if TYPE_CHECKING:
    from nightschool.api import Nightschool

model = typer.Typer(help="The base models.")
_NO_EXAM = Annotated[
    bool, typer.Option("--no-exam", help="Do not examine it now (`model exam` does it later).")
]


def register(app: typer.Typer) -> None:
    workshop.register(model)
    app.add_typer(model, name="model")


@model.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@model.command("list")
def listing(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """All known base models, and whether they can serve and learn here."""
    with school(context) as door:
        found = door.models()
        used = door.model().name
    if as_json:
        emit([{**_plain(item), "used": item.name == used} for item in found])
        return
    table(
        ("", "model", "architecture", "parameters", "size", "serves", "learns", "why not"),
        [
            (
                "*" if item.name == used else "",
                item.name,
                item.architecture,
                f"{item.parameters / 1e6:.1f} M",
                size(item.size),
                "yes" if item.can_serve else "no",
                "yes" if item.can_learn else "no",
                item.why_not,
            )
            for item in found
        ],
        right="parameters size",
    )
    say("* is in use.")


@model.command("add")
def add(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A .gguf file, ollama:NAME, lmstudio:PUBLISHER/REPO, or hf:OWNER/REPO[/FILE]."
        ),
    ],
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
    copy: Annotated[bool, typer.Option("--copy", help="Copy the file into the home.")] = False,
    no_exam: _NO_EXAM = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a model known, and examine it; a file that is on the disk already is used in place."""
    with school(context) as door:
        with Bar() as bar:
            info = door.add_model(source, name=name, copy=copy, progress=bar)
        if not no_exam:
            try:
                workshop.sit_if_new(door, info.name)
            except ModelError as error:  # it is known all the same; `use` tries again
                complain(f"Added, but it could not sit its exam. {error.message}", error.remedy)
        known = door.abilities(info.name)
    closing = f"Added. Use it: nightschool model use {info.name}"
    if not info.can_serve:
        closing = "Added, but it cannot be used as things are now (see above)."
    _show(info, known, as_json, closing)


@model.command("use")
def use(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name from `model list`.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    no_exam: _NO_EXAM = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a model the base that answers and learns; first says what becomes of your versions."""
    with school(context) as door:
        changes = _changes(door, name)
        if not as_json:
            for sentence in changes:
                say(sentence)
        if dry_run:
            if as_json:
                emit({"model": name, "changes": changes, "done": False})
            return
        # Before the change: whoever asks meanwhile is answered as before.
        if not (no_exam or door.settings.model):
            workshop.sit_if_new(door, name)
        info = door.use_model(name)
        known = door.abilities(name)
    if as_json:
        emit({**_plain(info, known), "changes": changes, "done": True})
        return
    _show(info, known, as_json, f"{info.name} answers from the next question on.")


def _changes(door: Nightschool, name: str) -> list[str]:
    """What becomes of the versions; nothing can be said when the file of the old model is gone."""
    door.model(name)  # raises when there is no such model
    try:
        old = door.model().name
    except ModelError as error:
        return [error.message]
    return between(door.home, door.store, old, name).lines()


@model.command("card")
def card(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name; empty is the one in use.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a model is, what it can do here, and what it takes; its maker's card, if one lies by."""
    with school(context) as door:
        info = door.model(name)
        known = door.abilities(name)
    beside = Path(info.path).with_suffix(".md")
    text = beside.read_text(encoding="utf-8") if beside.is_file() else ""
    _show(info, known, as_json, f"\n{text}" if text else "")


def _plain(info: ModelInfo, known: Abilities | None = None) -> dict[str, object]:
    plain = {name: getattr(info, name) for name in ModelInfo.__dataclass_fields__}
    return plain if known is None else plain | {"abilities": known}


def _show(info: ModelInfo, known: Abilities, as_json: bool, closing: str) -> None:
    if as_json:
        emit(_plain(info, known))
        return
    rows = (
        ("name", info.name),
        ("title", info.title),
        ("file", info.path),
        ("sha-256", info.sha256),
        ("architecture", f"{info.architecture}, {info.layers} layers, width {info.width}"),
        ("parameters", f"{info.parameters / 1e6:.1f} million, {info.file_type}"),
        ("context", f"{info.context} tokens"),
        ("licence", info.licence or "not stated in the file"),
        ("can serve", _able(info.can_serve, info.serve_bytes, info.why_not)),
        ("can learn", _able(info.can_learn, info.learn_bytes, info.why_not)),
    )
    table(("", ""), rows)
    for sentence in known.lines() if info.can_serve else ():
        say(sentence)
    if closing:
        say(closing)


def _able(able: bool, needs: int, why_not: str) -> str:
    return f"yes, in about {size(needs)} of memory" if able else f"no: {why_not}"
