"""G15: SIGKILL at every system call that changes the disk, operation by operation.

strace ends the process when it enters the n-th call of a kind, for each n until one run completes.
After each kill the home is opened as any start would, and must be in the old or the new state.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durable import ops
from durable.made import Place

CALLS = (
    "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat2", "unlink", "unlinkat",
    "link", "linkat", "ftruncate", "mkdir", "rmdir", "copy_file_range", "sendfile",
)  # fmt: skip
"""Everything by which these operations change the disk."""
SLOWEST_S = 10.0
DRIVER = Path(__file__).with_name("ops.py")
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass
class Outcome:
    """What a sweep over one operation came to."""

    name: str
    points: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    complete: bool = False
    """Whether the end was reached: every call of every kind was tried."""

    @property
    def count(self) -> int:
        return sum(self.points.values())


def possible() -> str:
    """Why this cannot run here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=getppid:signal=SIGKILL:when=1",
         sys.executable, "-c", "import os; os.getppid()"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if tried.returncode in (-9, 137) else f"ptrace is refused: {tried.stderr.strip()}"


def command(name: str, place: Place, defect: str = "") -> list[str]:
    return [sys.executable, str(DRIVER), name, str(place.root), *([defect] if defect else [])]


def count_calls(name: str, place: Place, defect: str = "") -> dict[str, int]:
    """How often a whole run makes each call."""
    log = place.root.with_name("calls.txt")
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}",
         *command(name, place, defect)],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name} fails even when nobody kills it: {done.stderr[-2000:]}")
    found = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(errors="replace"), re.M))
    log.unlink()
    return {call: found[call] for call in CALLS if found[call]}


def states(name: str, place: Place) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """A copy of the place before, and what is known of it before and after the operation."""
    kept = place.saved()
    old = {} if name == "restore" else ops.known(name, place)
    place.again(kept)
    ops.OPS[name](place)
    new = ops.known(name, place)
    place.again(kept)
    return kept, old or new, new


def kill_at(name: str, place: Place, call: str, number: int, defect: str = "") -> bool:
    """Whether the run was killed (False: it completed before)."""
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
         "-e", f"inject={call}:signal=SIGKILL:when={number}", *command(name, place, defect)],
        env=ENVIRONMENT, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode in (-9, 137)


def one(
    name: str,
    place: Place,
    kept: Path,
    call: str,
    number: int,
    states: tuple[dict[str, Any], dict[str, Any]],
    defect: str = "",
) -> tuple[bool, str, float]:
    """One kill: whether it happened, what is wrong afterwards, and the seconds of the recovery."""
    place.again(kept)
    killed = kill_at(name, place, call, number, defect)
    began = time.perf_counter()
    try:
        wrong = ops.judge(name, place, *states)
        took = time.perf_counter() - began
        wrong = wrong or ops.finished(name, place, states[1])
    except Exception as error:
        took = time.perf_counter() - began
        wrong = f"{type(error).__name__}: {error}"
    if took > SLOWEST_S:
        wrong = wrong or f"the recovery took {took:.1f} s"
    return killed, wrong, took


def sweep(
    name: str, room: Path, *, every: int = 1, seconds: float = 1e9, defect: str = "",
    first_wrong: bool = False, memory: Path | None = None,
) -> Outcome:  # fmt: skip
    """All points of one operation (or each `every`-th); `memory` lets the next call go on."""
    began = time.monotonic()
    place = ops.prepare(name, room / name)
    kept, old, new = states(name, place)
    totals = count_calls(name, place, defect)
    done: dict[str, str] = {}
    if memory is not None and memory.exists():
        done = json.loads(memory.read_text())
    found = Outcome(name)
    room.mkdir(parents=True, exist_ok=True)
    for call, total in totals.items():
        # Two more than were counted: the run in which nothing is killed any more.
        for number in range(1, total + 3, every):
            key = f"{name} {call} {number}"
            if key not in done:
                if time.monotonic() - began > seconds:
                    return found
                killed, wrong, took = one(name, place, kept, call, number, (old, new), defect)
                found.slowest_s = max(found.slowest_s, took)
                done[key] = wrong if killed or wrong else "-"
                if memory is not None:
                    memory.write_text(json.dumps(done))
            if done[key] == "-":
                break
            found.points[call] += 1
            if done[key]:
                found.wrong.append(f"{key}: {done[key]}")
                if first_wrong:
                    return found
    found.complete = True
    return found
