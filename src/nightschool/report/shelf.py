"""Where reports lie: `report.html` in each night's folder. They are caches of what the store knows.

So they may be taken away at any moment, and whoever asks for one gets it made again: after a
forgetting, after an import, or when the process of a night was ended before it could write its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nightschool.errors import NotFound, StoreError, of_disk
from nightschool.paths import Home
from nightschool.records import Outcome, Run
from nightschool.report import view as views
from nightschool.store import atomic, reports, runs
from nightschool.store.db import Store

PAGE = "report.html"
_STATE = re.compile(rb'<meta name="nightschool" content="([^"]*)">')
MOST = 400
"""Of so many nights, the newest, a missing page is drawn without being asked for."""
_HEAD = 2000
"""Bytes in which a page says of which state of its night it is."""
_OPEN = (Outcome.RUNNING, Outcome.INTERRUPTED)


def place(home: Home, run_id: int) -> Path:
    """Where the report of a night lies, or would."""
    return home.runs / str(run_id) / PAGE


def newest(store: Store) -> int:
    """The night that ended last; 0 for one that ended before it opened a run. Raises NotFound."""
    last = next((run for run in runs.runs(store, 1)), None)
    idle = reports.get(store, reports.NO_RUN)
    if last is None and idle is None:
        raise NotFound("There was no night yet.", "Hold one: nightschool learn")
    # Times are whole seconds. No night begins and ends in one, so at a tie the idle one came after.
    if last is None or (idle is not None and idle[0] >= (last.ended_at or last.started_at)):
        return reports.NO_RUN
    return last.id


def look(home: Home, store: Store, run_id: int) -> tuple[Path, dict[str, Any]]:
    """The page of a night, made now unless the one that is there is of its present state, and what
    it says. Raises NotFound, StoreError."""
    view = views.gather(home, store, run_id)
    path = place(home, run_id)
    if _state(path) != f"{view['outcome']} {view['ended_at']}" or _open(store, run_id):
        write(home, view)
    return path, view


def tell(home: Home, store: Store, run_id: int | None, *, page: bool) -> dict[str, Any]:
    """What a report says (None: the newest), its `path`, and its `page` where that is wanted.
    Nothing is written. Raises NotFound."""
    from nightschool.report import pages

    view = views.gather(home, store, newest(store) if run_id is None else run_id)
    path = str(place(home, view["run"]))
    return view | {"path": path, "page": pages.draw(view) if page else None}


def write(home: Home, view: Mapping[str, Any]) -> Path:
    """Draw a page and put it into its night's folder, whole or not at all. Raises StoreError."""
    from nightschool.report import pages

    path = place(home, view["run"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_bytes(path, pages.draw(view).encode())
    except OSError as error:
        raise of_disk(error) or StoreError(
            f"{path} cannot be written: {error.strerror or error}.", "Check its permissions."
        ) from error
    return path


def take_away(home: Home, run_ids: Iterable[int]) -> None:
    """Pages that may name what was forgotten; they are made again without it when asked for.

    Called before a forgetting is committed, for a kill in between must leave none (and where the
    stick was pulled meanwhile, the commit fails), and after it, for somebody may have asked for
    one meanwhile. Raises StoreError when one stays.
    """
    for run_id in run_ids:
        atomic.remove(place(home, run_id))


def clear(home: Home) -> int:
    """Take every page away; how many there were. Raises StoreError when one stays."""
    found = sorted(home.runs.glob(f"*/{PAGE}"))
    for path in found:
        atomic.remove(path)
    return len(found)


def complete(home: Home, store: Store, most: int = MOST) -> int:
    """Draw the missing pages of nights that have ended and whose folder is there, at most so many,
    the newest first; how many."""
    ended = [run.id for run in runs.runs(store, MOST) if run.outcome not in _OPEN]
    if reports.get(store, reports.NO_RUN) is not None:
        ended.insert(0, reports.NO_RUN)
    missing = [
        number
        for number in ended
        if place(home, number).parent.is_dir() and not place(home, number).exists()
    ]
    for number in missing[:most]:
        write(home, views.gather(home, store, number))
    return len(missing[:most])


def _open(store: Store, run_id: int) -> bool:
    run: Run | None = runs.run(store, run_id) if run_id else None
    return run is not None and run.outcome in _OPEN


def _state(path: Path) -> str:
    """The outcome and the end that a page tells of; empty where there is none."""
    try:
        with path.open("rb") as file:
            found = _STATE.search(file.read(_HEAD))
    except OSError:
        return ""
    return found[1].decode("utf-8", "replace") if found else ""
