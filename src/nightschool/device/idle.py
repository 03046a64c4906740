"""How long ago the user last touched the machine.

`idle_seconds()` is None when nobody here can know; callers then rely on the night window alone.
Sources, first that answers: Windows `GetLastInputInfo`; macOS HIDIdleTime; GNOME's idle monitor
over D-Bus; under other Wayland desktops logind's idle hint; X11's screen-saver extension (never
under Wayland, where opening the X server can block); without a desktop, the newest read of a
terminal of this user.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nightschool.device.tools import output


def idle_seconds(environment: Mapping[str, str] | None = None) -> float | None:
    """Seconds since the last input, or None when unknown. Takes milliseconds, never blocks long."""
    environment = os.environ if environment is None else environment
    return _first(_sources(sys.platform, environment))


def _sources(platform: str, environment: Mapping[str, str]) -> Iterable[Callable[[], float | None]]:
    if platform == "win32":
        return (_windows,)
    if platform == "darwin":
        return (_mac,)
    if environment.get("WAYLAND_DISPLAY"):
        return (_gnome, lambda: _logind(environment.get("XDG_SESSION_ID", "")))
    if environment.get("DISPLAY"):
        return (_gnome, lambda: _x11(environment["DISPLAY"]))
    return (terminal,)


def _first(sources: Iterable[Callable[[], float | None]]) -> float | None:
    for source in sources:
        found = source()
        if found is not None:
            return max(found, 0.0)
    return None


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


def _gnome() -> float | None:
    for name, path in (
        ("org.gnome.Mutter.IdleMonitor", "/org/gnome/Mutter/IdleMonitor/Core"),
        ("org.cinnamon.Muffin.IdleMonitor", "/org/cinnamon/Muffin/IdleMonitor/Core"),
    ):
        said = output(
            "gdbus", "call", "--session", "--timeout", "1", "--dest", name,
            "--object-path", path, "--method", f"{name}.GetIdletime",
        ) or output(
            "busctl", "--user", "--timeout=1", "call", name, path, name, "GetIdletime",
        )  # fmt: skip
        milliseconds = parse_bus(said or "")
        if milliseconds is not None:
            return milliseconds / 1000.0
    return None


def _logind(session: str) -> float | None:
    if not session:
        return None
    said = output(
        "loginctl", "show-session", session, "-p", "IdleHint", "-p", "IdleSinceHint"
    )  # fmt: skip
    return parse_logind(said or "", time.time())


def parse_logind(text: str, now: float) -> float | None:
    """Seconds since a session is idle, by logind's microseconds. A session that is not idle says
    nothing: many desktops never set the hint."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    since = found.get("IdleSinceHint", "")
    if found.get("IdleHint") != "yes" or not since.isdigit() or int(since) == 0:
        return None
    return max(now - int(since) / 1e6, 0.0)


def parse_bus(output: str) -> int | None:
    """The number in `(uint64 1234,)` (gdbus) or `t 1234` (busctl)."""
    found = re.fullmatch(r"\s*(?:\(uint64 (\d+),\)|t (\d+))\s*", output)
    return int(found.group(1) or found.group(2)) if found else None


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


def _x11(display: str) -> float | None:
    """Milliseconds without input from the X server, by its MIT-SCREEN-SAVER extension."""
    names = [ctypes.util.find_library(name) for name in ("X11", "Xss")]
    if None in names:
        return None
    try:
        x11, xss = (ctypes.CDLL(str(name)) for name in names)
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
