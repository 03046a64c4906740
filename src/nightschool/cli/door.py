"""Where a request goes: the one place that decides who answers the command.

The service does it when it runs; else the command opens the home itself, starts the children it
needs, and ends them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from nightschool import paths
from nightschool.errors import Refused
from nightschool.paths import Home

if TYPE_CHECKING:
    from nightschool.api import Nightschool


@dataclass(frozen=True, slots=True)
class Options:
    """The options that stand before the verb."""

    home: str | None = None
    debug: bool = False


def home_of(context: typer.Context) -> Home:
    """The home this command is about."""
    options: Options = context.find_root().obj or Options()
    return paths.home(options.home)


def stays(context: typer.Context) -> None:
    """Raises Refused on a stick, for what would leave something on the computer."""
    if home_of(context).stick is not None:
        raise Refused(
            "On a stick nothing is installed on the computer.",
            "Start the launcher on the stick instead; it leaves nothing behind.",
        )


@contextmanager
def school(context: typer.Context) -> Iterator[Nightschool]:
    """The door for this command; what it started ends with it."""
    from nightschool.api import Nightschool
    from nightschool.daemon import client
    from nightschool.daemon.through import ThroughService

    options: Options = context.find_root().obj or Options()
    service = client.connect(home_of(context))
    opened = Nightschool(options.home) if service is None else ThroughService(options.home, service)
    with opened:
        yield opened
