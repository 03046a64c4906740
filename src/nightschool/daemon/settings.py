"""The settings that the service runs with, and how a changed file reaches them.

The file is looked at on every pulse and whenever somebody asks for the status: one `stat`. What is
new is checked as a whole, then swapped; a file with a mistake changes nothing, and `status` says
so. What only counts at the start (`serve`) stays as it is until then.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nightschool.config import Config
from nightschool.config.describe import RESTART, every
from nightschool.config.load import HANDED, freeze, look
from nightschool.paths import HOME_VARIABLE, Home

_LOG = logging.getLogger("nightschool.daemon")


@dataclass
class Settings:
    """`config` is in force; `problem` says why a newer file is not."""

    home: Home
    config: Config
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    problem: str = ""
    waiting: tuple[str, ...] = ()
    """Keys whose new values wait for a restart."""

    def __post_init__(self) -> None:
        self.handed = {HOME_VARIABLE: str(self.home.root)}
        """What the children are started with; the very dictionary changes with the settings."""
        self._lock = threading.Lock()
        self._stamp = self._look_at_file()
        self._hand()

    def changed(self) -> tuple[str, ...]:
        """Read the file again if it is another one than before; the keys that are new in force."""
        with self._lock:
            stamp = self._look_at_file()
            if stamp == self._stamp:
                return ()
            self._stamp = stamp
            return self._read()

    def describe(self) -> dict[str, Any]:
        """The settings in `status`."""
        return {
            "file": str(self.home.config),
            "problem": self.problem,
            "waiting_for_restart": list(self.waiting),
        }

    def _read(self) -> tuple[str, ...]:
        found = look(self.home.config, self.environment)
        if found.problems:
            said = str(found.problems[0].error())
            self.problem = f"The settings from before stay in force. {said}"
            _LOG.warning("%s", self.problem)
            return ()
        self.problem = ""
        before, after = _flat(self.config), _flat(found.config)
        new = [key for key, value in after.items() if before[key] != value]
        self.waiting = tuple(key for key in new if every()[key].takes_effect == RESTART)
        self.config = replace(found.config, serve=self.config.serve)
        self._hand()
        live = tuple(key for key in new if key not in self.waiting)
        if new:
            later = f"; after a restart: {', '.join(self.waiting)}" * bool(self.waiting)
            _LOG.info("New settings: %s%s.", ", ".join(live) or "none at once", later)
        return live

    def _hand(self) -> None:
        self.handed[HANDED] = freeze(self.config)

    def _look_at_file(self) -> tuple[int, int, int] | None:
        try:
            found = self.home.config.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _flat(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in asdict(config).items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": each for key, each in value.items()}
        else:
            found[name] = value
    return found
