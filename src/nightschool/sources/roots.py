"""Which folder a user may have watched."""

from __future__ import annotations

import os
from pathlib import Path

from nightschool.errors import NotFound, Refused, SourceError, UsageError
from nightschool.paths import Home, Stick


def require_folder(given: str | os.PathLike[str], home: Home) -> Path:
    """The folder a user named, absolute and without links.

    Raises NotFound when there is none, UsageError when it is no folder or our own home, Refused
    when we live on a stick and it does not, SourceError when it cannot be read.
    """
    path = Path(given).expanduser().absolute()
    try:
        path = path.resolve() if path.exists() else path
        if not path.exists():
            raise NotFound(f"There is no folder {path}.", "Check the path.")
        if not path.is_dir():
            raise UsageError(f"{path} is not a folder.", "Watch the folder it lies in.")
        if path.is_relative_to(home.root.resolve()) and path != home.notes.resolve():
            raise UsageError(f"{path} is Nightschool's own home.", "Watch a folder of yours.")
        if home.stick is not None and not _travels(path, home.stick):
            raise Refused(
                f"{path} does not lie on the stick, so it would be missing on other computers.",
                f"Put the folder into {home.stick.disk.parent} and watch it there.",
            )
        next(path.iterdir(), None)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        raise SourceError(f"{path} cannot be read: {error}.", "Check its permissions.") from error
    return path


def _travels(path: Path, stick: Stick) -> bool:
    """Whether a folder moves with the stick: in its folder, or beside it on the same medium."""
    disk = stick.disk.resolve()
    beside = path.is_relative_to(disk.parent) and path.stat().st_dev == disk.stat().st_dev
    return beside or path.is_relative_to(disk) or path.is_relative_to(stick.root.resolve())
