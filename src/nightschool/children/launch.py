"""The first code of every child: set its limits, then run the heavy module's `main`.

    python -m nightschool.children.launch NICE MEMORY_BYTES MODULE [ARGUMENT ...]

The module is imported by name, so no light module ever names heavy code in an import. A failure
before `ready` is reported over the channel, in words, instead of as a dead process.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path

from nightschool.children.group import BACKGROUND
from nightschool.children.protocol import encode
from nightschool.errors import NightschoolError

GROUP_NICE = 7
"""Niceness of the scheduling group of background work: it weighs a fifth of any program's, as its
control group does where there is one (`device.scope`)."""


def limit(nice: int, memory_bytes: int) -> None:
    """Lower the priority and cap the address space, where the platform knows how.

    Background work also leaves the disk to others, and is woken up after them (SCHED_BATCH). Not
    SCHED_IDLE: beside one busy program of anybody a night would come to no end.
    """
    if nice and hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(nice)
    if nice >= BACKGROUND:
        # A session of its own is a scheduling group of its own, and niceness counts only within one
        # (sched(7), autogroup): without this the learner would weigh as much as any program.
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(GROUP_NICE), encoding="ascii")
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        import psutil

        with contextlib.suppress(AttributeError, OSError, psutil.Error):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    if memory_bytes:
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def main() -> None:
    nice, memory, module, *arguments = sys.argv[1:]
    # Threads that wait for each other spin only briefly: sleeping at once costs the learner a third
    # of its speed on free cores, spinning long costs it nine tenths on busy ones (measured).
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    limit(int(nice), int(memory))
    try:
        importlib.import_module(module).main(arguments)
    except NightschoolError as error:
        body = {"code": error.code, "message": error.message, "remedy": error.remedy}
        os.write(1, encode({"failed": body}))
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
