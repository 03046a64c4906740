"""Replace a file or directory so that a crash leaves the old or the new one, never a mixture.

The order is ALICE's (OSDI 2014): write a temporary file, fsync it, rename, fsync the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from pathlib import Path

from nightschool import vault
from nightschool.errors import StoreError


def write_bytes(path: Path, data: bytes) -> None:
    """Atomically replace `path`. Raises StoreError when the disk is full or read-only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StoreError(
            f"Cannot write {path}: {error.strerror or error}.",
            "Check free space and permissions, then try again.",
        ) from error


def remove(path: Path) -> None:
    """Take a file or a folder away for good, if it is there. Raises StoreError when it stays.

    Without the fsync of the folder above, what was forgotten could be back after a power cut.
    """
    try:
        if not os.path.lexists(path):
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be removed: {error.strerror or error}.",
            "Close what uses it, check its permissions, and try again.",
        ) from error


def sync_file(path: Path) -> None:
    """Push one file's content to the disk."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_directory(path: Path) -> None:
    """Push a rename to the disk, where the platform can (Windows cannot open directories).

    On an encrypted stick, where the home is open in memory, it is sealed onto the stick too.
    """
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    vault.push(path)


def sync_disk(folder: Path) -> None:
    """Push all that was written on the file system of `folder` (syncfs(2)). Raises OSError.

    Where there is no such call, all file systems are pushed. With it those of the host are left
    alone: a sync of everything takes as long as the slowest of them, and never ends at a dead one.
    """
    if sys.platform == "linux":
        handle = os.open(folder, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(handle):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(folder))
        finally:
            os.close(handle)
    elif sys.platform != "win32":
        os.sync()
