"""Where an icon can be shown here, and by which of pystray's backends.

On Linux a panel either watches for status notifiers (`org.kde.StatusNotifierWatcher` on the session
bus: KDE, Xfce, LXQt, Cinnamon, GNOME with its AppIndicator extension) or owns the older X selection
`_NET_SYSTEM_TRAY_Sn` (freedesktop.org's System Tray Protocol). Where nobody does either, pystray
would only fail later, and less clearly.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nightschool.device import bus
from nightschool.device.bus import BusError
from nightschool.errors import NightschoolError

WATCHER = "org.kde.StatusNotifierWatcher"
PACKAGES = "python3-gi gir1.2-ayatanaappindicator3-0.1 gir1.2-gtk-3.0"
"""The system's packages that draw the menu on Linux, by their names in Debian and Ubuntu."""
_INSTEAD = "The service goes on without an icon; `nightschool open` shows the same and more."
_SYSTEM = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib64/python{0}.{1}/site-packages",
    "/usr/lib/python{0}.{1}/site-packages",
)


@dataclass(frozen=True, slots=True)
class Place:
    """`backend` is pystray's name; `note` what the user should know, empty when all is well."""

    backend: str
    note: str = ""


class NoTray(NightschoolError):
    """No icon can be shown here; the message says why."""


def find(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Place:
    """The place for the icon. Raises NoTray."""
    environment = os.environ if environment is None else environment
    if platform in ("win32", "darwin"):
        return Place(platform)
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        raise NoTray(
            "There is no desktop here: neither DISPLAY nor WAYLAND_DISPLAY is set.", _INSTEAD
        )
    watched = _watched(environment)
    if watched and _toolkit() == "appindicator":
        return Place("appindicator")
    # Under Wayland the X server may have to be started for the question, and shows no icons.
    owned = not environment.get("WAYLAND_DISPLAY") and _owned(environment.get("DISPLAY", ""))
    toolkit = _toolkit() if owned else ""
    if owned and toolkit:
        return Place("gtk")
    missing = f"PyGObject is missing, or not for this Python: install {PACKAGES} (or the like)"
    if owned:
        return Place("xorg", f"A click opens the status page; there is no menu: {missing}.")
    if watched:
        raise NoTray(f"The menu cannot be shown: {missing}.", _INSTEAD)
    raise NoTray(
        "No tray icon can be shown: nothing on this desktop watches for one. (GNOME needs its "
        "extension AppIndicator and KStatusNotifierItem Support.)",
        _INSTEAD,
    )


def _watched(environment: Mapping[str, str]) -> bool:
    """Whether a panel shows status notifiers."""
    try:
        return bus.owned(WATCHER, environment)
    except BusError:
        return False


def _owned(display: str) -> bool:
    """Whether a panel on this X display embeds the windows of icons."""
    if not display:
        return False
    from Xlib import error
    from Xlib.display import Display

    try:
        found = Display(display)
    except (error.DisplayError, error.ConnectionClosedError, OSError):
        return False
    try:
        name = f"_NET_SYSTEM_TRAY_S{found.get_default_screen()}"
        return bool(found.get_selection_owner(found.intern_atom(name)))
    finally:
        found.close()


def _toolkit() -> str:
    """What PyGObject offers: "appindicator", "gtk", or empty without it."""
    if not borrow("gi"):
        return ""
    import gi

    try:
        gi.require_version("Gtk", "3.0")
    except ValueError:
        return ""
    for name in ("AppIndicator3", "AyatanaAppIndicator3"):
        try:
            gi.require_version(name, "0.1")
        except ValueError:
            continue
        return "appindicator"
    return "gtk"


def borrow(name: str, folders: Iterable[str] = _SYSTEM) -> bool:
    """Make one package of the system's Python importable here, when it fits this very Python.

    PyGObject has no wheels, so an environment of its own never holds it; the desktop's Python
    mostly does. Nothing else of that Python becomes importable.
    """
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return True
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]  # names the implementation and its version
    for pattern in folders:
        package = Path(pattern.format(*sys.version_info[:2])) / name
        if not (package / f"_{name}{suffix}").is_file():
            continue
        spec = importlib.util.spec_from_file_location(
            name, package / "__init__.py", submodule_search_locations=[str(package)]
        )
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (ImportError, OSError):
            del sys.modules[name]
            continue
        return True
    return False
