"""How long ago the user last touched the machine.

`idle_seconds()` is None when nobody here can know; callers then rely on the night window alone.
Sources, first that answers: Windows `GetLastInputInfo`; macOS HIDIdleTime; on Linux GNOME's (or
Cinnamon's) idle monitor over D-Bus; other Wayland desktops by `ext-idle-notify-v1`, then logind's
idle hint; X11's screen-saver extension (never under Wayland, where opening the X server can block).
Besides, wherever it is: the newest read of a terminal of this user, for whoever works from afar.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nightschool.device import bus, wayland
from nightschool.device.tools import output

BUS_S = 1.0
Source = Callable[[], float | None]


class Input:
    """Asks the source that answered last, and the others when it does not answer any more."""

    def __init__(self, platform: str, environment: Mapping[str, str]) -> None:
        self._sources = list(_sources(platform, environment))
        self._far = platform not in ("win32", "darwin")
        self._desktop = not self._far or _desktop(environment)

    def seconds(self) -> float | None:
        """Seconds since the last input, or None when unknown."""
        found: float | None = None
        for source in self._sources:
            found = source()
            if found is not None:
                self._sources.remove(source)
                self._sources.insert(0, source)
                break
        if found is None and self._desktop:
            return None  # an old terminal says nothing of who sits before the desktop
        far = terminal() if self._far else None
        known = [max(value, 0.0) for value in (found, far) if value is not None]
        return min(known, default=None)


_inputs: dict[int, Input] = {}


def idle_seconds(environment: Mapping[str, str] | None = None) -> float | None:
    """Seconds since the last input, or None when unknown. Takes milliseconds, never blocks long."""
    if environment is not None:
        return Input(sys.platform, environment).seconds()
    return _inputs.setdefault(0, Input(sys.platform, os.environ)).seconds()


def _wayland(environment: Mapping[str, str]) -> bool:
    """A service that began before the desktop does not know its name: the socket tells as well."""
    return bool(environment.get("WAYLAND_DISPLAY")) or wayland.socket_path(environment) is not None


def _desktop(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("DISPLAY")) or _wayland(environment)


def _sources(platform: str, environment: Mapping[str, str]) -> Iterable[Source]:
    if platform == "win32":
        return (_windows,)
    if platform == "darwin":
        return (_mac,)

    def gnome() -> float | None:
        return _gnome(environment)

    def logind() -> float | None:
        return _logind(environment.get("XDG_SESSION_ID", ""))

    if _wayland(environment):
        return (gnome, wayland.Away(environment).seconds, logind)
    if environment.get("DISPLAY"):
        return (gnome, lambda: _x11(environment["DISPLAY"]))
    return (gnome, logind)


def terminal(
    folders: Iterable[Path] = (Path("/dev/pts"), Path("/dev")), now: float | None = None
) -> float | None:
    """Seconds since one of this user's terminals was read; None when there is no terminal."""
    newest: float | None = None
    for folder in folders:
        pattern = "[0-9]*" if folder.name == "pts" else "tty[0-9]*"
        for device in folder.glob(pattern):
            try:
                found = device.stat()
            except OSError:
                continue
            if hasattr(os, "getuid") and found.st_uid != os.getuid():
                continue
            newest = max(found.st_atime, newest or 0.0)
    return None if newest is None else (time.time() if now is None else now) - newest


def _gnome(environment: Mapping[str, str]) -> float | None:
    for name, path in (
        ("org.gnome.Mutter.IdleMonitor", "/org/gnome/Mutter/IdleMonitor/Core"),
        ("org.cinnamon.Muffin.IdleMonitor", "/org/cinnamon/Muffin/IdleMonitor/Core"),
    ):
        try:
            (milliseconds,) = bus.call(
                name, path, name, "GetIdletime", environment=environment, timeout_s=BUS_S
            )
        except (bus.BusError, ValueError):
            continue
        if isinstance(milliseconds, int):
            return milliseconds / 1000.0
    return None


def _logind(session: str) -> float | None:
    """The hint of the session, or of all sessions of this user together."""
    whose = ("show-session", session) if session else ("show-user", str(os.getuid()))
    return parse_logind(
        output("loginctl", *whose, "-p", "IdleHint", "-p", "IdleSinceHint") or "", time.time()
    )


def parse_logind(text: str, now: float) -> float | None:
    """Seconds since a session is idle, by logind's microseconds. A session that is not idle says
    nothing: many desktops never set the hint."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    since = found.get("IdleSinceHint", "")
    if found.get("IdleHint") != "yes" or not since.isdigit() or int(since) == 0:
        return None
    return max(now - int(since) / 1e6, 0.0)


def _mac() -> float | None:
    return parse_ioreg(output("ioreg", "-c", "IOHIDSystem", "-d", "4") or "")


def parse_ioreg(output: str) -> float | None:
    """The smallest HIDIdleTime (nanoseconds) of all input systems, in seconds."""
    found = [int(number) for number in re.findall(r'"HIDIdleTime"\s*=\s*(\d+)', output)]
    return min(found) / 1e9 if found else None


class _ScreenSaverInfo(ctypes.Structure):
    _fields_ = (
        ("window", ctypes.c_ulong),
        ("state", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("til_or_since", ctypes.c_ulong),
        ("idle", ctypes.c_ulong),
        ("event_mask", ctypes.c_ulong),
    )


@functools.cache
def _x11_libraries() -> tuple[Any, Any] | None:
    """Xlib and its screen-saver extension, by the names that their makers promise to keep: looking
    for them by any other starts a compiler."""
    try:
        x11, xss = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXss.so.1")
    except OSError:
        return None
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = [ctypes.c_char_p]
    x11.XDefaultRootWindow.restype = ctypes.c_ulong
    x11.XDefaultRootWindow.argtypes = [ctypes.c_void_p]
    x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    x11.XFree.argtypes = [ctypes.c_void_p]
    xss.XScreenSaverAllocInfo.restype = ctypes.POINTER(_ScreenSaverInfo)
    xss.XScreenSaverQueryInfo.argtypes = [
        ctypes.c_void_p, ctypes.c_ulong, ctypes.POINTER(_ScreenSaverInfo),
    ]  # fmt: skip
    return x11, xss


def _x11(display: str) -> float | None:
    """Milliseconds without input from the X server, by its MIT-SCREEN-SAVER extension."""
    libraries = _x11_libraries()
    if libraries is None:
        return None
    x11, xss = libraries
    connection = x11.XOpenDisplay(display.encode())
    if not connection:
        return None
    try:
        info = xss.XScreenSaverAllocInfo()
        known = xss.XScreenSaverQueryInfo(connection, x11.XDefaultRootWindow(connection), info)
        idle = info.contents.idle / 1000.0 if known else None
        x11.XFree(info)
        return idle
    finally:
        x11.XCloseDisplay(connection)


def _windows() -> float | None:
    class LastInput(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("tick", ctypes.c_uint))

    windll = getattr(ctypes, "windll", None)
    if windll is None:
        return None
    last = LastInput(ctypes.sizeof(LastInput), 0)
    if not windll.user32.GetLastInputInfo(ctypes.byref(last)):
        return None
    # Both are 32-bit millisecond counters that wrap every 49.7 days.
    passed: int = (windll.kernel32.GetTickCount() - last.tick) & 0xFFFFFFFF
    return passed / 1000.0
