"""Keep the index equal to the folders: hints → settled paths → comparison → intake child.

What changed is always found by comparing (`sources.reconcile`); the events only say where to look
first. Everything is compared at the start, hourly, after the machine slept, after an overflow and
when a folder comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightschool.clock import Clock, iso
from nightschool.config import Files
from nightschool.daemon import bridge
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.settle import Look, Settler, look_at
from nightschool.errors import NightschoolError, SourceError
from nightschool.records import Root
from nightschool.sources.reconcile import reconcile
from nightschool.sources.watch import Mode, Watch
from nightschool.store import documents
from nightschool.store.db import Store

RETRY_S = (0.5, 2.0, 10.0, 60.0)
"""Seconds until a batch is tried again after the intake child failed; the last one repeats."""
_LOG = logging.getLogger("nightschool.daemon")
_ALL: set[str] | None = None


@dataclass
class Watching:
    """All that concerns files. Methods run on the event loop unless they say otherwise."""

    store: Store
    files: Files
    intake: Keeper
    pool: ThreadPoolExecutor
    clock: Clock
    owned: Path
    """The folder of remembered notes: watched like any other, and never removed."""
    progress: dict[str, Any] = field(default_factory=dict)
    reconciled_at: str = ""
    _roots: dict[int, Root] = field(default_factory=dict)
    _places: dict[int, tuple[int, int] | None] = field(default_factory=dict)
    _todo: dict[int, set[str] | None] = field(default_factory=dict)
    _problems: dict[int, str] = field(default_factory=dict)
    _failures: int = 0
    _retry_at: float = 0.0
    _task: asyncio.Task[None] | None = None
    _working: bool = False
    _doing: set[int] = field(default_factory=set)
    """Roots whose turn has not come to an end."""
    _rest: set[int] = field(default_factory=set)
    """Roots whose files are read but whose vectors had to wait for other files."""

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._done = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        self._settler = Settler(self.files.settle_s, self._look, time.monotonic)
        self._home = self.owned.parent.resolve()
        self._watch = Watch(self._from_thread, self._overflowed)

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Watch all roots and compare them with the index."""
        await asyncio.to_thread(documents.add_root, self.store, str(self.owned))
        await asyncio.to_thread(self._watch.start)
        await self.sync_roots()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._watch.stop)

    async def sync_roots(self) -> None:
        """Follow what the store lists: new roots, removed ones, ones that vanished or came back."""
        listed = {root.id: root for root in await asyncio.to_thread(documents.roots, self.store)}
        for root_id in set(self._roots) - set(listed):
            await asyncio.to_thread(self._watch.remove, root_id)
            self._settler.forget(root_id)
            for table in (self._roots, self._places, self._todo, self._problems):
                table.pop(root_id, None)
            self._rest.discard(root_id)
        for root_id, root in listed.items():
            known = self._roots.get(root_id)
            self._roots[root_id] = root
            place = await asyncio.to_thread(_place, Path(root.path))
            dead = self._watch.modes.get(root_id) in (Mode.WATCHED, Mode.POLLED) and not (
                self._watch.alive(root_id)
            )
            if known is None or place != self._places.get(root_id) or (dead and place):
                self._places[root_id] = place
                mode = await asyncio.to_thread(
                    self._watch.add, root_id, Path(root.path), root.source
                )
                _LOG.info("%s is %s %s", root.path, mode.value, self._watch.reasons[root_id])
                self._queue(root_id, _ALL)

    def use(self, files: Files) -> None:
        """Other limits from now on; all is compared, for they decide which files are read."""
        self.files = files
        self._settler.settle_s = files.settle_s
        self.compare_all("the settings changed")

    def compare_all(self, why: str) -> None:
        """Compare every root with the index."""
        _LOG.info("Comparing all folders with the index: %s.", why)
        for root_id in self._roots:
            self._queue(root_id, _ALL)

    # -- hints --------------------------------------------------------------------------------

    def _from_thread(self, root_id: int, path: str) -> None:
        self._loop.call_soon_threadsafe(self._hint, root_id, path)

    def _overflowed(self) -> None:
        self._loop.call_soon_threadsafe(self.compare_all, "the kernel dropped events")

    def _hint(self, root_id: int, path: str) -> None:
        if root_id not in self._roots or self._own(root_id, path):
            return
        self._settler.hint(root_id, path)
        if not self.intake.alive:  # started while the file settles, so that it is ready then
            self.pool.submit(self.intake.warm)
        self._wake.set()

    def _own(self, root_id: int, path: str) -> bool:
        """Whether this is a file of our home, which may lie inside a watched folder: what we write
        there must not wake us up again."""
        try:
            inside = self._home.relative_to(self._roots[root_id].path).as_posix()
        except ValueError:
            return False
        return path == inside or path.startswith(f"{inside}/")

    def _look(self, root_id: int, path: str) -> Look:
        root = self._roots.get(root_id)
        return None if root is None else look_at(Path(root.path), path)

    def _queue(self, root_id: int, paths: set[str] | None) -> None:
        before = self._todo.get(root_id, set())
        self._todo[root_id] = None if before is None or paths is None else before | paths
        self._wake.set()

    # -- work ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            settled, wait = self._settler.due()
            for root_id, paths in settled.items():
                self._queue(root_id, _ALL if "" in paths else paths)
            if (self._todo or self._rest) and time.monotonic() >= self._retry_at:
                self._working = True
                try:
                    await self._work()
                finally:
                    self._working = False
                    async with self._done:
                        self._done.notify_all()
                continue
            if self._todo or self._rest:
                left = self._retry_at - time.monotonic()
                wait = left if wait is None else min(wait, left)
            self._wake.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _work(self) -> None:
        todo, self._todo = self._todo, {}
        if not todo:
            todo, self._rest = {root_id: set() for root_id in self._rest}, set()
        self._doing = set(todo)
        for number, (root_id, paths) in enumerate(todo.items(), start=1):
            root = self._roots.get(root_id)
            if root is None:
                continue
            try:
                if paths == set() or await asyncio.to_thread(self._differs, root, paths):
                    await self._take_in(root_id, paths, more=number < len(todo))
                self._problems.pop(root_id, None)
                self._failures = 0
                if paths is None:
                    self.reconciled_at = iso(self.clock.now())
            except SourceError as error:
                self._problem(root_id, error)
            except NightschoolError as error:
                wait = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
                self._failures += 1
                self._retry_at = time.monotonic() + wait
                self._problem(root_id, error)
                self._queue(root_id, paths)
            self._doing.discard(root_id)
        self.progress = {}

    def _differs(self, root: Root, paths: set[str] | None) -> bool:
        """In a thread: whether anything changed, or was left without its vector by a failure."""
        if reconcile(self.store, root, self.files, only=paths):
            return True
        look = paths is None or self._failures > 0
        return look and documents.without_any_vector(self.store) > 0

    async def _take_in(self, root_id: int, paths: set[str] | None, *, more: bool) -> None:
        """Let the intake child read what changed, and then make the vectors that are missing.

        Vectors wait while there is anything to read (`more`, or new hints): a saved file is found
        by its words at once, however long the backlog is. No paths at all means only vectors.
        """
        params = {"root": root_id, "paths": None if paths is None else sorted(paths)}
        source = lambda ticket: self.intake.stream(ticket, "intake", params)  # noqa: E731
        async with contextlib.aclosing(bridge.stream(self.pool, source)) as messages:
            async for message in messages:
                if "event" not in message:
                    continue
                self.progress = dict(message["event"])
                if self.progress.get("stage") == "embed" and (more or self._newer()):
                    self._rest.add(root_id)
                    return

    def _newer(self) -> bool:
        """Whether files came to rest meanwhile, or whole folders are to be compared."""
        settled, _ = self._settler.due()
        for root_id, paths in settled.items():
            self._queue(root_id, _ALL if "" in paths else paths)
        return bool(self._todo)

    def _problem(self, root_id: int, error: NightschoolError) -> None:
        text = str(error)
        if self._problems.get(root_id) != text:
            _LOG.warning("%s", text)
        self._problems[root_id] = text

    # -- asking -------------------------------------------------------------------------------

    @property
    def changing(self) -> int:
        """How many paths wait to be read; a whole root counts as one."""
        queued = sum(1 if paths is None else len(paths) for paths in self._todo.values())
        return self._settler.waiting() + queued + len(self._rest) + int(self._working)

    def waiting_paths(self) -> list[tuple[int, str]]:
        """Paths that have not settled yet."""
        return self._settler.paths()

    async def take_now(self, root_id: int, path: str) -> None:
        """Put one path, written by ourselves and complete, into the index without settling."""
        self._queue(root_id, {path})
        async with self._done:
            await self._done.wait_for(lambda: not self._working and root_id not in self._todo)

    def root_id(self, path: str) -> int | None:
        return next((key for key, root in self._roots.items() if root.path == path), None)

    def describe(self) -> dict[str, Any]:
        """Watching in `status`."""
        return {
            "roots": [
                {
                    "id": root.id,
                    "path": root.path,
                    "learn": root.learn,
                    "owned": root.path == str(self.owned),
                    "busy": root.id in self._todo
                    or root.id in self._rest
                    or root.id in self._doing
                    or self._settler.waiting(root.id) > 0,
                    "state": "problem"
                    if root.id in self._problems
                    else self._watch.modes.get(root.id, Mode.MISSING).value,
                    "reason": self._problems.get(root.id) or self._watch.reasons.get(root.id, ""),
                }
                for root in self._roots.values()
            ],
            "changing": self.changing,
            "progress": self.progress or None,
            "last_compared_at": self.reconciled_at,
        }


def _place(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
