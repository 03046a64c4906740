"""Who may come in: the bearer token in its 0600 file, and what a browser tab gets instead.

The file's token never leaves the file and the Authorization header. A status page in a browser
is let in with a one-time code (`nightschool open`), which it trades for a session of its own that
lives in this process's memory only.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nightschool.errors import Refused, StoreError

TOKEN_BYTES = 32
"""256 random bits: guessing is hopeless long before the throttle bites."""
MINIMUM_LENGTH = 32
CODE_S = 60.0
"""Seconds a one-time code is good for."""
SESSION_S = 12 * 3600.0
"""Seconds a browser session is good for."""
MAX_SESSIONS = 32

_LOG = logging.getLogger("nightschool.serve")


def token(path: Path) -> str:
    """The token, made on first use. The file is created with O_EXCL and mode 0600.

    A file that others could read is no secret any more, so it gets a new token and mode (logged as
    a warning). Raises Refused when it is a link, not a plain file, or another user's;
    StoreError when it cannot be read or written.
    """
    try:
        return _create(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(
            f"Cannot write the token file {path}: {error.strerror}.",
            "Check the folder's permissions and free space.",
        ) from error
    try:
        return _read(path)
    except OSError as error:
        raise StoreError(
            f"Cannot read the token file {path}: {error.strerror}.",
            f"Make it yours (`chmod 600 {path}`), or remove it: the next start makes a new one.",
        ) from error


def _create(path: Path) -> str:
    fresh = secrets.token_urlsafe(TOKEN_BYTES)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as sink:
        sink.write(fresh + "\n")
        sink.flush()
        os.fsync(handle)
    return fresh


def _read(path: Path) -> str:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"The token file {path} is not a plain file.", "Remove it and start again.")
    if os.name == "posix" and found.st_uid != os.geteuid():
        raise Refused(
            f"The token file {path} belongs to another user.", "Remove it and start again."
        )
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, encoding="utf-8", errors="replace") as source:
        text = source.read(1024).strip()
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        _LOG.warning(
            "The token file %s was open to other users (mode %o): a new token was made. "
            "Programs that stored the old one must read the file again.",
            path,
            stat.S_IMODE(found.st_mode),
        )
        return _rotate(path)
    if len(text) < MINIMUM_LENGTH or not text.isascii() or not text.isprintable():
        _LOG.warning("The token file %s was damaged: a new token was made.", path)
        return _rotate(path)
    return text


def _rotate(path: Path) -> str:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    fresh = _create(temporary)
    temporary.replace(path)
    return fresh


@dataclass
class Keyring:
    """What the guard accepts. Comparisons take constant time; codes work once."""

    bearer: str
    monotonic: Callable[[], float]
    _codes: dict[str, float] = field(default_factory=dict)
    _sessions: dict[str, float] = field(default_factory=dict)

    def accepts(self, presented: str) -> bool:
        """Whether this is the token or a live session."""
        now = self.monotonic()
        self._sessions = {name: end for name, end in self._sessions.items() if end > now}
        found = False
        for valid in (self.bearer, *self._sessions):
            found |= hmac.compare_digest(presented.encode(), valid.encode())
        return found

    def new_code(self) -> str:
        """A one-time code for a browser tab."""
        now = self.monotonic()
        self._codes = {name: end for name, end in self._codes.items() if end > now}
        code = secrets.token_urlsafe(TOKEN_BYTES)
        self._codes[code] = now + CODE_S
        return code

    def redeem(self, code: str) -> bool:
        """Use up a code; False when it is unknown, used or too old."""
        found = None
        for valid in self._codes:
            if hmac.compare_digest(code.encode(), valid.encode()):
                found = valid
        return found is not None and self._codes.pop(found) > self.monotonic()

    def new_session(self) -> str:
        """A bearer for one browser tab; the oldest makes room."""
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=self._sessions.__getitem__)]
        session = secrets.token_urlsafe(TOKEN_BYTES)
        self._sessions[session] = self.monotonic() + SESSION_S
        return session


@dataclass
class Throttle:
    """Counts wrong credentials from anywhere in one bucket; loopback is no exemption."""

    monotonic: Callable[[], float]
    limit: int = 20
    window_s: float = 60.0
    _failures: list[float] = field(default_factory=list)

    def fail(self) -> float:
        """Record a failure; the seconds to wait when there are too many, else 0."""
        now = self.monotonic()
        self._failures = [at for at in self._failures if now - at < self.window_s]
        if len(self._failures) >= self.limit:
            return self.window_s - (now - self._failures[0])
        self._failures.append(now)
        return 0.0
