"""A task of the Windows Task Scheduler at logon. Written from its documentation, untested."""

from __future__ import annotations

import getpass
import subprocess
from xml.sax.saxutils import escape

from nightschool.device.services.installation import Installation, Start, fill, template

NAME = "Nightschool"


def describe(start: Start, name: str = NAME, kind: str = "task") -> Installation:
    """In the user's own session: a service in session 0 sees neither input nor tray."""
    program, *arguments = start.command
    values = {
        "label": name,
        "user": escape(getpass.getuser()),
        "program": escape(program),
        "arguments": escape(subprocess.list2cmdline(arguments)),
    }
    file = start.user_home / "AppData" / "Local" / f"{name.lower().replace(' ', '-')}-task.xml"
    return Installation(
        kind=kind,
        file=file,
        text=fill(template("windows/nightschool.xml"), values),
        enable=(
            ("schtasks", "/Create", "/TN", name, "/XML", str(file), "/F"),
            ("schtasks", "/Run", "/TN", name),
        ),
        disable=(("schtasks", "/End", "/TN", name), ("schtasks", "/Delete", "/TN", name, "/F")),
        ask=("schtasks", "/Query", "/TN", name),
        note="Untested on this system's version: it was written from Microsoft's documentation.",
        encoding="utf-16",
    )
