"""How much of the processors and of the graphics card other programs use.

Our own processes are never counted: a learner that waits for its own load to end would never
start. Low-priority work of others does not count either; it gives way by itself.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nightschool.device import sysfs
from nightschool.device.tools import output

SPAN_S = 15.0
"""Shorter spans say nothing: then the figure before is given again."""
STALE_S = 180.0
"""A span that long mixes now with long ago; measuring begins anew."""


@dataclass
class Others:
    """Measures between two calls. Give it one place that asks regularly."""

    monotonic: Callable[[], float] = time.monotonic
    span_s: float = SPAN_S
    _at: float = 0.0
    _busy: float = 0.0
    _own: dict[int, float] = field(default_factory=dict)
    _share: float | None = None

    def share(self) -> float | None:
        """Share of all processors that others used since the last call, 0 to 1.

        None at the first call and after a long pause: ask again some seconds later.
        """
        now = self.monotonic()
        passed = now - self._at
        if self._at and passed < self.span_s:
            return self._share
        busy, own = _busy(), _own()
        usable = self._at and passed <= STALE_S
        if usable:
            ours = sum(spent - self._own.get(pid, 0.0) for pid, spent in own.items())
            used = busy - self._busy - max(ours, 0.0)
            self._share = min(max(used / (passed * (psutil.cpu_count() or 1)), 0.0), 1.0)
        else:
            self._share = None
        self._at, self._busy, self._own = now, busy, own
        return self._share


def _busy() -> float:
    """Seconds of work at normal priority, of all processors, since the machine started."""
    times = psutil.cpu_times()
    return float(
        times.user + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
    )


def _own() -> dict[int, float]:
    """The same of this process and all that it started, by process id."""
    found: dict[int, float] = {}
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
            low = os.name == "posix" and process.nice() > 0
        except psutil.Error:
            continue
        # The kernel books a low-priority process's own time under `nice`, its calls do not tell.
        found[process.pid] = times.system + (0.0 if low else times.user)
    return found


def graphics(whole: bool = True, root: Path = sysfs.ROOT) -> float | None:
    """Share of the busiest graphics card that others use; None when there is none to ask.

    `whole` False starts no program: then only cards that the kernel tells of are known.
    """
    found = [sysfs.graphics(root)]
    if whole and sys.platform == "darwin":
        found.append(of_ioreg(output("ioreg", "-r", "-d", "1", "-c", "IOAccelerator") or ""))
    elif whole:
        found.append(_nvidia())
    known = [share for share in found if share is not None]
    return max(known, default=None)


def _nvidia() -> float | None:
    """What others use of the busiest NVIDIA card. Our own engine on it does not count: where we
    are the only ones, nobody else is."""
    share = of_smi(
        output("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits") or ""
    )
    if not share:
        return share
    users = output("nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader,nounits")
    pids = {int(pid) for pid in re.findall(r"^\s*(\d+)\s*$", users or "", re.MULTILINE)}
    return 0.0 if pids and pids <= set(_own()) else share


def of_smi(text: str) -> float | None:
    """The largest percentage in nvidia-smi's answer as a share."""
    found = [int(number) for number in re.findall(r"^\s*(\d+)\s*$", text, re.MULTILINE)]
    return min(max(found), 100) / 100.0 if found else None


def of_ioreg(text: str) -> float | None:
    """The largest `Device Utilization %` of macOS's accelerators as a share."""
    found = [int(number) for number in re.findall(r'"Device Utilization %"=(\d+)', text)]
    return min(max(found), 100) / 100.0 if found else None
