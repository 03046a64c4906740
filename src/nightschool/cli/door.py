"""Where a request goes: the one place that decides who answers the command.

Today every command opens the home in its own process and starts the children it needs.
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
    """The door for this command; its children end with it."""
    from nightschool.api import Nightschool

    options: Options = context.find_root().obj or Options()
    with Nightschool(options.home) as opened:
        yield opened
