"""Which folder a user may have watched."""

from __future__ import annotations

import os
from pathlib import Path

from nightschool.errors import NotFound, SourceError, UsageError
from nightschool.paths import Home


def require_folder(given: str | os.PathLike[str], home: Home) -> Path:
    """The folder a user named, absolute and without links.

    Raises NotFound when there is none, UsageError when it is no folder or our own home,
    SourceError when it cannot be read.
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
        next(path.iterdir(), None)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        raise SourceError(f"{path} cannot be read: {error}.", "Check its permissions.") from error
    return path
