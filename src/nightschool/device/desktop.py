"""One notification on the user's desktop.

Linux: `org.freedesktop.Notifications` on the session bus (Desktop Notifications Specification 1.2);
macOS: `osascript`; Windows: a toast through PowerShell. The last two were written from their
makers' documentation and are untested. Texts may hold names of files: they are data everywhere,
never markup, script or option.
"""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from collections.abc import Mapping

from nightschool.device import bus
from nightschool.device.bus import BusError
from nightschool.errors import Refused

NAME = "Nightschool"
MAX_CHARACTERS = 300
TIMEOUT_S = 10.0
_SERVER = "org.freedesktop.Notifications"
_PATH = "/org/freedesktop/Notifications"
_NORMAL = 1
"""Urgency: shown, and gone by itself."""
_MAC = (
    "-e", "on run argv",
    "-e", "display notification (item 2 of argv) with title (item 1 of argv)",
    "-e", "end run",
)  # fmt: skip
_TOAST = """
$ErrorActionPreference = 'Stop'
$manager = [Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, \
ContentType = WindowsRuntime]
$card = $manager::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)
$lines = $card.GetElementsByTagName('text')
[void]$lines.Item(0).AppendChild($card.CreateTextNode($env:NIGHTSCHOOL_TITLE))
[void]$lines.Item(1).AppendChild($card.CreateTextNode($env:NIGHTSCHOOL_TEXT))
$toast = [Windows.UI.Notifications.ToastNotification]::new($card)
$program = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\\WindowsPowerShell\\v1.0\\powershell.exe'
$manager::CreateToastNotifier($program).Show($toast)
"""


def show(title: str, text: str, environment: Mapping[str, str] | None = None) -> None:
    """Show it once. Takes seconds at worst. Raises Refused, saying why nobody could see it."""
    environment = os.environ if environment is None else environment
    title, text = clean(title), clean(text)
    if sys.platform == "win32":
        _run(toast(), {**environment, "NIGHTSCHOOL_TITLE": title, "NIGHTSCHOOL_TEXT": text})
    elif sys.platform == "darwin":
        _run(mac(title, text), environment)
    else:
        _bus(title, text, environment)


def clean(text: str) -> str:
    """One line without control and direction characters, of bounded length."""
    spaced = "".join(" " if c in "\n\r\t" else c for c in text)
    plain = "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    words = " ".join(plain.split())
    return words if len(words) <= MAX_CHARACTERS else words[: MAX_CHARACTERS - 1] + "…"


def mac(title: str, text: str) -> tuple[str, ...]:
    """The command for macOS: both texts are arguments of the script, not parts of it."""
    return ("osascript", *_MAC, title, text)


def toast() -> tuple[str, ...]:
    """The command for Windows: it reads both texts from its environment and makes text nodes."""
    return ("powershell", "-NoProfile", "-NonInteractive", "-Command", _TOAST)


def _bus(title: str, text: str, environment: Mapping[str, str]) -> None:
    from html import escape  # 5 ms that the daemon's start need not pay

    try:
        can = bus.call(_SERVER, _PATH, _SERVER, "GetCapabilities", environment=environment)[0]
        body = escape(text, quote=False) if "body-markup" in can else text
        hints = {"urgency": ("y", _NORMAL), "desktop-entry": ("s", "nightschool")}
        bus.call(
            _SERVER, _PATH, _SERVER, "Notify", "susssasa{sv}i",
            (NAME, 0, "", title, body, [], hints, -1), environment=environment,
        )  # fmt: skip
    except BusError as error:
        why = "Nothing here shows notifications" if error.name in bus.NOBODY else error.message
        raise Refused(f"{why.rstrip('.')}.", "See `nightschool status` instead.") from error


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL, check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(
            f"The notification could not be shown ({type(error).__name__}).",
            "See `nightschool status` instead.",
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Refused(
            f"The notification could not be shown: {said[-1] if said else done.returncode}.",
            "See `nightschool status` instead.",
        )
