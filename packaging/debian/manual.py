"""The manual page, from the command's own help (man-pages(7), groff_man(7))."""

from __future__ import annotations

import re

import typer

from nightschool import __version__
from nightschool.cli.main import app


def page() -> str:
    """nightschool(1) as roff."""
    command = typer.main.get_command(app)
    rows = []
    for name, each in sorted(getattr(command, "commands", {}).items()):
        below = getattr(each, "commands", {})
        words = f"{name} {'|'.join(below)}" if below else name
        rows.append(f".TP\n.B {_plain(words)}\n{_plain((each.help or '').split(chr(10) * 2)[0])}")
    return f""".TH NIGHTSCHOOL 1 "" "nightschool {__version__}" "User Commands"
.SH NAME
nightschool \\- local model that goes to night school on your own files
.SH SYNOPSIS
.B nightschool
[\\fB\\-\\-home\\fR \\fIDIR\\fR] [\\fB\\-\\-debug\\fR] \\fICOMMAND\\fR ...
.SH DESCRIPTION
Watches the folders you name, keeps a search index of them, answers questions with citations, and
while you are away trains a small adapter on them, which is served only if it passes its exams.
Nothing leaves the machine. Each command has
.BR \\-\\-help .
.SH COMMANDS
{chr(10).join(rows)}
.SH SERVICE
.B systemctl \\-\\-user enable \\-\\-now nightschool
starts the service with your login;
.B nightschool nights on
lets it learn by itself.
.SH FILES
.TP
.I ~/.local/share/nightschool
Index, versions and settings. It stays when the package is removed.
.SH ENVIRONMENT
.TP
.B NIGHTSCHOOL_HOME
Another place for all of that.
.SH EXIT STATUS
0 done, 1 failed, 2 the request makes no sense, 3 refused by the gate or a guard, 130 interrupted.
"""


def _plain(text: str) -> str:
    """One line that roff takes as text."""
    line = re.sub(r"\s+", " ", text).strip().replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line
