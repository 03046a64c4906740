"""What installing the service means on one system: files, and commands to tell the system."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nightschool import __version__
from nightschool.errors import NightschoolError, UsageError

LABEL = "org.nightschool.service"
MARK = "Made by Nightschool."
"""Stands in every file we write: a file without it is somebody else's."""
_WRITER = re.compile(r"Written by version ([0-9A-Za-z.+-]+[0-9A-Za-z])")

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installation:
    """`file` gets `text` in `encoding`; `enable` starts it now and at each login, `disable` undoes
    that, `ask` succeeds when the system knows it. `note` is what the user should know.

    `also` are texts that mean the same on another day (with and without a desktop), `folders` those
    that go with the file when they are empty, innermost first.
    """

    kind: str
    file: Path
    text: str
    enable: tuple[Command, ...] = ()
    disable: tuple[Command, ...] = ()
    ask: Command = ()
    note: str = ""
    encoding: str = "utf-8"
    also: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """How the service is started: the program with its arguments, for the user of `user_home`."""

    command: Sequence[str]
    user_home: Path

    def __post_init__(self) -> None:
        """No file format here has a sound way to write a line break into a command."""
        for word in self.command:
            if any(ord(c) < 32 or ord(c) == 127 for c in word):
                raise UsageError(
                    f"{word!r} holds a control character, which no service file can name.",
                    "Use another folder (--home).",
                )

    def verb(self, *words: str) -> Start:
        """The same program for something else than `up`."""
        return Start((*self.command[:-1], *words), self.user_home)


def writer(text: str) -> str:
    """The version that wrote a file of ours, or "an earlier version"."""
    found = _WRITER.search(text)
    return f"version {found.group(1)}" if found else "an earlier version"


def template(name: str) -> str:
    """A file of `service/`: beside the package when it was installed, else in the clone."""
    packaged = resources.files("nightschool.device").joinpath("templates", *name.split("/"))
    clone = Path(__file__).parents[4] / "service" / name
    for place in (packaged, clone):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise NightschoolError(f"The template {name} is missing.", "Install Nightschool again.")


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with every {{name}} replaced; a line that is left empty by it goes.

    A value that looks like a name itself stays as it is.
    """
    known = {**values, "version": __version__}
    lines = []
    for line in text.splitlines():
        filled = re.sub(r"\{\{(\w+)\}\}", lambda found: known[found.group(1)], line)
        if filled.strip() or not line.strip():
            lines.append(filled)
    return "\n".join(lines) + "\n"
