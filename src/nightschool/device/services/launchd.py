"""A launchd agent of the user (man launchd.plist). Written from its documentation, untested."""

from __future__ import annotations

import os
from xml.sax.saxutils import escape

from nightschool.device.services.installation import LABEL, Installation, Start, fill, template


def describe(start: Start, label: str = LABEL, kind: str = "launchd") -> Installation:
    """In the user's own session, so that input and screen can be seen."""
    values = {
        "label": label,
        "command": "\n".join(f"    <string>{escape(word)}</string>" for word in start.command),
    }
    file = start.user_home / "Library" / "LaunchAgents" / f"{label}.plist"
    session = f"gui/{os.getuid() if hasattr(os, 'getuid') else 0}"
    return Installation(
        kind=kind,
        file=file,
        text=fill(template("launchd/nightschool.plist"), values),
        enable=(("launchctl", "bootstrap", session, str(file)),),
        disable=(("launchctl", "bootout", f"{session}/{label}"),),
        ask=("launchctl", "print", f"{session}/{label}"),
        note="Untested on this system's version: it was written from Apple's documentation.",
    )
