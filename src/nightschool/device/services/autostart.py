"""An autostart entry for desktops without a systemd user manager (freedesktop.org's Desktop
Application Autostart and Desktop Entry specifications)."""

from __future__ import annotations

from nightschool.device.services.installation import Installation, Start, fill, template


def describe(start: Start) -> Installation:
    """Started at the next login of the desktop; nothing watches over it."""
    file = start.user_home / ".config" / "autostart" / "nightschool.desktop"
    return Installation(
        kind="autostart",
        file=file,
        text=fill(
            template("xdg/nightschool.desktop"),
            {"command": " ".join(_quoted(word) for word in start.command)},
        ),
        note="It starts with your next login; `nightschool start` starts it now.",
    )


def _quoted(word: str) -> str:
    """One argument of `Exec`: quoted, escaped once for quoting and once for a string value."""
    inner = "".join(f"\\{c}" if c in '"`$\\' else c for c in word)
    return '"' + inner.replace("\\", "\\\\").replace("%", "%%") + '"'
