"""Stages 1 to 3 for a batch of changed files: compare, read, store, embed, index.

As a child (`python -m nightschool.children.launch … nightschool.intake HOME`) it serves the
operation `intake {"root": id or null, "paths": [...] or null}` and streams
`{"stage", "done", "total"}`. It may be killed at any moment: each file and each batch of vectors
is one transaction, and the next run goes on from there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nightschool import config as settings
from nightschool import paths
from nightschool.children.worker import Job, Worker
from nightschool.errors import NotFound, ParseError, SourceError
from nightschool.index.embed import (
    LARGE_BACKLOG,
    NAME,
    QuickMiniLM,
    embed_backlog,
    embedder_for,
)
from nightschool.index.vectors import VectorIndex
from nightschool.ingest import chunk
from nightschool.ingest.parse import format_of, unread
from nightschool.ingest.reading import name_title
from nightschool.ingest.sandbox import Sandbox
from nightschool.models.minilm import WIDTH
from nightschool.paths import Home
from nightschool.ports import Embedder, Progress, silent
from nightschool.records import Change, Document, FileStatus, Kind, Root
from nightschool.registry import forget
from nightschool.sources.files import obstacle, resolve
from nightschool.sources.reconcile import reconcile, still_there
from nightschool.store import documents, receipts, state
from nightschool.store.db import Store, open_store

READER = "reader_version"
"""Which way of reading files the store was filled with."""


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What one batch did, in files; `chunks` were written new, `embedded` got vectors.

    `problems` are folders that could not be compared, each with its remedy.
    """

    added: int = 0
    modified: int = 0
    moved: int = 0
    deleted: int = 0
    skipped: int = 0
    unchanged: int = 0
    chunks: int = 0
    embedded: int = 0
    seconds: float = 0.0
    problems: tuple[str, ...] = field(default_factory=tuple)


def run_intake(
    home: Home,
    store: Store,
    config: settings.Config,
    progress: Progress = silent,
    roots: Sequence[Root] | None = None,
    only: Collection[str] | None = None,
    embedder: Embedder | None = None,
    sandbox: Sandbox | None = None,
) -> IntakeReport:
    """Bring the index in step with the folders (all of them, or `roots`; or `only` these paths).

    A folder that cannot be seen is a problem in the report when others can be served, and a
    SourceError when it is the only one asked for. Raises StoreError when the disk is full: what
    was stored until then stays right.
    """
    started = time.monotonic()
    report = IntakeReport()
    chosen = documents.roots(store) if roots is None else list(roots)
    limits = config.files
    with contextlib.ExitStack() as stack:
        if sandbox is None:
            sandbox = stack.enter_context(_sandbox(home, limits))
        for root in chosen:
            try:
                changes = _changes(store, root, limits, progress, only)
                gone, later = _gone(store, root, changes)
                _forget(home, store, root, config, gone)
                for done, change in enumerate(changes):
                    progress("read", done, len(changes))
                    if change.kind is not Kind.DELETED:
                        report = _apply(home, store, root, config, sandbox, change, report)
                _forget(home, store, root, config, later)
            except SourceError as error:
                if roots is not None and len(chosen) == 1:
                    raise
                report = replace(report, problems=(*report.problems, str(error)))
                continue
            report = replace(
                report,
                deleted=report.deleted + len(gone) + len(later),
                unchanged=report.unchanged + _unchanged(store, root, changes),
            )
            progress("read", len(changes), len(changes))
    if only is None and roots is None and not report.problems:
        state.put(store, READER, _reader(config.files))
    report = replace(report, embedded=_embed(home, store, embedder, progress))
    return replace(report, seconds=round(time.monotonic() - started, 3))


def _sandbox(home: Home, limits: settings.Files) -> Sandbox:
    log = home.logs / "sandbox.log"
    return Sandbox(
        log,
        timeout_s=limits.parse_timeout_s,
        max_bytes=limits.max_bytes,
        people=limits.personal != "learn",
        hide=limits.search == "redacted",
        ocr=limits.ocr,
    )


