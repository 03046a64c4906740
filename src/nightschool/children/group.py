"""A child and all that it started, as one thing that can be signalled and ended.

POSIX: the process group that the child leads, and those of its descendants that left it. Windows:
a job object that ends with its last handle, with a limit on memory. The job object follows its
maker's documentation and is untested here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from typing import Any

BELOW_NORMAL, IDLE = 0x4000, 0x40
"""Windows priority classes (`CreateProcess`, dwCreationFlags)."""
BACKGROUND = 15
"""From this niceness on a child is background work: lowest class of processor and disk time."""


def flags(nice: int) -> int:
    """What `subprocess` wants to know about group and priority at the start; 0 but on Windows."""
    if os.name == "posix":
        return 0
    priority = IDLE if nice >= BACKGROUND else BELOW_NORMAL if nice else 0
    return int(getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)) | priority


class Group:
    """`leader` is the id of a process that was just started as the first of its group."""

    def __init__(self, leader: int, memory_bytes: int | None = None) -> None:
        self.leader = leader
        self._job = _job(leader, memory_bytes or 0) if sys.platform == "win32" else None

    def signal(self, number: int) -> None:
        """Send a signal to every process of the group that is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(self.leader, number)
            else:
                os.kill(self.leader, number)

    def end(self) -> None:
        """Kill all of it at once. Does nothing when nothing is left."""
        import psutil  # only when one is ended: every child imports this module

        try:
            # Descendants in groups of their own: the group's signal does not reach those.
            strays = psutil.Process(self.leader).children(recursive=True)
        except psutil.Error:
            strays = []
        self.signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        for process in strays:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self._job is not None:
            self._job.kernel32.TerminateJobObject(self._job.handle, 1)


# -- Windows -------------------------------------------------------------------------------------

_KILL_ON_CLOSE, _JOB_MEMORY = 0x2000, 0x200
_EXTENDED_LIMITS = 9
_SET_QUOTA, _TERMINATE = 0x0100, 0x0001


class _Basic(ctypes.Structure):
    _fields_ = (
        ("process_time", ctypes.c_int64), ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32), ("least", ctypes.c_size_t), ("most", ctypes.c_size_t),
        ("processes", ctypes.c_uint32), ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32), ("scheduling", ctypes.c_uint32),
    )  # fmt: skip


class _Extended(ctypes.Structure):
    _fields_ = (
        ("basic", _Basic), ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t), ("job_memory", ctypes.c_size_t),
        ("peak_process", ctypes.c_size_t), ("peak_job", ctypes.c_size_t),
    )  # fmt: skip


class _Job:
    """The handle must live as long as the child: closing it ends the job."""

    def __init__(self, kernel32: Any, handle: int) -> None:
        self.kernel32, self.handle = kernel32, handle


def _job(pid: int, memory_bytes: int) -> _Job | None:
    """A job with the process in it, or None when Windows refuses (then only the process ends)."""
    kernel32 = getattr(ctypes, "windll").kernel32  # noqa: B009 - mypy reads this on any system
    kernel32.CreateJobObjectW.restype = kernel32.OpenProcess.restype = ctypes.c_void_p
    handle = kernel32.CreateJobObjectW(None, None)
    if not handle:
        return None
    limits = _Extended()
    limits.basic.flags = _KILL_ON_CLOSE | (_JOB_MEMORY if memory_bytes else 0)
    limits.job_memory = memory_bytes
    kernel32.SetInformationJobObject(
        ctypes.c_void_p(handle), _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
    )
    process = kernel32.OpenProcess(_SET_QUOTA | _TERMINATE, False, pid)
    if not process:
        return None
    joined = kernel32.AssignProcessToJobObject(ctypes.c_void_p(handle), ctypes.c_void_p(process))
    kernel32.CloseHandle(ctypes.c_void_p(process))
    return _Job(kernel32, handle) if joined else None
