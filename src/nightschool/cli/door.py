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

if TYPE_CHECKING:
    from nightschool.api import Nightschool


@dataclass(frozen=True, slots=True)
class Options:
    """The options that stand before the verb."""

    home: str | None = None
    debug: bool = False


@contextmanager
def school(context: typer.Context) -> Iterator[Nightschool]:
    """The door for this command; what it started ends with it."""
    from nightschool.api import Nightschool
    from nightschool.daemon import client
    from nightschool.daemon.through import ThroughService
    from nightschool.paths import home

    options: Options = context.find_root().obj or Options()
    service = client.connect(home(options.home))
    opened = Nightschool(options.home) if service is None else ThroughService(options.home, service)
    with opened:
        yield opened
