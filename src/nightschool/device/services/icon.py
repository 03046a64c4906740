"""The tray icon at login: an entry of its own, beside the service's, because it may be absent."""

from __future__ import annotations

import sys

from nightschool.device.services import autostart, launchd, task
from nightschool.device.services.installation import LABEL, Installation, Start

KIND = "tray"
WAIT_S = 60
"""At a login the panel may come after us."""


def describe(start: Start, platform: str = sys.platform) -> Installation:
    """`start` is the service's; the icon is the same program with another verb."""
    shown = start.verb("tray", "--wait", str(WAIT_S))
    if platform == "win32":
        return task.describe(shown, f"{task.NAME} tray", KIND)
    if platform == "darwin":
        return launchd.describe(shown, LABEL.replace("service", "tray"), KIND)
    return autostart.describe(shown, autostart.ICON, KIND)
