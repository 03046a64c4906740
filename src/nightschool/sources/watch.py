"""Listen for changes in watched folders. Events are hints only: what changed is found by looking.

Each root has its own watchdog observer, so that one folder on a stick or a network share cannot
take the others down. The kernel is asked only for the events that matter (`event_filter`), which
keeps a burst of 10,000 files from overflowing its queue; when it overflows all the same, watchdog
logs it and loses the events, so its log is listened to and everything is compared again. Where
the kernel cannot tell (no watches left, an unknown file system), the root is polled instead.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog import events
from watchdog.events import FileSystemEvent, FileSystemEventHandler

from nightschool.sources import kinds
from nightschool.sources.files import portable
from nightschool.sources.ignore import PATTERN_FILES
from nightschool.sources.kinds.source import Source

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

POLL_S = 10.0
"""Seconds between two looks at a root that cannot be watched."""
_STOP_S = 5.0
_OVERFLOW = "were lost"
_CHANGES: list[type[FileSystemEvent]] = [
    events.FileDeletedEvent,
    events.FileMovedEvent,
    events.FileCreatedEvent,
    events.DirCreatedEvent,
    events.DirDeletedEvent,
    events.DirMovedEvent,
]
# inotify says when a written file is closed; other systems only that it was modified.
_WRITTEN = events.FileClosedEvent if sys.platform == "linux" else events.FileModifiedEvent
_LOG = logging.getLogger("nightschool.sources")

Hint = Callable[[int, str], None]
"""`hint(root id, stored path)`: something happened there; an empty path means the whole root."""


class Mode(StrEnum):
    """How a root is followed."""

    WATCHED = "watched"
    POLLED = "polled"
    MISSING = "missing"


def noise(key: str) -> bool:
    """Whether a stored path can never be indexed, by its name alone: cheap, before any waiting.

    A first sieve only; the rules of the folder itself are `sources.ignore`'s.
    """
    parts = key.split("/")
    if parts[-1] in PATTERN_FILES:
        parts = parts[:-1]
    if any(part.startswith(".") for part in parts):
        return True
    return bool({"node_modules", "__pycache__"} & set(parts)) or key.endswith(
        ("~", ".tmp", ".swp", ".part", ".crdownload")
    )


class _Handler(FileSystemEventHandler):
    """Turns absolute paths of one root into hints."""

    def __init__(self, root_id: int, folder: Path, hint: Hint, source: Source) -> None:
        self._root_id = root_id
        self._source = source
        self._prefix = str(folder)
        self._hint = hint

    def dispatch(self, event: FileSystemEvent) -> None:
        if isinstance(event, events.DirModifiedEvent):
            return
        for raw in (event.src_path, event.dest_path):
            path = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
            if not path:
                continue
            inside = path.removeprefix(self._prefix).strip("/\\")
            key = "/".join(portable(part) for part in inside.replace("\\", "/").split("/"))
            if not noise(key) or self._source.file(key) or self._source.folder(key):
                self._hint(self._root_id, key)


class _Overflow(logging.Handler):
    """Watchdog only logs that the kernel dropped events: this turns the line into a call."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        if _OVERFLOW in record.getMessage():
            self._call()


@dataclass
class Watch:
    """All watched roots. `hint` and `overflow` are called from watchdog's threads."""

    hint: Hint
    overflow: Callable[[], None]
    poll_s: float = POLL_S
    modes: dict[int, Mode] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    _observers: dict[int, BaseObserver] = field(default_factory=dict)
    _listener: _Overflow | None = None

    def start(self) -> None:
        """Listen for overflows."""
        self._listener = _Overflow(self.overflow)
        logging.getLogger("watchdog.observers.inotify_c").addHandler(self._listener)

    def add(self, root_id: int, folder: Path, source: str = "folder") -> Mode:
        """Follow a folder; polled when it cannot be watched, missing when it is not there.

        `source` is its kind: it may read files that are hidden.
        """
        self.remove(root_id)
        if not folder.is_dir():
            return self._set(root_id, Mode.MISSING, f"{folder} is not there")
        handler = _Handler(root_id, folder, self.hint, kinds.kind(source))
        try:
            self._observers[root_id] = _observe(folder, handler, None)
        except OSError as error:
            _LOG.warning("Polling %s: it cannot be watched (%s).", folder, error)
            try:
                self._observers[root_id] = _observe(folder, handler, self.poll_s)
            except OSError as again:
                return self._set(root_id, Mode.MISSING, f"{folder} cannot be read ({again})")
            reason = f"looked at every {self.poll_s:.0f} s: {error.strerror or error}"
            if "inotify" in str(error).lower() or error.errno in (24, 28):
                reason += "; raising the sysctl fs.inotify.max_user_watches helps"
            return self._set(root_id, Mode.POLLED, reason)
        return self._set(root_id, Mode.WATCHED, "")

    def alive(self, root_id: int) -> bool:
        """Whether the folder is still followed: an unmounted one ends its own observer."""
        observer = self._observers.get(root_id)
        return observer is not None and any(emitter.is_alive() for emitter in observer.emitters)

    def remove(self, root_id: int) -> None:
        """Stop following a folder."""
        observer = self._observers.pop(root_id, None)
        self.modes.pop(root_id, None)
        self.reasons.pop(root_id, None)
        if observer is not None:
            observer.stop()
            observer.join(_STOP_S)

    def stop(self) -> None:
        """Stop following everything."""
        for root_id in list(self._observers):
            self.remove(root_id)
        if self._listener is not None:
            logging.getLogger("watchdog.observers.inotify_c").removeHandler(self._listener)

    def _set(self, root_id: int, mode: Mode, reason: str) -> Mode:
        self.modes[root_id] = mode
        self.reasons[root_id] = reason
        return mode


def _observe(folder: Path, handler: FileSystemEventHandler, poll_s: float | None) -> BaseObserver:
    observer: BaseObserver
    if poll_s is None:
        from watchdog.observers import Observer

        observer = Observer()
    else:
        from watchdog.observers.polling import PollingObserver

        observer = PollingObserver(timeout=poll_s)
    try:
        observer.schedule(handler, str(folder), recursive=True, event_filter=[*_CHANGES, _WRITTEN])
        observer.start()
    except BaseException:
        observer.unschedule_all()
        if observer.is_alive():
            observer.stop()
        raise
    return observer
