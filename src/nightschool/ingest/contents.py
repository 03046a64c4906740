"""The bytes of one file, and nothing that only looks like a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nightschool.errors import ParseError


def contents(file: Path | str, max_bytes: int) -> bytes:
    """The bytes of a regular file; links, pipes and devices put in its place are refused."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(file, flags)
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
