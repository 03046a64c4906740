"""The bytes of one file, and nothing that only looks like a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nightschool.errors import ParseError


def contents(file: Path | str, max_bytes: int, *, inner: int = 1) -> bytes:
    """The bytes of a regular file; links, pipes and devices put in its place are refused.

    `inner` is how many of the path's last parts lie in the watched folder: none of them may be a
    link, even one that was put there a moment ago (where the system can open beneath a folder).
    """
    try:
        handle = _open(Path(file), inner)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ParseError("not a regular file")
            data = stream.read(max_bytes + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ParseError(f"unreadable: {reason}") from error
    if len(data) > max_bytes:
        raise ParseError(f"larger than {max_bytes / 1_000_000:g} MB")
    return data


def _open(file: Path, inner: int) -> int:
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if inner < 2 or os.open not in os.supports_dir_fd:
        return os.open(file, flags)
    folder = os.open(Path(*file.parts[:-inner]), os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in file.parts[-inner:-1]:
            step = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = step
        return os.open(file.name, flags, dir_fd=folder)
    finally:
        os.close(folder)
