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

from nightschool.children.protocol import encode
from nightschool.errors import NightschoolError


def limit(nice: int, memory_bytes: int) -> None:
    """Lower the priority and cap the address space, where the platform knows how."""
    if nice and hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(nice)
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
