"""G17: a disk that is full, that fails, that can only be read, and an fsync that fails.

strace gives the error from the n-th call of a kind onward, for one n after another. The operation
must end soon with one of our own errors, and the home must be in the old or the new state at once
and, when the disk is well again, come to the new one.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durable import crash, made, ops
from durable.made import Place
from nightschool.store.db import open_store

PERSISTENT = (
    ("ENOSPC", ("pwrite64", "write", "ftruncate", "sendfile")),
    ("EIO", ("pwrite64", "write", "fsync", "fdatasync")),
)
"""Errors that stay from some call on, as on a full or dying disk. `write` counts stderr too: what
cannot be said there is said by the exit code."""
LATE_S = 5.0


@dataclass
class Outcome:
    """What a sweep came to: how many runs met the error, and what was wrong."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    retried: list[str] = field(default_factory=list)


def run(
    name: str, place: Place, call: str, error: str, when: str, log: Path, defect: str = ""
) -> tuple[int, str, float]:
    """The operation with this call failing: exit code, what it said, seconds."""
    began = time.monotonic()
    done = subprocess.run(
        ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", f"trace={call}",
         "-e", f"inject={call}:error={error}:when={when}", *crash.command(name, place, defect)],
        env=crash.ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stderr, time.monotonic() - began


def sweep(name: str, room: Path, every: int = 1) -> Outcome:
    """Every persistent error from each `every`-th call on, and each fsync failing once."""
    found = Outcome()
    place = ops.prepare(name, room / name)
    kept, old, new = crash.states(name, place)
    totals = crash.count_calls(name, place)
    log = room / "faults.txt"
    cases = [
        (call, error, f"{number}+")
        for error, calls in PERSISTENT
        for call in calls
        for number in range(1, totals.get(call, 0) + 1, every)
    ]
    cases += [
        (call, "EIO", str(number))
        for call in ("fsync", "fdatasync")
        for number in range(1, totals.get(call, 0) + 1)
    ]
    for call, error, when in cases:
        place.again(kept)
        code, said, took = run(name, place, call, error, when, log)
        lines = log.read_text(errors="replace").splitlines()
        if not any("(INJECTED)" in line for line in lines):
            continue
        found.tried += 1
        found.slowest_s = max(found.slowest_s, took)
        wrong = ""
        if code and "Traceback" in said:
            wrong = f"an error that is not ours: {said.strip().splitlines()[-1]}"
        elif code and not said.strip() and call != "write":
            wrong = f"it ended with {code} and said nothing"
        if call == "fsync" and not when.endswith("+"):
            if not code:
                wrong = wrong or "an fsync failed and it went on as if it had not"
            if again := retried(lines):
                found.retried.append(f"{name} {when}: {again}")
        with contextlib.suppress(FileNotFoundError):
            log.unlink()
        try:
            wrong = wrong or ops.judge(name, place, old, new) or ops.finished(name, place, new)
        except Exception as problem:
            wrong = f"afterwards {type(problem).__name__}: {problem}"
        if wrong:
            found.wrong.append(f"{name}, {call} {error} from {when}: {wrong}")
    return found


def noticed(room: Path) -> bool:
    """Whether a product that passes over a failed fsync is caught: it says that all went well."""
    place = ops.prepare("rollback", room / "deaf")
    log = room / "deaf.txt"
    code, _, _ = run("rollback", place, "fsync", "EIO", "1", log, "retry-fsync")
    return code == 0 and "(INJECTED)" in log.read_text(errors="replace")


def retried(lines: list[str]) -> str:
    """A file whose fsync failed and that was then synced again as if that could mend it."""
    failed: set[str] = set()
    for line in lines:
        named = re.search(r"fsync\(\d+<(.*?)>\)", line)
        if named is None or Path(named[1]).is_dir():
            continue
        if "(INJECTED)" in line:
            failed.add(named[1])
        elif named[1] in failed:
            return named[1]
    return ""


@contextlib.contextmanager
def small_disk(at: Path, size: str = "3m") -> Iterator[Path]:
    """A real file system of `size`. Raises OSError where none can be mounted."""
    at.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(done.stderr.strip())
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=False, capture_output=True)


def real(name: str, room: Path, kind: str) -> str:
    """The operation on a real disk that is full (`full`) or can only be read (`read-only`)."""
    disk = room / "disk"
    with small_disk(disk, "80m" if name == "import" else "3m"):  # an import leaves 64 MB free
        place = ops.prepare(name, disk / name)
        kept = room / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(place.root, kept)
        old: dict[str, Any] = {} if name == "restore" else ops.known(name, place)
        ops.OPS[name](place)
        new = ops.known(name, place)
        place.again(kept)
        ballast = disk / "ballast"
        reader = None
        if kind == "full" and name != "restore":  # a disk with open files cannot be made read-only
            reader = open_store(place.home.database)
        if kind == "full":
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 4096)
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        began = time.monotonic()
        done = subprocess.run(
            crash.command(name, place), env=crash.ENVIRONMENT, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        took = time.monotonic() - began
        unread = reader is not None and not made.documents.documents(reader)
        if reader is not None:
            reader.close()
        if unread:
            return "what a running service has open can no longer be read"
        if kind == "read-only":
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        ballast.unlink(missing_ok=True)
        if "Traceback" in done.stderr:
            return f"an error that is not ours: {done.stderr.strip().splitlines()[-1]}"
        if not done.returncode and kind == "read-only":
            return "it says that it was done on a disk that cannot be written"
        if took > LATE_S:
            return f"it took {took:.1f} s to say so"
        return ops.judge(name, place, old or new, new) or ops.finished(name, place, new)
