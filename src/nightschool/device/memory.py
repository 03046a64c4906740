"""Whether memory is short: what can be had, who waits for it, and whom the system has ended.

Sources: psutil; on Linux `/proc/pressure/memory` (PSI) and `/proc/vmstat`. On other systems the
free bytes alone tell.
"""

from __future__ import annotations

import re
from pathlib import Path

PROC = Path("/proc")


def pressure(proc: Path = PROC) -> float | None:
    """Share of the last ten seconds in which some program waited for memory, 0 to 1; None when
    the system does not tell."""
    try:
        text = (proc / "pressure" / "memory").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(r"^some avg10=(\d+(?:\.\d+)?) ", text, re.MULTILINE)
    return None if found is None else min(float(found.group(1)) / 100, 1.0)


def oom_kills(proc: Path = PROC) -> int:
    """Processes that the kernel has ended for want of memory since it started; 0 if unknown."""
    try:
        text = (proc / "vmstat").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return 0
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return 0 if found is None else int(found.group(1))
