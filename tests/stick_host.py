"""Another computer for a stick: its own mounts and network, another user, an empty environment.

Linux namespaces (needs root). What a foreign user could write to there is fresh and in memory; the
folders that hold this machine's Python, its packages and the clone are hidden.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TOOLS = ("unshare", "nsenter", "setpriv", "mount", "umount", "ip")
WRITABLE = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/home", "/mnt")


def missing() -> str:
    """Why no such computer can be had here, empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    tried = subprocess.run(["unshare", "-m", "-n", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces are not allowed here"


@dataclass
class Computer:
    """One computer. `uid` is its user; `hidden` are folders that are not there."""

    uid: int
    hidden: Sequence[Path] = ()
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._process = subprocess.Popen(
            ["unshare", "-m", "-n", "--propagation", "private", "sleep", "infinity"]
        )
        deadline = time.monotonic() + 10
        own = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self._process.pid}/ns/net").readlink() == own:
            assert time.monotonic() < deadline
        self.root("ip", "link", "set", "lo", "up")
        for place in (*WRITABLE, *map(str, self.hidden)):
            self.root("mount", "-t", "tmpfs", "-o", "mode=1777", "none", place)
        self.root("mkdir", "-m", "700", f"/home/u{self.uid}")
        self.root("chown", str(self.uid), f"/home/u{self.uid}")

    def root(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Something that the computer's owner does."""
        return subprocess.run(self.inside(*command), capture_output=True, text=True, check=check)

    def user(self, *command: str, **environment: str) -> list[str]:
        """The words that run a command as the user, with nothing else in its environment."""
        words = [f"{name}={value}" for name, value in environment.items()]
        given = [f"HOME=/home/u{self.uid}", "PATH=/usr/bin:/bin", *words]
        return self.inside(
            "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups",
            "env", "-i", *given, *command,
        )  # fmt: skip

    def files(self, beside: Path) -> dict[str, str]:
        """Everything in the writable places, with size and time; the stick at `beside` not."""
        said = self.root(
            "find", *WRITABLE, "-path", str(beside), "-prune", "-o",
            "-mindepth", "1", "-printf", "%p\t%y %s %T@\n",
        ).stdout  # fmt: skip
        return dict(line.split("\t", 1) for line in said.splitlines())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def inside(self, *command: str) -> list[str]:
        """The words that run a command there, as its owner."""
        return ["nsenter", "-t", str(self._process.pid), "-m", "-n", "--", *command]


@contextlib.contextmanager
def computer(uid: int, hidden: Sequence[Path] = ()) -> Iterator[Computer]:
    made = Computer(uid, hidden)
    try:
        yield made
    finally:
        made.close()


def owned(uid: int) -> list[str]:
    """What a user has left anywhere on this machine's own disk."""
    said = subprocess.run(
        ["find", "/", "-xdev", "-uid", str(uid), "-not", "-path", "/proc/*"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.splitlines()
