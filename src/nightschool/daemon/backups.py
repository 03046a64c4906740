"""One backup a day, when the service has nothing else to do.

What counts as a day survives a clock that jumps: the day of the last backup is remembered, a day
before it (the clock was set back by one) makes none, and between two backups of one process the
monotonic clock must have gone on.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from nightschool.clock import Clock, iso
from nightschool.errors import NightschoolError
from nightschool.store import documents, driver, snapshot, state
from nightschool.store.db import Store

FIRST_S = 300.0
"""After its start the service leaves the disk to others for so long."""
BETWEEN_S = 20 * 3600.0
"""At least so long between two backups of one process, whatever the calendar says."""
AGAIN_S = 3600.0
"""After a failure."""
_LAST = "backup_last"
_LOG = logging.getLogger("nightschool.daemon")


@dataclass
class Backups:
    """`look` is called every half minute; it costs nothing until a backup is due."""

    store: Store
    folder: Path
    clock: Clock
    problem: str = ""
    _next: float = -1.0

    def look(self, *, idle: bool) -> snapshot.Backup | None:
        """Make today's backup if it is due and nothing else is going on. Blocks; for a thread."""
        now = self.clock.monotonic()
        if self._next < 0:
            self._next = now + FIRST_S
        if now < self._next or not idle:
            return None
        refused: tuple[type[Exception], ...] = (NightschoolError, *driver.database_errors())
        try:
            self._next = now + AGAIN_S
            if not self._due():
                return None
            made = take(self.store, self.folder, snapshot.DAILY, self.clock)
        except refused as error:
            self.problem = f"No backup could be made: {error}"
            _LOG.warning("%s", self.problem)
            return None
        self.problem = ""
        self._next = now + BETWEEN_S
        _LOG.info("Backup %d made (%.1f MB).", made.sequence, made.size / 1e6)
        return made

    def _due(self) -> bool:
        """Whether the calendar, or a file system that lost the last one, asks for a backup."""
        told = state.get(self.store, _LAST)
        known = documents.generation(self.store), int(self.store.one("SELECT count(*) FROM run"))
        if told is None or not snapshot.listed(self.folder):
            return bool(documents.roots(self.store))
        if tuple(told["known"]) == known:
            return False
        last = date.fromisoformat(told["day"])
        today = self.clock.now().date()
        return today > last or today < last - timedelta(days=1)


def take(store: Store, folder: Path, reason: str, clock: Clock) -> snapshot.Backup:
    """A backup on a connection of its own, so that nobody waits. Raises StoreError."""
    now = clock.now()
    with contextlib.closing(driver.connect(store.path, timeout=15.0)) as connection:
        made = snapshot.take(connection, folder, reason, iso(now))
    known = [documents.generation(store), int(store.one("SELECT count(*) FROM run"))]
    state.put(store, _LAST, {"day": now.date().isoformat(), "known": known})
    return made
