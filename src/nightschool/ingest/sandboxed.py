"""The child that reads files; started by `sandbox.Sandbox`.

One request, one file. An alarm ends the process when its parent could not (it may be gone while a
parser is stuck in C code).
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nightschool.children.worker import Job, Worker
from nightschool.errors import ParseError
from nightschool.ingest.reading import Reading, read

GRACE_S = 5.0
"""The alarm rings this much later than the parent's own limit."""


def main(arguments: Sequence[str]) -> None:
    """Serve `read {"file", "path", "max_bytes", "timeout_s"}` until stdin closes."""
    Worker({"read": _read}).run({"pid": os.getpid()})


def _read(params: dict[str, Any], job: Job) -> Reading:
    timer = getattr(signal, "setitimer", None)  # not on Windows, where the parent alone keeps time
    if timer is not None:
        timer(signal.ITIMER_REAL, float(params["timeout_s"]) + GRACE_S)
    try:
        data = contents(str(params["file"]), int(params["max_bytes"]))
        reading = read(data, str(params["path"]))
        return replace(reading, sha256=hashlib.sha256(data).hexdigest())
    except MemoryError as error:
        raise ParseError("reading it needs too much memory") from error
    finally:
        if timer is not None:
            timer(signal.ITIMER_REAL, 0)


def contents(file: str, max_bytes: int) -> bytes:
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
