"""Leave no bytes: what was forgotten goes from the disk too, wherever this home may have kept it.

The database overwrites what it deletes (`secure_delete`), but its full-text index merges late, its
log and its backups still hold old pages, and the search cache, logs, night folders and adapters are
files of their own. `vacuum` goes through all of them and says what it kept, and why.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nightschool.clock import Clock, SystemClock, iso
from nightschool.errors import StoreError
from nightschool.paths import EXAMS, Home
from nightschool.records import Receipt
from nightschool.registry.leftovers import torn
from nightschool.report import shelf
from nightschool.store import atomic, db, documents, receipts, snapshot
from nightschool.store import versions as rows
from nightschool.store.db import Store


@dataclass
class Vacuum:
    """What one `vacuum` did. `kept` says of each thing that stays why, in words; bytes are those
    of the whole home before and after. `problem` is what failed although all of it went."""

    versions: list[int] = field(default_factory=list)
    nights: list[int] = field(default_factory=list)
    receipts: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    bytes_before: int = 0
    bytes_after: int = 0
    problem: str = ""


def vacuum(home: Home, store: Store, *, now: bool = False, clock: Clock | None = None) -> Vacuum:
    """Remove every trace of what was forgotten; with `now`, do not wait for the grace periods.

    Raises StoreError when another process holds the database, or a file cannot be removed; what
    was removed until then stays removed, and the next call goes on.
    """
    at = iso((clock or SystemClock()).now())
    report = Vacuum(bytes_before=_size(home.root))
    with _no_night(home) as free:
        if not free:
            report.kept.append("night folders: a night is running; run vacuum again after it")
        for receipt in receipts.unerased(store):
            _erase(home, store, receipt, report, at, now=now, free=free)
        for begun in sorted(home.runs.glob(f"*/{EXAMS}")) if free else ():
            atomic.remove(begun)  # it holds answers; after a forgetting all is asked anew anyway
    _draw_again(home, store, report)
    _stale_cache(home, store, report)
    for copy in sorted(home.root.glob(f"{home.database.stem}.*.bak")):  # of version 0.1
        atomic.remove(copy)
        report.files.append(copy.name)
    if home.quarantine.exists():
        atomic.remove(home.quarantine)
        report.files.append(f"{home.quarantine.name} (what repairs had moved aside)")
    for left in torn(home):  # copies that a kill left, of the database too
        if not left.name.startswith(f".export.{os.getpid()}."):
            atomic.remove(left)
            report.files.append(left.relative_to(home.root).as_posix())
    for log in sorted(home.logs.glob("*.log*")):
        _empty(log)
    report.files.append("logs (emptied)")
    db.compact(store)
    _renew_backups(home, store, report, at)
    report.bytes_after = _size(home.root)
    return report


def _erase(
    home: Home,
    store: Store,
    receipt: Receipt,
    report: Vacuum,
    at: str,
    *,
    now: bool,
    free: bool,
) -> None:
    """The adapters and night folders of one receipt, unless it can still be undone."""
    if receipt.grace_until > at and not now:
        numbers = ", ".join(f"v{item.number}" for item in receipt.versions)
        if numbers:
            report.kept.append(
                f"the adapter of {numbers} (blocked): receipt {receipt.id} can be undone until "
                f"{receipt.grace_until}; `--now` does not wait"
            )
        return
    nights = sorted({*receipt.nights, *receipts.tainted_runs(store, receipt.id)})
    if nights and not free:
        return
    done: dict[str, Any] = {"versions": [], "nights": []}
    named = {item.number for item in receipt.versions}
    for row in rows.versions(store):
        # One that was registered while its night was being ended is not named in the receipt.
        if row.number not in named and row.run_id not in nights:
            continue
        if row.status == "blocked" and row.directory:
            atomic.remove(home.root / row.directory)
            rows.clear_directory(store, row.number)
            done["versions"].append(row.number)
    for number in nights:
        folder = home.runs / str(number)
        if folder.exists():
            atomic.remove(folder)
            done["nights"].append(number)
    receipts.erased(store, receipt.id, at, done)
    report.versions += done["versions"]
    report.nights += done["nights"]
    report.receipts.append(receipt.id)


def _draw_again(home: Home, store: Store, report: Vacuum) -> None:
    """Pages of nights may name what has changed since: they are drawn from what is there now."""
    if count := shelf.clear(home):
        report.files.append(f"reports of nights ({count}, drawn again)")
    try:
        shelf.complete(home, store)
    except StoreError as error:  # what was forgotten is gone, also where there is no room
        report.problem = f"Reports are missing. {error.message}"


def _stale_cache(home: Home, store: Store, report: Vacuum) -> None:
    """The search cache holds vectors, from which text can be guessed; a stale one goes."""
    present = documents.generation(store)
    for sidecar in sorted(home.index.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if int(json.loads(sidecar.read_text(encoding="utf-8"))["generation"]) == present:
                continue
        for part in (sidecar, sidecar.with_suffix(".faiss")):
            if part.exists():
                atomic.remove(part)
                report.files.append(f"{home.index.name}/{part.name}")


def _renew_backups(home: Home, store: Store, report: Vacuum, at: str) -> None:
    """Backups hold old text: one of the cleaned database takes the place of all of them."""
    old = snapshot.listed(home.backups)
    if not old:
        return
    try:
        snapshot.take(store.db.conn, home.backups, snapshot.ASKED, at)
        made = 1
    except StoreError as error:
        made = 0  # what was forgotten goes, also where there is no room for a new backup
        report.problem = f"There is no backup any more. {error.message}"
    for item in snapshot.listed(home.backups)[made:]:
        atomic.remove(item.path)
    report.files.append(f"{home.backups.name} ({len(old)} old, {made} new)")


@contextlib.contextmanager
def _no_night(home: Home) -> Any:
    """Whether no learner writes into its folder now; none may begin meanwhile."""
    lock = FileLock(home.learning, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _empty(log: Path) -> None:
    """Logs are opened for appending, so a process that writes one goes on at its new end."""
    try:
        with log.open("rb+") as handle:
            handle.truncate(0)
    except OSError as error:
        raise StoreError(
            f"{log} cannot be emptied: {error.strerror or error}.", "Check its permissions."
        ) from error


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size if path.is_file() else 0
    return total
