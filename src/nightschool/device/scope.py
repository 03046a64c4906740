"""A control group of its own for the learner, where a systemd user manager gives one.

`systemd-run --scope` puts itself into a new scope and becomes the command, so process id, group,
pipes and environment stay as they are. Weights bind only while others want the processor or the
disk; the limit on memory binds always. Elsewhere niceness and RLIMIT have to do (`launch`).

Source: systemd-run(1), systemd.resource-control(5).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nightschool.device.tools import output

WEIGHT = 20
"""Of 100 that every other unit has."""


def scope(memory_bytes: int) -> Sequence[str]:
    """What to put before a command line, or nothing where no user manager answers. Takes some
    ten milliseconds: it is tried each time, because a manager may go."""
    if sys.platform != "linux" or not manager(os.environ.get("XDG_RUNTIME_DIR", "")):
        return ()
    begin = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "--slice=background.slice")
    if output(*begin, "true") is None:
        return ()
    limits = (
        f"--property=CPUWeight={WEIGHT}", f"--property=IOWeight={WEIGHT}",
        f"--property=MemoryMax={memory_bytes}", "--property=TasksMax=256",
    )  # fmt: skip
    return (*begin, *limits, "--")


def manager(runtime_folder: str) -> bool:
    """Whether a user manager listens there."""
    return bool(runtime_folder) and (Path(runtime_folder) / "systemd" / "private").exists()
