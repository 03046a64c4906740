"""Read files in a child with limits, one child for many files.

Covered: time (each file), memory (address space, where the platform can), a crash of a parser, an
endless loop in C code. Not covered: the child may read what the user may read; it has no reason
to, but nothing stops it. A child that dies takes only its file with it; the next gets a new one.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from nightschool.children.child import Child
from nightschool.errors import ChildError, ParseError
from nightschool.ingest.reading import Reading
from nightschool.records import Chunk, Locator

MEMORY_BYTES = 512 * 1024 * 1024
MODULE = "nightschool.ingest.sandboxed"
FILES_PER_CHILD = 2000
"""Then a fresh one: what a library leaks stays small."""


class Sandbox:
    """Reads files one after another. Close it, or use it in a `with`.

    `people` and `hide` are `reading.read`'s: what is redacted, and whether search sees it. `ocr`
    are the languages in which scanned pages are read, empty for not at all (see `ocr`).
    """

    def __init__(
        self,
        log: Path,
        *,
        timeout_s: float = 30.0,
        max_bytes: int = 50_000_000,
        people: bool = True,
        hide: bool = False,
        ocr: str = "",
    ) -> None:
        self._log = log
        self._ocr = ocr
        self._redaction = {"people": people, "hide": hide}
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._child: Child | None = None
        self._served = 0
        self.started = 0
        """How many children were needed so far."""

    def read(self, file: Path, path: str) -> Reading:
        """The passages of `file`, which is stored as `path`.

        Raises ParseError with a reason for the user, and ChildError when no child can be started.
        """
        child = self._ready()
        self._served += 1
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(self._timeout_s, stop)
        timer.start()
        try:
            raw = child.call(
                "read",
                {
                    "file": str(file),
                    "path": path,
                    "max_bytes": self._max_bytes,
                    "timeout_s": self._timeout_s,
                    **self._redaction,
                },
            )
        except ChildError as error:
            self.close()
            if late.is_set():
                raise ParseError(f"reading it took longer than {self._timeout_s:g} s") from error
            raise ParseError("its parser crashed or ran out of memory") from error
        finally:
            timer.cancel()
        return _reading(raw)

    def start(self) -> None:
        """Start the child now, so that the first file need not wait for it."""
        self._ready()

    def _ready(self) -> Child:
        if self._served >= FILES_PER_CHILD or (self._child and not self._child.alive):
            self.close()
        if self._child is None:
            child = Child(
                MODULE,
                [self._ocr],
                log=self._log,
                memory_bytes=MEMORY_BYTES,
                # glibc reserves 64 MB of address space for each thread's arena otherwise.
                environment={"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
            )
            child.wait_ready()
            self._child, self._served = child, 0
            self.started += 1
        return self._child

    def close(self) -> None:
        """End the child; a later `read` starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.stop(1.0)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reading(raw: dict[str, Any]) -> Reading:
    return Reading(
        raw["title"],
        raw["format"],
        tuple(_chunk(item) for item in raw["chunks"]),
        {str(kind): int(count) for kind, count in raw["redactions"].items()},
        raw["note"],
        raw["sha256"],
        raw["language"],
    )


def _chunk(raw: dict[str, Any]) -> Chunk:
    return Chunk(raw["ordinal"], raw["text"], raw["safe"], Locator.of(raw["locator"]))