def _reader(files: settings.Files) -> int | str:
    """The way of reading: another version or another redaction reads every file again."""
    chosen = (files.personal, files.search, files.ocr)
    usual = chosen == ("redact", "original", "")
    return chunk.VERSION if usual else " ".join((str(chunk.VERSION), *chosen))


def _changes(
    store: Store,
    root: Root,
    limits: settings.Files,
    progress: Progress,
    only: Collection[str] | None,
) -> list[Change]:
    """The differences, and every other file as well when files are read in a new way."""
    changes = reconcile(store, root, limits, progress, only)
    if only is not None or state.get(store, READER, chunk.VERSION) == _reader(limits):
        return changes
    named = {change.path for change in changes} | {change.old_path for change in changes}
    again = [
        Change(Kind.MODIFIED, root.id, path, size=item.size, mtime_ns=item.mtime_ns)
        for path, item in documents.known(store, root.id).items()
        if path not in named
    ]
    return changes + again


def _gone(
    store: Store, root: Root, changes: Sequence[Change]
) -> tuple[list[Document], list[Document]]:
    """The files that are gone: those to take out first, and those to look at last.

    The latter may have been moved over another file (`mv a.md b.md`): whether their content is
    still there is known once that one was read.
    """
    sizes = {change.size for change in changes if change.kind is Kind.MODIFIED}
    first: list[Document] = []
    last: list[Document] = []
    for change in changes:
        if change.kind is Kind.DELETED:
            item = documents.by_path(store, root.id, change.path)
            if item is not None:
                (last if item.size in sizes else first).append(item)
    return first, last


def _forget(
    home: Home, store: Store, root: Root, config: settings.Config, gone: Sequence[Document]
) -> None:
    """Out of search, practice and the served version at once, all files together."""
    if gone:
        forget.deleted(home, store, root.path, gone, config.forget)


def _apply(
    home: Home,
    store: Store,
    root: Root,
    config: settings.Config,
    sandbox: Sandbox,
    change: Change,
    report: IntakeReport,
) -> IntakeReport:
    """Store one change, in one transaction."""
    if change.kind is Kind.MOVED and change.old_path:
        title = _retitled(store, change)
        documents.move(store, root.id, change.old_path, change.path, change.mtime_ns, title)
        if _same_format(change):
            return replace(report, moved=report.moved + 1)
    strict = config.forget.edits == "block" and change.kind is not Kind.ADDED
    before = documents.by_path(store, root.id, change.path) if strict else None
    written = _read(home, store, root, config, sandbox, change)
    if before is not None:
        forget.edited(home, store, before, root.path, config.forget)
    if written is None:
        return replace(report, skipped=report.skipped + 1)
    report = replace(report, chunks=report.chunks + written)
    if change.kind is Kind.MODIFIED:
        return replace(report, modified=report.modified + 1)
    return replace(report, added=report.added + 1)


def _read(
    home: Home, store: Store, root: Root, config: settings.Config, sandbox: Sandbox, change: Change
) -> int | None:
    """Read one file and store it; the number of its passages, or None when it is skipped.

    Raises SourceError when the whole folder was taken away: that says nothing of the file.
    """
    folder = Path(root.path)
    item = Document(root.id, change.path, change.size, change.mtime_ns, "", FileStatus.SKIPPED)
    file = resolve(folder, change.path)
    if file is None:
        still_there(store, root)
        # Gone between the comparison and now: the next one will see it as deleted.
        documents.save(store, replace(item, reason="unreadable: it vanished while being read"), [])
        return None
    reason = obstacle(file, folder, config.files.max_bytes)
    if not reason and format_of(change.path) is None:
        reason = unread(change.path)
    if receipt := receipts.kept_out(store, root.path, change.path):
        reason = forget.stays_away(receipt)
    if reason:
        still_there(store, root)
        documents.save(store, replace(item, reason=reason), [])
        return None
    try:
        reading = sandbox.read(file, change.path)
    except ParseError as error:
        still_there(store, root)
        documents.save(store, replace(item, reason=error.message), [])
        return None
    with store.transaction():
        # Asked again at the last moment: it may have been forgotten while it was being read.
        receipt = receipts.kept_out(store, root.path, change.path, reading.sha256)
        if receipt:
            documents.save(store, replace(item, reason=forget.stays_away(receipt)), [])
            return None
        documents.save(
            store,
            replace(
                item,
                sha256=reading.sha256,
                status=FileStatus.INDEXED,
                reason=reading.note,
                title=reading.title,
                format=reading.format,
                redactions=reading.redactions,
                language=reading.language,
            ),
            reading.chunks,
        )
    forget.came_back(home, store, reading.sha256)
    return len(reading.chunks)


