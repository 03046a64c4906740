"""How much of the processors and of the graphics card other programs use.

Our own processes are never counted: a learner that waits for its own load to end would never
start. Low-priority work of others does not count either; it gives way by itself.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

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


def graphics() -> float | None:
    """Share of the busiest NVIDIA card that is in use, or None when there is none to ask."""
    return of_smi(
        output("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits") or ""
    )


def of_smi(text: str) -> float | None:
    """The largest percentage in nvidia-smi's answer as a share."""
    found = [int(number) for number in re.findall(r"^\s*(\d+)\s*$", text, re.MULTILINE)]
    return min(max(found), 100) / 100.0 if found else None
