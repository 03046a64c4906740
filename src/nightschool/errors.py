"""Every error Nightschool raises on purpose. Each says what happened and what to do next.

    NightschoolError             exit 1   something failed; `remedy` says what to do
    ├── UsageError               exit 2   the request itself makes no sense (flag, path, name)
    │   └── NotFound             exit 2   the named folder, version, run or model does not exist
    ├── Refused                  exit 3   a guard or the gate said no, on purpose
    │   ├── TooLittle            exit 3   too few facts to learn or to examine
    │   └── Vetoed               exit 3   a candidate failed its exams
    ├── SourceError              exit 1   a watched folder is missing, unreadable or vanished
    ├── ParseError               exit 1   one file could not be read (recorded per file)
    ├── StoreError               exit 1   database: locked, damaged, from a newer version, disk full
    ├── ModelError               exit 1   a model file is missing, foreign, damaged or does not fit
    ├── TrainError               exit 1   training ended without an adapter (NaN, memory, parity)
    │   ├── Interrupted          exit 1   stopped on purpose; resumes from its checkpoint
    │   └── Forgotten            exit 1   a file it practised was forgotten; it starts anew
    └── ChildError               exit 1   a heavy child process failed to start, died or hung

Foreign exceptions are translated at the boundary of the folder that calls the library, with
the cause kept (`raise ... from error`).
"""

from __future__ import annotations

import errno


class NightschoolError(Exception):
    """Base of all expected errors.

    `message` says what happened, `remedy` what the user can do; both are one line.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    @property
    def code(self) -> str:
        """The class name: stable over HTTP, MCP and the children's channel."""
        return type(self).__name__


class UsageError(NightschoolError):
    """The request makes no sense: a wrong flag, path or name."""

    exit_code = 2


class NotFound(UsageError):
    """The named folder, file, version, run or model does not exist."""


class Refused(NightschoolError):
    """A guard or the gate refused on purpose; nothing is broken."""

    exit_code = 3


class TooLittle(Refused):
    """Too few facts to learn from, or too few probes to examine with."""


class Vetoed(Refused):
    """A candidate adapter failed its exams."""


class SourceError(NightschoolError):
    """A watched folder is missing, unreadable, or vanished."""


class ParseError(NightschoolError):
    """One file could not be turned into text; the reason is recorded per file."""


class StoreError(NightschoolError):
    """The database is locked, damaged, from a newer version, or the disk is full."""


class ModelError(NightschoolError):
    """A model file is missing, foreign, damaged, or does not fit into memory."""


class TrainError(NightschoolError):
    """Training ended without an adapter: NaN, out of memory, parity failed."""


class Interrupted(TrainError):
    """Training was stopped on purpose; it resumes from its checkpoint."""


class Forgotten(TrainError):
    """A file that the night practised was forgotten meanwhile; nothing of it is kept."""


class ChildError(NightschoolError):
    """A heavy child process failed to start, died, or stopped answering."""


def of_disk(error: OSError) -> StoreError | None:
    """What to say of a write that the disk or the system refused; None when `error` is of another
    kind."""
    place = f" that holds {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"The disk{place} is full.", "Free some space and try again.")
    if error.errno == errno.EROFS:
        return StoreError(
            f"The disk{place} can only be read.", "Make it writable, or use another --home."
        )
    if error.errno in (errno.EACCES, errno.EPERM) and error.filename:
        return StoreError(f"Permission denied: {error.filename}.", "Check its owner and mode.")
    return None


_NO_MEMORY = ("out of memory", "not enough memory", "allocate memory", "alloc_failed", "bad_alloc")


def of_memory(error: BaseException) -> bool:
    """Whether this says that memory ran out. torch and llama.cpp say it with a RuntimeError, each
    device in words of its own; an access to a wrong address speaks of memory too."""
    if isinstance(error, MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in said for sign in _NO_MEMORY)


def by_code(code: str, message: str, remedy: str = "") -> NightschoolError:
    """Rebuild an error that crossed a process border by its class name."""
    pending = [NightschoolError]
    while pending:
        cls = pending.pop()
        if cls.__name__ == code:
            return cls(message, remedy)
        pending.extend(cls.__subclasses__())
    return NightschoolError(message, remedy)
