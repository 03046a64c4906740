"""A systemd user unit (man systemd.service, systemd.unit)."""

from __future__ import annotations

from nightschool.device.services.installation import Installation, Start, fill, template

UNIT = "nightschool.service"


def describe(start: Start, *, desktop: bool) -> Installation:
    """With a desktop it follows the graphical session, else the user's manager."""
    folder = start.user_home / ".config" / "systemd" / "user"
    file = folder / UNIT
    control = ("systemctl", "--user")
    return Installation(
        kind="systemd",
        file=file,
        text=_text(start, desktop=desktop),
        enable=((*control, "daemon-reload"), (*control, "enable", "--now", UNIT)),
        disable=((*control, "disable", "--now", UNIT), (*control, "daemon-reload")),
        ask=(*control, "is-active", UNIT),
        note="" if desktop else "To let it run while you are not logged in: loginctl enable-linger",
        also=(_text(start, desktop=not desktop),),
        folders=(folder, folder.parent, folder.parent.parent),
    )


def _text(start: Start, *, desktop: bool) -> str:
    session = "After=graphical-session.target\nPartOf=graphical-session.target" if desktop else ""
    values = {
        "session": session,
        "command": " ".join(
            _quoted(word, variables=at > 0) for at, word in enumerate(start.command)
        ),
        "target": "graphical-session.target" if desktop else "default.target",
    }
    return fill(template(f"systemd/{UNIT}"), values)


def _quoted(word: str, *, variables: bool) -> str:
    """One word of ExecStart: quoted, and no character of it means anything.

    `variables`: `$` is replaced in the arguments, but not in the program's own path.
    """
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + (plain.replace("$", "$$") if variables else plain) + '"'
