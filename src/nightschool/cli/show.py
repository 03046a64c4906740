"""How results look: tables for people, JSON for programs, one line for errors.

Text from files and models is cleaned of control characters before it reaches a terminal, so a
document cannot move the cursor or change the window's title.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from nightschool.paths import PROGRESS_VARIABLE
from nightschool.records import Locator

_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_INLINE = _CONTROL | {ord(c): " " for c in "\t\n\r"}
_BLOCK = _CONTROL | {ord("\n"): "\n", ord("\t"): "    ", ord("\r"): ""}
_JSON = {code: f"\\u{code:04x}" for code in range(127, 160)}


def line(text: object) -> str:
    """One safe line."""
    return str(text).translate(_INLINE)


def block(text: str) -> str:
    """Safe text that may have several lines."""
    return text.translate(_BLOCK)


def for_program() -> bool:
    """Whether a program reads our stderr (see `daemon.jobs`)."""
    return os.environ.get(PROGRESS_VARIABLE) == "json"


def tell(**said: Any) -> None:
    """One JSON line on stderr, for a program."""
    print(json.dumps(said), file=sys.stderr, flush=True)


def complain(message: str, remedy: str = "", code: str = "") -> None:
    """One line on stderr: what happened, what to do. `code` names the error for programs."""
    if for_program():
        tell(message=message, remedy=remedy, code=code)
        return
    print(line(f"nightschool: {message} {remedy}".strip()), file=sys.stderr)


def say(text: str = "") -> None:
    """A paragraph on stdout."""
    print(block(text))


def emit(value: Any) -> None:
    """The value as JSON on stdout: records become objects, paths and enums strings."""
    short = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    print(json.dumps(plain(value), ensure_ascii=short, indent=2).translate(_JSON))


def plain(value: Any) -> Any:
    """Only what JSON knows. A locator also says `where`, as a person would read it."""
    if isinstance(value, Locator):
        return {**{key: plain(item) for key, item in asdict(value).items()}, "where": str(value)}
    if is_dataclass(value) and not isinstance(value, type):
        names = value.__dataclass_fields__
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    return value


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], right: str = "") -> None:
    """A table on stdout; the headings named in `right` are set flush right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_header=any(headings))
    flush = right.split()
    for heading in headings:
        drawn.add_column(heading, justify="right" if heading in flush else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(line(cell) for cell in row))
    terminal = sys.stdout.isatty()
    # Elsewhere than on a terminal nothing is cut: a table is only as wide as its content.
    Console(width=None if terminal else 4000, markup=False, highlight=False, emoji=False).print(
        drawn
    )


def size(count: int) -> str:
    """Bytes for people: `12.3 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")
