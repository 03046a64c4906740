"""The door on a unix socket besides the port: reachable for this user's programs alone.

The file has mode 0600, so the kernel keeps other users out before a byte is read; the guard behind
it is the same, Host and token included. No browser tab can reach it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

from nightschool.errors import Refused, UsageError

LONGEST = 100
"""Bytes of a socket's path: the kernels' structure holds 104 or 108."""


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600; a dead one of ours that lies there is replaced.

    Raises UsageError for a path that cannot be one, and Refused when something else lies there or
    a living program listens on it.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("This system has no unix sockets.", "Leave serve.socket empty.")
    if not path.is_absolute() or len(os.fsencode(path)) > LONGEST:
        raise UsageError(
            f"{path} cannot be a socket: the path must be absolute, of at most {LONGEST} bytes.",
            "Choose another serve.socket, for example in your runtime directory.",
        )
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.", "Make it, or change serve.socket.")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the file is never open to others, not even for a moment
    try:
        listener.bind(str(path))
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise Refused(
            f"No socket can be made at {path}: {error.strerror or error}.",
            "Choose a serve.socket on the host's own disk; memory sticks have none.",
        ) from error
    finally:
        os.umask(before)
    return listener


def remove(path: Path) -> None:
    """Take the socket's file away, if it is one."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise Refused(
            f"{path} is there already, and no socket of ours.", "Choose another serve.socket."
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            remove(path)
            return
        except OSError as error:
            raise Refused(f"{path} does not answer: {error}.", "Remove it, then start.") from error
    raise Refused(f"Another program listens on {path}.", "Choose another serve.socket.")
