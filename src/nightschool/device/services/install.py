"""Install, remove and ask: the only place that changes how the service is started."""

from __future__ import annotations

import contextlib
import difflib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nightschool.device.services import autostart, icon, launchd, systemd, task
from nightschool.device.services.installation import MARK, Installation, Start, writer
from nightschool.device.tools import output
from nightschool.errors import NightschoolError, Refused, UsageError
from nightschool.paths import HOME_VARIABLE

KINDS = ("systemd", "launchd", "task", "autostart")
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class State:
    """`installed`: the file is there and ours; `current`: as this version would write it;
    `running`: the system says that it runs (None: nobody to ask); `writer`: who wrote it, and
    `changes` what this version would write differently, line by line."""

    kind: str
    file: Path
    installed: bool
    current: bool
    running: bool | None
    writer: str = ""
    changes: str = ""


def start_of(
    home: str | None, environment: Mapping[str, str] | None = None, user_home: Path | None = None
) -> Start:
    """How this very installation is started; `home` only when it is not the usual one."""
    environment = os.environ if environment is None else environment
    chosen = home or environment.get(HOME_VARIABLE)
    program = Path(sys.executable)
    quiet = program.with_name("pythonw.exe")
    program = quiet if sys.platform == "win32" and quiet.exists() else program
    words = [str(program), "-m", "nightschool"]
    if chosen:
        words += ["--home", str(Path(chosen).expanduser().absolute())]
    return Start((*words, "up"), user_home or Path.home())


def describe(kind: str, start: Start, environment: Mapping[str, str] | None = None) -> Installation:
    """The installation of one kind, or of the one that fits here when `kind` is empty."""
    environment = os.environ if environment is None else environment
    kind = kind or usual()
    desktop = bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
    if kind == "systemd":
        return systemd.describe(start, desktop=desktop)
    if kind == "launchd":
        return launchd.describe(start)
    if kind == "task":
        return task.describe(start)
    if kind == "autostart":
        return autostart.describe(start)
    if kind == icon.KIND:
        return icon.describe(start)
    raise UsageError(f"{kind!r} is no kind of service.", f"One of: {', '.join(KINDS)}.")


def usual() -> str:
    """The kind that fits this system.

    A desktop that does not start `graphical-session.target` (Xfce and others) would never start the
    unit that follows it; there, the desktop's own autostart does.
    """
    if sys.platform == "win32":
        return "task"
    if sys.platform == "darwin":
        return "launchd"
    if not output("systemctl", "--user", "show-environment"):
        return "autostart"
    desktop = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    followed = output("systemctl", "--user", "is-active", "graphical-session.target")
    return "autostart" if desktop and not followed else "systemd"


def install(
    wanted: Installation, others: Iterable[Installation] = (), *, replace: bool = False
) -> None:
    """Write the file and tell the system. Raises Refused as `check` does.

    When the system refuses, all is as it was before.
    """
    before, here = check(wanted, others, replace=replace)
    for other in here:
        remove(other)
    if before is not None:
        for command in wanted.disable[:1]:
            _try(command)
    _write(wanted, wanted.text)
    for command in wanted.enable:
        try:
            _run(command)
        except NightschoolError:
            remove(wanted)
            if before is not None:
                _write(wanted, before)
                for again in wanted.enable:
                    _try(again)
            raise


def check(
    wanted: Installation, others: Iterable[Installation] = (), *, replace: bool = False
) -> tuple[str | None, list[Installation]]:
    """What stands in the place of `wanted`, and which of `others` are installed.

    Raises Refused when it is somebody else's file, and, unless `replace`, when it is one of ours
    that this version would write differently, or when another one would start the service twice.
    """
    before = _read(wanted)
    if before is not None and MARK not in before:
        raise Refused(
            f"{wanted.file} exists and was not made by Nightschool.", "Move it away first."
        )
    here = [other for other in others if state(other).installed]
    remedy = "To replace it: `nightschool service install --replace`."
    if replace:
        return before, here
    if before is not None and before not in (wanted.text, *wanted.also):
        raise Refused(
            f"A service written by {writer(before)} is installed ({wanted.file}), and this version "
            "would write it differently.",
            remedy,
        )
    if here:
        raise Refused(
            f"The service is installed already, by {here[0].kind} ({here[0].file}); a second one "
            "would start it twice.",
            remedy,
        )
    return before, here


def _write(wanted: Installation, text: str) -> None:
    try:
        wanted.file.parent.mkdir(parents=True, exist_ok=True)
        wanted.file.write_text(text, encoding=wanted.encoding)
    except OSError as error:
        raise NightschoolError(
            f"Cannot write {wanted.file}: {error.strerror or error}.", "Check its folder."
        ) from error


def remove(wanted: Installation) -> bool:
    """Stop it and take all of it away; False when nothing of ours was there."""
    text = _read(wanted)
    if text is None or MARK not in text:
        return False
    for command in wanted.disable[:1]:
        _try(command)
    wanted.file.unlink(missing_ok=True)
    for command in wanted.disable[1:]:
        _try(command)
    for folder in wanted.folders:
        with contextlib.suppress(OSError):  # somebody else's file is in it
            folder.rmdir()
    return True


def state(wanted: Installation) -> State:
    """How far it is installed."""
    text = _read(wanted)
    installed = text is not None and MARK in text
    running = None
    if wanted.ask and installed:
        running = output(*wanted.ask) is not None
    current = text in (wanted.text, *wanted.also)
    if text is None or not installed:
        return State(wanted.kind, wanted.file, installed, current, running)
    changes = "" if current else "\n".join(_changes(text, wanted.text))
    return State(wanted.kind, wanted.file, installed, current, running, writer(text), changes)


def _changes(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:2] not in ("--", "++", "@@")]


def _read(wanted: Installation) -> str | None:
    try:
        return wanted.file.read_text(encoding=wanted.encoding)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError):
        return ""  # something is there that we did not write


def _run(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise NightschoolError(f"`{' '.join(command)}` failed: {error}.", "") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NightschoolError(
            f"`{' '.join(command)}` failed: {said[-1] if said else done.returncode}.",
            "Nothing was left behind; try `nightschool service install --kind autostart`.",
        )


def _try(command: tuple[str, ...]) -> None:
    """A command of the removal: what is not running cannot be stopped, and that is no failure."""
    with contextlib.suppress(NightschoolError):
        _run(command)
