"""The child that reads files; started by `sandbox.Sandbox`.

One request, one file. An alarm ends the process when its parent could not (it may be gone while a
parser is stuck in C code).
"""

from __future__ import annotations

import hashlib
import os
import signal
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nightschool.children.worker import Job, Worker
from nightschool.errors import ParseError
from nightschool.ingest import ocr
from nightschool.ingest.contents import contents
from nightschool.ingest.parse import format_of
from nightschool.ingest.reading import Reading, read

GRACE_S = 5.0
"""The alarm rings this much later than the parent's own limit."""


def main(arguments: Sequence[str]) -> None:
    """Serve `read {"file", "path", "max_bytes", "timeout_s", "people", "hide"}`."""
    ocr.use(arguments[0] if arguments else "")
    Worker({"read": _read}).run({"pid": os.getpid()})


def _read(params: dict[str, Any], job: Job) -> Reading:
    timer = getattr(signal, "setitimer", None)  # not on Windows, where the parent alone keeps time
    if timer is not None:
        timer(signal.ITIMER_REAL, float(params["timeout_s"]) + GRACE_S)
    try:
        path = str(params["path"])
        found = format_of(path)
        file, most = Path(str(params["file"])), int(params["max_bytes"])
        if found is None or found.load is None:
            data = contents(file, most, inner=path.count("/") + 1)
        else:
            data = found.load(file, most)
        people, hide = bool(params.get("people", True)), bool(params.get("hide", False))
        reading = read(data, path, people=people, hide=hide)
        return replace(reading, sha256=hashlib.sha256(data).hexdigest())
    except ParseError:
        raise
    except MemoryError as error:
        raise ParseError("reading it needs too much memory") from error
    except Exception as error:
        # Libraries fail on hostile files in ways they do not name; the log keeps which.
        traceback.print_exc()
        raise ParseError(f"its parser failed on it ({type(error).__name__})") from error
    finally:
        if timer is not None:
            timer(signal.ITIMER_REAL, 0)
