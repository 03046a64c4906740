"""Deletion reaches the weights: a file that goes takes search, practice and versions with it.

Everything the database knows happens in one transaction: passages, full text, vectors and pairs
go, each version whose night saw the file is blocked, nights that practise it end, a night without
it is queued, and a receipt says all that. The pointer follows; a kill between the two serves no
blocked version either, because the engine looks at the status for every request. What is left on
the disk (adapters within the grace period, night folders) is `erase.vacuum`'s work.

A moved file keeps its id and is not forgotten. A file that was deleted by accident and comes back
with the same bytes within the grace period is not forgotten any more: its versions are free again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from nightschool.clock import Clock, SystemClock, iso
from nightschool.config import Forget
from nightschool.errors import Forgotten, NotFound, Refused, StoreError
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.records import BlockedVersion, Document, ForgottenFile, Receipt
from nightschool.registry import pointer, tombstones, versions
from nightschool.registry.tombstones import Tombstone
from nightschool.report import shelf
from nightschool.store import documents, receipts, reports, runs, state
from nightschool.store import versions as rows
from nightschool.store.db import Store
from nightschool.store.receipts import ASKED, DELETED, EDITED

LOOK_S = 0.5
"""How often a night looks whether one of its files was forgotten."""


def asked(
    home: Home,
    store: Store,
    document_ids: Iterable[int],
    target: str,
    config: Forget,
    *,
    clock: Clock | None = None,
) -> Receipt:
    """Forget these files although they may still lie in their folders; they stay away.

    A note that Nightschool wrote itself (in `home.notes`) is deleted from the disk too.
    """
    clock = clock or SystemClock()
    own = str(home.notes)
    ids = list(document_ids)
    with store.transaction():
        touched = reports.naming(store, ids)
        files = [
            replace(item, removed=item.root in (own, str(home.notes.resolve())))
            for item in receipts.describe(store, ids)
        ]
        number = _open(store, ASKED, target, config, clock)
        for item in files:
            reason = "" if item.removed else stays_away(number)
            receipts.take_out(store, item.document_id, reason=reason)
        receipts.keep_away(store, number, ASKED, [
            (item.root, "" if item.removed else item.path, _gone(item), item.document_id)
            for item in files
        ])  # fmt: skip
        receipt = _conclude(home, store, number, ASKED, target, files, clock)
        shelf.take_away(home, touched)
    for item in files:
        if item.removed:
            with contextlib.suppress(FileNotFoundError):
                (Path(item.root) / item.path).unlink()
    shelf.take_away(home, touched)
    settle(home, store)
    return receipt


def deleted(
    home: Home,
    store: Store,
    root_path: str,
    gone: Sequence[Document],
    config: Forget,
    *,
    clock: Clock | None = None,
) -> Receipt | None:
    """Files of one folder are no longer on the disk (or are ignored now).

    The receipt, or None when nothing was ever read from them.
    """
    clock = clock or SystemClock()
    read = [item for item in gone if item.sha256 or receipts.seen(store, item.id)]
    with store.transaction():
        touched = reports.naming(store, [item.id for item in gone])
        files = receipts.describe(store, [item.id for item in read])
        for item in gone:
            receipts.take_out(store, item.id)
            receipts.freed(store, root_path, item.path)
        if not files:
            return None
        target = files[0].path if len(files) == 1 else f"{len(files)} files in {root_path}"
        number = _open(store, DELETED, target, config, clock)
        receipts.keep_away(store, number, DELETED, [
            (item.root, item.path, _gone(item), item.document_id) for item in files
        ])  # fmt: skip
        receipt = _conclude(home, store, number, DELETED, target, files, clock)
        shelf.take_away(home, touched)
    shelf.take_away(home, touched)
    settle(home, store)
    return receipt


def edited(
    home: Home,
    store: Store,
    before: Document,
    root_path: str,
    config: Forget,
    *,
    clock: Clock | None = None,
) -> Receipt | None:
    """The bytes of a file changed, and the settings want its old text out of the weights at once.

    The receipt, or None when no night had practised the old text.
    """
    clock = clock or SystemClock()
    now = documents.document(store, before.id)
    old = receipts.contents(store, before.id) - {"" if now is None else now.sha256}
    if not old:
        return None
    with store.transaction():
        touched = reports.naming(store, [before.id])
        reports.forget(store, [before.id])
        number = _open(store, EDITED, before.path, replace(config, grace_s=0), clock)
        rows_ = [(root_path, before.path, sha256, 0) for sha256 in sorted(old)]
        receipts.keep_away(store, number, EDITED, rows_)
        files = [ForgottenFile(root_path, before.path, sha256) for sha256 in sorted(old)]
        receipt = _conclude(home, store, number, EDITED, before.path, files, clock)
        shelf.take_away(home, touched)
    shelf.take_away(home, touched)
    settle(home, store)
    return receipt


def came_back(home: Home, store: Store, sha256: str, clock: Clock | None = None) -> list[Receipt]:
    """Content was indexed: deletions of these very bytes, within their grace, are undone."""
    now = iso((clock or SystemClock()).now())
    found = []
    for number in sorted(receipts.back(store, sha256, now)):
        if not receipts.pending(store, number):
            receipts.undone(store, number, now)
        found.append(_free(home, store, number))
    return found


def undo(home: Home, store: Store, number: int, *, clock: Clock | None = None) -> Receipt:
    """Take a `forget` back. Its files are read again at the next comparison, from the beginning.

    Raises NotFound for a number that is no receipt's, Refused when the grace period is over or the
    files are simply not there.
    """
    now = iso((clock or SystemClock()).now())
    receipt = one(store, number)
    if receipt.undone_at:
        return receipt
    if receipt.kind != ASKED:
        raise Refused(
            f"Receipt {number} is about files that are not there any more.",
            "Put them back: within the grace period that undoes it by itself.",
        )
    if all(item.removed for item in receipt.files):
        raise Refused(
            f"Receipt {number} is about notes that were deleted from the disk.", "Write them again."
        )
    if receipt.erased_at or receipt.grace_until <= now:
        raise Refused(
            f"The time to undo receipt {number} is over ({receipt.grace_until or 'no grace'}).",
            "Copy the file under another content, or watch it from another home.",
        )
    receipts.undone(store, number, now)
    tombstones.mirror(home, store)
    return _free(home, store, number)


def stays_away(number: int) -> str:
    """Why a forgotten file that still lies in its folder is not read, for the per-file table."""
    return f"forgotten (receipt {number}): it is not read again"


def one(store: Store, number: int) -> Receipt:
    """A receipt by number. Raises NotFound."""
    found = receipts.receipt(store, number)
    if found is None:
        raise NotFound(f"There is no receipt {number}.", "See `nightschool forget --receipt list`.")
    return found


def settle(home: Home, store: Store) -> int:
    """Serve no blocked version: move the pointer to the newest clean one, or the base.

    Finishes, too, what a kill cut off: a rollback's status, a forgetting that an older database
    which was put in place does not know. The number served now. Idempotent; loads nothing.
    """
    _again(home, store, tombstones.lost(home, store))
    tombstones.mirror(home, store)
    try:
        present = pointer.read(home)
    except StoreError:  # a damaged pointer serves nothing that could be blocked
        return 0
    versions.finish_rollback(store, present)
    row = rows.version(store, present.version) if present.version else None
    if not present.version or (row is not None and row.status != "blocked"):
        return present.version
    number = _newest_clean(home, store, present)
    target = rows.version(store, number) if number else None
    scale = target.scale if target is not None else 1.0
    directory = target.directory if target is not None else ""
    pointer.write(
        home, pointer.Pointer(number, present.base_sha, scale, directory, present.history)
    )
    return number


# -- nights --------------------------------------------------------------------------------------


def watching(
    store: Store, run_id: int, check: Callable[[], None], report: Progress
) -> tuple[Callable[[], None], Progress]:
    """`check` and `report` of a night that also raise Forgotten when a file it practises goes."""
    looked = -LOOK_S

    def look() -> None:
        nonlocal looked
        if time.monotonic() - looked >= LOOK_S:
            allow(store, run_id)
            looked = time.monotonic()

    def checked() -> None:
        check()
        look()

    def reported(stage: str, done: int, total: int) -> None:
        report(stage, done, total)
        look()

    return checked, reported


def allow(store: Store, run_id: int, number: int | None = None) -> None:
    """Raise Forgotten when this night saw a forgotten file; its fresh version `number` is blocked.

    After this returned, whoever forgets a file finds the version and blocks it.
    """
    with store.transaction():
        message = runs.revoked(store, run_id)
        if message and number is not None:
            rows.set_status(store, number, "blocked", message)
    if message:
        raise Forgotten(message, "`nightschool learn` starts anew without it.")


def relearn_wanted(store: Store) -> bool:
    """Whether a version was blocked and no night has come to an end since."""
    return receipts.relearn(store) is not None


def relearned(store: Store, run_id: int) -> None:
    """A night came to its verdict: what was asked for before it began is done."""
    run = runs.run(store, run_id)
    if run is not None:
        receipts.relearned(store, run.started_at)


# -- inside --------------------------------------------------------------------------------------


def _again(home: Home, store: Store, gone: Sequence[Tombstone]) -> None:
    """Forget what was forgotten before an older database took the place of the one that knew."""
    if not gone:
        return
    clock = SystemClock()
    with store.transaction():
        found = receipts.matching(store, [(item.root, item.path, item.sha256) for item in gone])
        touched = reports.naming(store, set(found.values()))
        files = receipts.describe(store, set(found.values()))
        target = gone[0].path if len(gone) == 1 else f"{len(gone)} files forgotten before"
        number = _open(store, ASKED, target, Forget(), clock)
        for item in files:
            receipts.take_out(store, item.document_id, reason=stays_away(number))
        receipts.keep_away(store, number, ASKED, [
            (item.root, item.path, item.sha256, found.get((item.root, item.path, item.sha256), 0))
            for item in gone
        ])  # fmt: skip
        _conclude(home, store, number, ASKED, target, files, clock)
        shelf.take_away(home, touched)
    shelf.take_away(home, touched)


def _open(store: Store, kind: str, target: str, config: Forget, clock: Clock) -> int:
    until = "" if config.grace_s <= 0 else iso(clock.now() + timedelta(seconds=config.grace_s))
    return receipts.open_receipt(store, kind, target, iso(clock.now()), until)


def _gone(item: ForgottenFile) -> str:
    """The content that is gone: none while a copy of the same bytes stays indexed."""
    return "" if item.copies else item.sha256


def _conclude(
    home: Home,
    store: Store,
    number: int,
    kind: str,
    target: str,
    files: Sequence[ForgottenFile],
    clock: Clock,
) -> Receipt:
    """Block, end, queue, and write the receipt; inside the caller's transaction."""
    at = iso(clock.now())
    tainted = sorted(receipts.tainted_runs(store, number))
    receipts.relink(store, [item.document_id for item in files if item.copies])
    names = ", ".join(item.path for item in files[:2]) + (" and others" if len(files) > 2 else "")
    before = _served(home)
    blocked = receipts.block(store, tainted, f"it saw {names}, now forgotten (receipt {number})")
    ended = receipts.end_nights(
        store, tainted, f"A file it practised was forgotten (receipt {number}).", at
    )
    if blocked or ended:
        state.put(store, receipts.RELEARN, {"receipt": number, "at": at})
    opened = receipts.grace(store, number)
    return receipts.settle(
        store,
        Receipt(
            kind=kind,
            target=target,
            at=at,
            files=tuple(files),
            versions=tuple(blocked),
            nights=ended,
            served_before=before.version,
            served_after=_after(home, store, before),
            relearn=bool(blocked or ended),
            grace_until=opened,
            id=number,
        ),
    )


