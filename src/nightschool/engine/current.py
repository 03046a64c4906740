"""The runtime of the base model in use: another one takes its place when the user chooses another.

Requests come one at a time, so the change falls between two of them: a running one ends on the
model it began with, the next one is answered by the new one.
"""

from __future__ import annotations

from dataclasses import dataclass

from nightschool.config import Config
from nightschool.engine.runtime import Runtime
from nightschool.models import abilities, catalogue
from nightschool.paths import Home
from nightschool.store.db import Store


@dataclass
class Current:
    """Holds one runtime. Not thread-safe, as the runtime itself."""

    home: Home
    store: Store
    config: Config
    _runtime: Runtime | None = None
    _stamp: tuple[object, ...] = ()

    def runtime(self) -> Runtime:
        """The runtime for the next request.

        Raises ModelError or NotFound when the chosen model cannot be served; the next request
        looks again. The old model is freed before the new one is loaded: memory holds one.
        """
        stamp = catalogue.stamp(self.home, self.store, self.config.model)
        if self._runtime is not None and stamp == self._stamp:
            found = abilities.load(self.store, self._runtime.model.sha256)
            if found.examined:  # it may have sat its exam meanwhile
                self._runtime.abilities = found
            return self._runtime
        self.close()
        self._runtime, self._stamp = Runtime(self.home, self.store, self.config), stamp
        return self._runtime

    def close(self) -> None:
        """Free all memory. Idempotent."""
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None
