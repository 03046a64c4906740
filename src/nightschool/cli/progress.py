"""Progress with remaining time: a bar on a terminal, a plain line now and then elsewhere.

Goes to stderr, so that stdout stays the result.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from nightschool.cli.show import for_program, line, tell

if TYPE_CHECKING:
    from rich.progress import Progress as Drawn
    from rich.progress import TaskID

PLAIN_EVERY_S = 10.0
TOLD_EVERY_S = 0.2
"""Between two lines for a program (see `show.for_program`)."""


@dataclass
class Bar:
    """A `ports.Progress`; use it as a context manager. Shows one stage at a time."""

    quiet: bool = False
    out: TextIO = field(default_factory=lambda: sys.stderr)
    _stage: str = ""
    _began: float = 0.0
    _first: int = 0
    _printed: float = 0.0
    _drawn: Drawn | None = None
    _task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.quiet:
            return
        now = time.monotonic()
        fresh = stage != self._stage
        if fresh:
            self._stage, self._began, self._first, self._printed = stage, now, done, now
        if for_program():
            if fresh or now - self._printed > TOLD_EVERY_S:
                self._printed = now
                tell(stage=stage, done=done, total=total)
        elif self.out.isatty():
            self._draw(fresh, done, total)
        elif fresh or now - self._printed > PLAIN_EVERY_S:
            self._printed = now
            print(line(self._words(now, done, total)), file=self.out, flush=True)

    def note(self, text: str) -> None:
        """A remark between the figures."""
        if self.quiet or for_program():
            return
        if self._drawn is not None:
            self._drawn.console.print(line(text), markup=False, highlight=False)
        else:
            print(line(text), file=self.out, flush=True)

    def _words(self, now: float, done: int, total: int) -> str:
        if not total:
            return f"{self._stage}: {done}" if done > 1 else self._stage
        left = remaining(now - self._began, done - self._first, total - done)
        return f"{self._stage}: {done}/{total}" + (f", about {left} left" if left else "")

    def _draw(self, fresh: bool, done: int, total: int) -> None:
        if self._drawn is None:
            self._drawn = _bar()
            self._drawn.start()
        if fresh:
            if self._task is not None:
                self._drawn.remove_task(self._task)
            self._task = self._drawn.add_task(line(self._stage), total=total or None)
        if self._task is not None:
            self._drawn.update(self._task, completed=done, total=total or None)


def remaining(elapsed: float, done: int, left: int) -> str:
    """`1:05` from the pace so far; empty while there is none."""
    if done <= 0 or elapsed <= 0 or left <= 0:
        return ""
    seconds = round(elapsed / done * left)
    return f"{seconds // 60}:{seconds % 60:02d}"


def _bar() -> Drawn:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
