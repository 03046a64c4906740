"""Writes docs/cli.md from the command's own help. Run it after changing the command line.

.venv/bin/python packaging/gen_cli_docs.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from nightschool.cli.main import app

TARGET = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
HEAD = """# The command

Made from the command's own help by `packaging/gen_cli_docs.py`; a test keeps the two in step.

Every command that reads takes `--json`. Progress and errors go to stderr, results to stdout.
Exit codes: 0 done, 1 failed, 2 the request makes no sense, 3 refused by the gate or a guard,
130 interrupted. An error is one line: what happened, and what to do.
"""
_SHELL = ("install-completion", "show-completion")


def render() -> str:
    """The whole page."""
    parts = [HEAD]
    for path, text in sorted(pages(typer.main.get_command(app), "nightschool", None)):
        parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def pages(command: Any, path: str, parent: Any) -> Iterator[tuple[str, str]]:
    """The command path and help text of `command` and everything below it."""
    name = path.rsplit(" ", 1)[-1]
    command.params = [item for item in command.params if item.name not in _hidden()]
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=92)
    yield path, command.get_help(context).rstrip()
    for below in getattr(command, "commands", {}).values():
        yield from pages(below, f"{path} {below.name}", context)


def _hidden() -> set[str]:
    """Parameters that depend on the shell this runs in."""
    return {name.replace("-", "_") for name in _SHELL}


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET)
