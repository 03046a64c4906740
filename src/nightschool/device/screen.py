"""Whether something fills the screen: a film, a game, slides. Nobody touches a key then.

Sources: Windows `SHQueryUserNotificationState`; GNOME's session manager (inhibited idling, which
players and slides ask for); notifications switched off (KDE); the state of X11's active window.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Mapping

from nightschool.device.tools import output

_BUSY = (2, 3, 4)
"""QUNS_BUSY, QUNS_RUNNING_D3D_FULL_SCREEN, QUNS_PRESENTATION_MODE."""
_IDLE_FLAG = "8"


def full_screen(environment: Mapping[str, str] | None = None) -> bool | None:
    """Whether something fills the screen; False without a screen, None when nobody knows."""
    environment = os.environ if environment is None else environment
    if sys.platform == "win32":
        return _windows()
    if sys.platform == "darwin":
        return None
    if not (environment.get("WAYLAND_DISPLAY") or environment.get("DISPLAY")):
        return False
    found = [_gnome(), _notifications()]
    if environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        found.append(_x11())
    if any(found):
        return True
    return None if all(item is None for item in found) else False


def _windows() -> bool | None:
    windll = getattr(ctypes, "windll", None)
    if windll is None:
        return None
    state = ctypes.c_int(0)
    if windll.shell32.SHQueryUserNotificationState(ctypes.byref(state)) != 0:
        return None
    return state.value in _BUSY


def _gnome() -> bool | None:
    name = "org.gnome.SessionManager"
    return parse_bus(
        output(
            "gdbus", "call", "--session", "--timeout", "1", "--dest", name,
            "--object-path", "/org/gnome/SessionManager", "--method", f"{name}.IsInhibited",
            _IDLE_FLAG,
        )
        or ""
    )  # fmt: skip


def _notifications() -> bool | None:
    return parse_bus(
        output(
            "gdbus", "call", "--session", "--timeout", "1",
            "--dest", "org.freedesktop.Notifications",
            "--object-path", "/org/freedesktop/Notifications",
            "--method", "org.freedesktop.DBus.Properties.Get",
            "org.freedesktop.Notifications", "Inhibited",
        )
        or ""
    )  # fmt: skip


def parse_bus(text: str) -> bool | None:
    """The truth value in `(true,)` or `(<false>,)`."""
    found = re.fullmatch(r"\s*\(<?(true|false)>?,\)\s*", text)
    return found.group(1) == "true" if found else None


def _x11() -> bool | None:
    window = re.search(r"0x[0-9a-f]+", output("xprop", "-root", "_NET_ACTIVE_WINDOW") or "")
    if window is None:
        return None
    state = output("xprop", "-id", window.group(0), "_NET_WM_STATE")
    return None if state is None else "_NET_WM_STATE_FULLSCREEN" in state
