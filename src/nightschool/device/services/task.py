"""A task of the Windows Task Scheduler at logon. Written from its documentation, untested."""

from __future__ import annotations

import getpass
import subprocess
from xml.sax.saxutils import escape

from nightschool.device.services.installation import Installation, Start, fill, template

NAME = "Nightschool"


def describe(start: Start) -> Installation:
    """In the user's own session: a service in session 0 sees neither input nor tray."""
    program, *arguments = start.command
    values = {
        "label": NAME,
        "user": escape(getpass.getuser()),
        "program": escape(program),
        "arguments": escape(subprocess.list2cmdline(arguments)),
    }
    file = start.user_home / "AppData" / "Local" / "nightschool-task.xml"
    return Installation(
        kind="task",
        file=file,
        text=fill(template("windows/nightschool.xml"), values),
        enable=(
            ("schtasks", "/Create", "/TN", NAME, "/XML", str(file), "/F"),
            ("schtasks", "/Run", "/TN", NAME),
        ),
        disable=(("schtasks", "/End", "/TN", NAME), ("schtasks", "/Delete", "/TN", NAME, "/F")),
        ask=("schtasks", "/Query", "/TN", NAME),
        note="Untested on this system's version: it was written from Microsoft's documentation.",
        encoding="utf-16",
    )
