"""Keep the last whole step while the next one is still being computed.

A step of a large model takes longer than a user who has come back should wait. Between two
optimiser steps neither the adapter nor the moments change, so a second thread can write them down
in the middle of a step; then the process may be ended at any moment, and nothing but the step that
was under way is done again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from nightschool.errors import TrainError

LOOK_S = 0.05


class Standby:
    """Calls `save` once `wanted` is set, never while the state is changed (`changing`)."""

    def __init__(self, wanted: threading.Event, save: Callable[[], None]) -> None:
        self._wanted, self._save = wanted, save
        self._state = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="standby", daemon=True)

    def __enter__(self) -> Standby:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """While the weights, the moments and the step they belong to are being replaced."""
        with self._state:
            yield

    def save(self) -> None:
        """Write the state of the last whole step now. Raises TrainError."""
        with self._state:
            self._save()

    def _watch(self) -> None:
        while not self._over.is_set():
            if self._wanted.wait(LOOK_S):
                # A full disk is reported by the loop itself, at its next checkpoint.
                with contextlib.suppress(TrainError):
                    self.save()
                return
