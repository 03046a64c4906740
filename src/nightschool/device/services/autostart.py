"""Autostart entries for Linux desktops: the service where no systemd user manager runs, and the
icon (freedesktop.org's Desktop Application Autostart and Desktop Entry specifications)."""

from __future__ import annotations

from nightschool.device.services.installation import Installation, Start, fill, template

SERVICE, ICON = "nightschool.desktop", "nightschool-tray.desktop"


def describe(start: Start, entry: str = SERVICE, kind: str = "autostart") -> Installation:
    """Started at the next login of the desktop; nothing watches over it."""
    folder = start.user_home / ".config" / "autostart"
    # GLib looks for the program before it reads %% as %, and then finds none.
    words = ("env", *start.command) if "%" in start.command[0] else tuple(start.command)
    now = "nightschool start" if entry == SERVICE else "nightschool tray"
    return Installation(
        kind=kind,
        file=folder / entry,
        text=fill(
            template(f"xdg/{entry}"),
            {"command": " ".join(_quoted(word) for word in words)},
        ),
        note=f"It starts with your next login; `{now}` starts it now.",
        folders=(folder, folder.parent),
    )


def _quoted(word: str) -> str:
    """One argument of `Exec`: quoted, escaped once for quoting and once for a string value."""
    inner = "".join(f"\\{c}" if c in '"`$\\' else c for c in word)
    return '"' + inner.replace("\\", "\\\\").replace("%", "%%") + '"'
