"""What kind of disk a folder is on: a database on a network share is slow, and easily damaged.

File locks and shared memory, which SQLite relies on, do not work reliably over a network
(sqlite.org/howtocorrupt.html, section 2.1).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

SHARES = frozenset((
    "9p", "acfs", "afpfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs",
    "fuse.cephfs", "fuse.curlftpfs", "fuse.davfs", "fuse.davfs2", "fuse.gcsfuse",
    "fuse.glusterfs", "fuse.gvfsd-fuse", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs",
    "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2",
    "smb2", "smb3", "smbfs", "webdav",
))  # fmt: skip
"""Names of file systems whose data is on another machine."""
MOUNTS = Path("/proc/self/mountinfo")
_REMOTE = 4  # DRIVE_REMOTE of GetDriveTypeW


def share(folder: Path, mounts: Path = MOUNTS) -> str:
    """The name of the network file system that holds `folder`; empty when it is on this machine,
    or when nobody can tell."""
    found = os.path.realpath(folder)
    if sys.platform == "win32":
        return _windows(found)
    best, kind = "", ""
    for point, name in _linux(mounts) if mounts.exists() else _elsewhere():
        inside = found == point or found.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two on one point, the later one is on top
            best, kind = point, name
    return kind if kind in SHARES else ""


def _linux(mounts: Path) -> Iterator[tuple[str, str]]:
    """Mount points and types; man proc_pid_mountinfo: fields 5 and, after the dash, 1."""
    for row in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        left, _, right = row.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if len(fields) > 4 and kinds[0]:
            yield _plain(fields[4]), kinds[0]


def _plain(text: str) -> str:
    """A path with its blanks, tabs, newlines and backslashes back (written as octal numbers)."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text


def _elsewhere() -> Iterator[tuple[str, str]]:
    import psutil

    for one in psutil.disk_partitions(all=True):
        yield one.mountpoint, one.fstype


def _windows(folder: str) -> str:
    import ctypes

    if folder.startswith("\\\\"):
        return "smb"
    kind = getattr(ctypes, "windll").kernel32.GetDriveTypeW  # noqa: B009  (Windows only)
    return "smb" if kind(os.path.splitdrive(folder)[0] + "\\") == _REMOTE else ""
