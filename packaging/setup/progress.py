"""One line that says where set-up stands and how long it will take."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

PLAIN_EVERY_S = 20.0


@dataclass
class Lane:
    """Steps that run one after the other; `expected` seconds each on an idle two-core machine."""

    steps: list[tuple[str, float]]
    at: int = -1
    part: float = 0.0
    detail: str = ""
    started: float = 0.0
    spent: float = 0.0
    planned: float = 0.0

    def enter(self, name: str) -> None:
        """The step `name` starts now; steps before it count as done."""
        now = time.monotonic()
        if self.at >= 0:
            self.spent += now - self.started
            self.planned += self.steps[self.at][1]
        self.at = next(i for i, (step, _) in enumerate(self.steps) if step == name)
        self.part, self.detail, self.started = 0.0, "", now

    def finish(self) -> None:
        """All steps are done."""
        self.at, self.part, self.detail = len(self.steps), 0.0, ""

    def left(self) -> float:
        """Seconds still to go, scaled by how fast the finished steps went."""
        if self.at >= len(self.steps):
            return 0.0
        pace = max(0.5, self.spent / self.planned) if self.planned else 1.0
        later = sum(expected for _, expected in self.steps[self.at + 1 :]) * pace
        if self.at < 0:
            return later
        gone = time.monotonic() - self.started
        if self.part > 0.05:
            return gone * (1 - self.part) / self.part + later
        return max(self.steps[self.at][1] * pace - gone, 5.0) + later


@dataclass
class Display:
    """Draws the lanes on a terminal in place, elsewhere as plain lines now and then.

    `lanes` run side by side, `closing` after them.
    """

    lanes: list[Lane]
    closing: Lane
    out: TextIO = field(default_factory=lambda: sys.stdout)
    started: float = field(default_factory=time.monotonic)
    last: float = 0.0
    shown: str = ""

    def draw(self) -> None:
        """Call often; prints only when there is something to say."""
        every = [*self.lanes, self.closing]
        total = sum(len(lane.steps) for lane in every)
        done = sum(max(lane.at, 0) for lane in every)
        running = [
            lane.steps[lane.at][0] + (f" {lane.detail}" if lane.detail else "")
            for lane in every
            if 0 <= lane.at < len(lane.steps)
        ]
        if not running:
            return
        now = time.monotonic()
        left = max(lane.left() for lane in self.lanes) + self.closing.left()
        line = (
            f"[{min(done + 1, total)}/{total}] {' · '.join(running)} · "
            f"{clock(now - self.started)} gone, about {clock(left)} left"
        )
        names = "".join(step.split(" ")[0] for step in running)
        if self.out.isatty():
            self.out.write(f"\r\x1b[2K{line[:118]}")
        elif names != self.shown or now - self.last > PLAIN_EVERY_S:
            self.out.write(line + "\n")
            self.last, self.shown = now, names
        self.out.flush()

    def clear(self) -> None:
        """Leave an empty line on a terminal."""
        if self.out.isatty():
            self.out.write("\r\x1b[2K")
            self.out.flush()


def clock(seconds: float) -> str:
    """`75` → `1:15`."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