def _same_format(change: Change) -> bool:
    return change.old_path is not None and format_of(change.old_path) == format_of(change.path)


def _retitled(store: Store, change: Change) -> str:
    """The new title of a moved file that is called by its name, else empty."""
    old = change.old_path or ""
    found = documents.by_path(store, change.root_id, old)
    named = found is not None and found.title == name_title(old)
    return name_title(change.path) if named and name_title(old) != name_title(change.path) else ""


def _unchanged(store: Store, root: Root, changes: Sequence[Change]) -> int:
    changed = sum(1 for change in changes if change.kind is not Kind.DELETED)
    return max(0, documents.number_of_files(store, root.id) - changed)


def _embedder(backlog: int, models: Path) -> Embedder:
    return _large(models) if backlog >= LARGE_BACKLOG else _small(models)


@functools.lru_cache(maxsize=1)
def _large(models: Path) -> Embedder:
    """Kept, because a long backlog is interrupted for every file that is saved meanwhile."""
    return embedder_for(LARGE_BACKLOG, models)


@functools.lru_cache(maxsize=1)
def _small(models: Path) -> Embedder:
    """Kept, because one saved file after another would load it again each time (0.25 s)."""
    return QuickMiniLM(models)


def _embed(home: Home, store: Store, embedder: Embedder | None, progress: Progress) -> int:
    """Vectors for what waits, and the search cache in step; nothing is loaded for nothing."""
    backlog = documents.backlog(store, NAME if embedder is None else embedder.name)
    embedded = 0
    if backlog:
        chosen = _embedder(backlog, home.models) if embedder is None else embedder
        embedded = embed_backlog(store, chosen, progress)
    progress("index", 0, 1)
    name, dim = (NAME, WIDTH) if embedder is None else (embedder.name, embedder.dim)
    VectorIndex(store, home.index, name, dim).keep_file()
    progress("index", 1, 1)
    return embedded


def main(arguments: Sequence[str]) -> None:
    """Serve `intake` requests until stdin closes. `arguments`: the home's path."""
    home = paths.home(arguments[0] if arguments else None).create()
    config = settings.load(home.config)
    store = open_store(home.database, durable=False)
    sandbox = _sandbox(home, config.files)

    def intake(params: dict[str, Any], job: Job) -> IntakeReport:
        return run_intake(
            home,
            store,
            config,
            _streamed(worker, job),
            _chosen(store, params.get("root")),
            None if params.get("paths") is None else {str(path) for path in params["paths"]},
            sandbox=sandbox,
        )

    worker = Worker({"intake": intake})
    # A saved file is to be found within a second: the sandbox, a process start, waits for it.
    sandbox.start()
    try:
        worker.run({"pid": os.getpid(), "embedder": NAME})
    finally:
        sandbox.close()


def _chosen(store: Store, root_id: Any) -> list[Root] | None:
    if root_id is None:
        return None
    found = [root for root in documents.roots(store) if root.id == int(root_id)]
    if not found:
        raise NotFound(
            f"No watched folder has the number {root_id}.", "See: nightschool watch list"
        )
    return found


def _streamed(worker: Worker, job: Job) -> Progress:
    """Progress as events, at most ten a second, and a look at whether the request was cancelled."""
    last: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        job.check()
        worker.beat()
        now = time.monotonic()
        if now - last.get(stage, -1.0) >= 0.1 or (total and done == total):
            last[stage] = now
            job.emit({"stage": stage, "done": done, "total": total})

    return progress