def _served(home: Home) -> pointer.Pointer:
    try:
        return pointer.read(home)
    except StoreError:
        return pointer.Pointer()


def _after(home: Home, store: Store, present: pointer.Pointer) -> int:
    row = rows.version(store, present.version) if present.version else None
    if row is None or row.status != "blocked":
        return present.version
    return _newest_clean(home, store, present)


def _newest_clean(home: Home, store: Store, present: pointer.Pointer) -> int:
    """The newest promoted version of this base whose adapter is whole; 0 is the base."""
    for version in rows.versions(store, present.base_sha):
        if version.status == "promoted":
            with contextlib.suppress(Refused):
                versions.verify(home, version)
                return version.number
    return 0


def _free(home: Home, store: Store, number: int) -> Receipt:
    """Give versions that this receipt blocked their old status back, unless something else of
    what they saw is gone; serve what was served before if nothing else was chosen meanwhile."""
    receipt = one(store, number)
    with store.transaction():
        tainted = receipts.tainted_runs(store)
        freed: list[BlockedVersion] = []
        for item in receipt.versions:
            row = rows.version(store, item.number)
            if row is None or row.status != "blocked" or not row.directory:
                continue
            if item.run_id not in tainted:
                rows.set_status(store, item.number, item.status, f"free again (receipt {number})")
                freed.append(item)
        wish = receipts.relearn(store)
        if wish is not None and wish["receipt"] == number and len(freed) == len(receipt.versions):
            state.put(store, receipts.RELEARN, None)
    present = _served(home)
    served = receipt.served_before
    if served in [item.number for item in freed] and present.version == receipt.served_after:
        versions.use(home, store, served)
    return one(store, number)
