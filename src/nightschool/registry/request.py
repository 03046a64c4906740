"""`forget` as a person asks for it: find what is meant, have it confirmed, forget it, once."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from nightschool.clock import Clock
from nightschool.config import Forget
from nightschool.errors import SourceError
from nightschool.paths import Home
from nightschool.records import Document, FileStatus, Receipt
from nightschool.registry import forget, target, versions
from nightschool.store import documents
from nightschool.store.db import Store


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What became of a request. Without a receipt, `files` wait for a confirmation.

    `kind` is file, folder or query; `repeated` says that all of it was forgotten before.
    """

    kind: str
    files: tuple[Document, ...]
    receipt: Receipt | None = None
    repeated: bool = False


def request(
    home: Home,
    store: Store,
    what: str,
    config: Forget,
    *,
    confirmed: bool = False,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> Forgetting:
    """Forget the one file that `what` names; folders and words need `confirmed`.

    `dry_run` only looks. Raises NotFound and UsageError (see `target.find`).
    """
    found = target.find(store, what)
    if found.done is not None:
        return Forgetting(found.kind, (), found.done, repeated=True)
    if dry_run or (found.kind != target.FILE and not confirmed):
        return Forgetting(found.kind, found.files)
    ids = [item.id or _note(store, item) for item in found.files]
    receipt = forget.asked(home, store, ids, what, config, clock=clock)
    return Forgetting(found.kind, found.files, receipt)


def _note(store: Store, item: Document) -> int:
    """A file that was not read yet gets its row, with its hash, so that it can be kept away."""
    root = next(root for root in documents.roots(store) if root.id == item.root_id)
    path = Path(root.path) / item.path
    try:
        found = os.lstat(path)
        item = replace(
            item, size=found.st_size, mtime_ns=found.st_mtime_ns, sha256=versions.sha256(path)
        )
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror or error}.", "Check its permissions."
        ) from error
    return documents.save(store, replace(item, status=FileStatus.SKIPPED), [])
