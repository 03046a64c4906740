"""How many threads to compute with, while others use the processor too.

Threads of one tensor operation wait for each other: with two threads on two busy cores a step took
twenty times as long as with one (measured). So the count follows what the others leave free.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import torch

PERIOD_S = 3.0


def free_cores(seconds: float = 1.0) -> int:
    """Whole cores that nobody used during the last `seconds`; at least one."""
    cores = os.cpu_count() or 1
    busy = float(psutil.cpu_percent(interval=seconds)) / 100 * cores
    return max(1, round(cores - busy))


@dataclass
class Threads:
    """Set torch's thread count to the cores that other processes leave, at most `limit`."""

    limit: int
    now: Callable[[], float] = time.monotonic
    _since: float = field(default=0.0)
    _busy: float = field(default=0.0)
    _own: float = field(default=0.0)

    def __post_init__(self) -> None:
        if self.limit <= 0:
            self.limit = psutil.cpu_count(logical=False) or os.cpu_count() or 1
        self._mark()
        # Start with what the last moment says; the first measured period corrects it.
        torch.set_num_threads(min(self.limit, free_cores(0.2)))

    def adapt(self) -> None:
        """Call often; looks at the processor every `PERIOD_S` seconds."""
        passed = self.now() - self._since
        if passed < PERIOD_S:
            return
        others = (_busy() - self._busy - (time.process_time() - self._own)) / passed
        wanted = self._fitting(max(0.0, others))
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)
        self._mark()

    def _fitting(self, others: float) -> int:
        return max(1, min(self.limit, round((os.cpu_count() or 1) - others)))

    def _mark(self) -> None:
        self._since, self._busy, self._own = self.now(), _busy(), time.process_time()


def _busy() -> float:
    """Seconds of processor time used by anybody, all cores together."""
    times = psutil.cpu_times()
    waiting = getattr(times, "iowait", 0.0)
    return float(sum(times) - times.idle - waiting - getattr(times, "guest", 0.0))
