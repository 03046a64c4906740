"""The user's editor on a copy of the settings: the file itself changes only when all is well."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from nightschool.config.profiles import shipped
from nightschool.errors import UsageError
from nightschool.paths import Home

_USUAL = {"win32": ("notepad",), "darwin": ("open", "-W", "-t")}
_ELSEWHERE = ("sensible-editor", "nano", "vim", "vi")


def edited(home: Home, text: str) -> str | None:
    """What the editor left behind; None when it left the text as it was.

    A text that was refused last time is taken up again. Raises UsageError when there is no editor
    or it ended badly.
    """
    home.create()
    copy = _copy(home)
    command = [*editor(), str(copy)]
    if not copy.exists():
        copy.write_text(text, encoding="utf-8")
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        discard(home)
        raise UsageError(
            f"`{command[0]}` cannot be started: {error.strerror or error}.", "Set EDITOR."
        ) from error
    if code:
        discard(home)
        raise UsageError(f"`{command[0]}` ended with code {code}.", "Nothing was changed.")
    after = copy.read_text(encoding="utf-8-sig", errors="replace")
    if after == text:
        discard(home)
        return None
    return after


def editor() -> list[str]:
    """The user's editor: VISUAL, EDITOR, or what this system usually has."""
    for name in ("VISUAL", "EDITOR"):
        if os.environ.get(name, "").strip():
            given = os.environ[name]
            # A path with spaces in it is a program too.
            return [given] if Path(given).is_file() else shlex.split(given, posix=os.name != "nt")
    if sys.platform in _USUAL:
        return list(_USUAL[sys.platform])
    for name in _ELSEWHERE if sys.stdin.isatty() else ():
        if (program := shutil.which(name)) is not None:
            return [program]
    raise UsageError(
        "There is no editor to be used here.", "Set EDITOR, or use `nightschool config set`."
    )


def fresh() -> str:
    """The first text of a file that is not there yet: everything, as comments."""
    lines = []
    for line in shipped("default.toml").splitlines():
        setting = "=" in line and not line.startswith("#")
        lines.append(f"# {line}" if setting else line)
    return "\n".join(lines) + "\n"


def keep(home: Home, text: str) -> Path:
    """Keep a text that was refused, for the next `config edit`."""
    copy = _copy(home)
    copy.write_text(text, encoding="utf-8")
    return copy


def discard(home: Home) -> None:
    """Forget the copy."""
    with contextlib.suppress(FileNotFoundError):
        _copy(home).unlink()


def _copy(home: Home) -> Path:
    return home.config.with_name("config.edit.toml")
