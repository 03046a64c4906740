"""What installing the service means on one system: files, and commands to tell the system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nightschool.errors import NightschoolError

LABEL = "org.nightschool.service"
MARK = "Made by Nightschool."
"""Stands in every file we write: a file without it is somebody else's."""

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installation:
    """`file` gets `text` in `encoding`; `enable` starts it now and at each login, `disable` undoes
    that, `ask` succeeds when the system knows it. `note` is what the user should know."""

    kind: str
    file: Path
    text: str
    enable: tuple[Command, ...] = ()
    disable: tuple[Command, ...] = ()
    ask: Command = ()
    note: str = ""
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Start:
    """How the service is started: the program with its arguments, for the user of `user_home`."""

    command: Sequence[str]
    user_home: Path


def template(name: str) -> str:
    """A file of `service/`: beside the package when it was installed, else in the clone."""
    packaged = resources.files("nightschool.device").joinpath("templates", *name.split("/"))
    clone = Path(__file__).parents[4] / "service" / name
    for place in (packaged, clone):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise NightschoolError(f"The template {name} is missing.", "Install Nightschool again.")


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with every {{name}} replaced; a line that is left empty by it goes."""
    lines = []
    for line in text.splitlines():
        filled = line
        for name, value in values.items():
            filled = filled.replace("{{" + name + "}}", value)
        if filled.strip() or not line.strip():
            lines.append(filled)
    return "\n".join(lines) + "\n"
