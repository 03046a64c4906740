"""Bench what becomes of a night whose learner is killed, runs out of memory, of numbers, of disk.

    make bench NAME=learner-faults [ARGS="--quick"] [ARGS="--only killed memory nan disk --seed 1"]

A real service on a disk of its own (a small tmpfs where one can be mounted), a client that asks all
the time, and real faults in the real learner:

    killed   SIGKILL to its process group: while it starts, in the middle of practice, and in its
             exams, at a random moment of each, three times in a row
    memory   a limit on its address space (prlimit) at a random moment of practice, just above what
             it holds, so that the next allocation fails
    nan      the night is paused, one number of its checkpoint is spoilt, and it goes on: the loss
             of the next batch is no number
    disk     every free byte of the disk is taken in the middle of practice

After each: the night's row says how it ended, the same questions get the same answers from the same
version as before, nobody was told anything but an answer or "try again", and the next night reaches
a verdict (after the last of the kills; with --quick only after the last fault). The full profile
takes a quarter of an hour on two free cores. One JSON line last.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import psutil  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from service_faults import Asker  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.registry import pointer  # noqa: E402
from service_harness import Service, service, until  # noqa: E402

DISK = 700 << 20
FOLDERS = ("People", "Meetings")
"""Of the example vault: enough for a night."""
NO_ROW = "none yet"
CONCLUDED = ("promoted", "held", "rejected")
ROOM = 2 << 20
"""Bytes that a learner may still take when memory runs out."""
NIGHT_S = 1800.0
MOMENTS = ("start", "practice", "exams")
EXAMS = ("general text", "screening", "recall", "served answers", "reading", "abstention")
TRIES = 5
PAUSE_S = 2.0
"""Between two questions of the client: the learner goes last, and would get no turn otherwise."""
BUDGET = {"minutes": 0.5}


@dataclass
class Bench:
    """The service under test, and what is drawn."""

    door: Service
    disk: Path
    rng: random.Random
    report: Report
    kills: int = 0

    def answers(self) -> list[tuple[str, int]]:
        found = [self.door.post("/ns/ask", {"question": question}) for question in questions()]
        return [(answer["text"], answer["version"]) for answer in found]

    def night(self) -> dict[str, Any]:
        found: dict[str, Any] = self.door.status()["night"]
        return found

    def newest(self) -> dict[str, Any]:
        """The newest night's row: `outcome`, `message` and the rest; a night that ended while its
        questions were still being written has none."""
        rows: list[dict[str, Any]] = self.door.get("/ns/runs?limit=1")["runs"]
        return rows[0] if rows else {"outcome": NO_ROW, "message": ""}

    def start(self) -> None:
        """Start a night and see the learner come up, which on a busy machine takes some tries."""
        for _ in range(TRIES):
            self.door.post("/ns/learn", BUDGET)

            def up() -> str:
                night = self.night()
                if night["state"] != "running":
                    return str((night["last"] or {}).get("message") or "over")
                stage = (night["progress"] or {}).get("stage", "starting")
                return "" if stage == "starting" else "at work"

            if "did not start within" not in until(up, NIGHT_S, "the learner is up", 0.1):
                return
        raise AssertionError(f"the learner did not start in {TRIES} tries")

    def practising(self, least: int = 3) -> int:
        """Wait until the learner practises; its process id."""

        def there() -> bool:
            night = self.night()
            if night["state"] != "running":
                raise AssertionError(f"the night is over before practice: {night['last']}")
            progress = night["progress"] or {}
            return progress.get("stage") == "practise" and progress.get("done", 0) >= least

        until(there, NIGHT_S, "practice has begun", 0.1)
        return int(self.door.children()["learner"]["pid"])

    def examining(self) -> bool:
        """Whether practice is over and questions are asked."""
        night = self.night()
        if night["state"] != "running":
            raise AssertionError(f"the night is over before its exams: {night['last']}")
        return (night["progress"] or {}).get("stage") in EXAMS

    def over(self) -> dict[str, Any]:
        """Wait for the end of the night; how the service saw it."""
        until(lambda: self.night()["state"] != "running", NIGHT_S, "the night has ended", 0.2)
        found: dict[str, Any] = self.night()["last"]
        return found


def questions() -> list[str]:
    """Three that the notes answer, and one that they do not."""
    items = examples.questions()
    here = [q for q in items if q.kind == "span" and (q.path or "").split("/")[0] in FOLDERS]
    return [q.question for q in (*here[:: len(here) // 3][:3], next(
        q for q in items if q.kind != "span"))]  # fmt: skip


def killed(bench: Bench) -> str:
    """SIGKILL in the next of `MOMENTS`: the night stays open, to be gone on with."""
    moment = MOMENTS[bench.kills % len(MOMENTS)]
    bench.kills += 1
    if moment == "start":
        bench.door.post("/ns/learn", BUDGET)
        children = bench.door.children
        pid = until(lambda: children()["learner"]["pid"], 120, "the learner runs", 0.02)
        with contextlib.suppress(AssertionError):
            until(lambda: bench.night()["state"] != "running", bench.rng.uniform(0.0, 8.0), "")
    else:
        bench.start()
        if moment == "practice":
            pid = bench.practising(bench.rng.randrange(3, 40))
        else:
            until(bench.examining, NIGHT_S, "the exams have begun", 0.1)
            pid = int(bench.door.children()["learner"]["pid"])
            with contextlib.suppress(AssertionError):
                until(lambda: bench.night()["state"] != "running", bench.rng.uniform(0, 20), "")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    said = bench.over()
    return f"in its {moment}: {said['outcome']}: {said['message']}"


def memory(bench: Bench) -> str:
    """No more memory than it has, from a random step on."""
    bench.start()
    pid = bench.practising(bench.rng.randrange(3, 20))
    held = psutil.Process(pid).memory_info().vms
    resource.prlimit(pid, resource.RLIMIT_AS, (held + ROOM, held + ROOM))
    said = bench.over()
    return f"{said['outcome']}: {said['message']}"


def nan(bench: Bench) -> str:
    """A number in the checkpoint that no weight should be, as a bad disk or memory makes them."""
    bench.start()
    bench.practising()
    bench.door.post("/ns/pause", {"minutes": 30})
    said = bench.over()
    assert said["outcome"] == "interrupted", said
    (kept,) = bench.door.home.runs.glob("*/checkpoint/adapter.safetensors")
    weights = load_file(kept)
    name = sorted(weights)[bench.rng.randrange(len(weights))]
    weights[name].view(-1)[bench.rng.randrange(weights[name].numel())] = float("inf")
    save_file(weights, kept)
    bench.door.post("/ns/pause", {"minutes": 0})
    bench.start()
    said = bench.over()
    return f"{said['outcome']}: {said['message']}"


def disk(bench: Bench) -> str:
    """Take every free byte, and give them back when the night has ended."""
    before = bench.answers()
    bench.start()
    bench.practising()
    ballast = bench.disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    free = shutil.disk_usage(bench.disk).free
    bench.report.exactly("bytes free on the full disk", free, 0, 1)
    try:
        same = bench.answers() == before
    except AssertionError as error:  # an answer other than 200
        bench.report.say(f"on the full disk: {error}")
        same = False
    bench.report.exactly("… the service answers while it is full", float(same), 1, len(before))
    until(lambda: bench.night()["state"] != "running", NIGHT_S, "the night has ended", 0.2)
    ballast.unlink()
    said = bench.over() or {"outcome": "", "message": "nothing: it found no room for it"}
    return f"{said['outcome']}: {said['message']}"


FAULTS: dict[str, tuple[Callable[[Bench], str], tuple[str, ...]]] = {
    "killed": (killed, ("running", "interrupted", NO_ROW, *CONCLUDED)),
    "memory": (memory, ("out_of_memory",)),
    "nan": (nan, ("nan",)),
    "disk": (disk, ("failed", "running", "interrupted")),
}
"""Each fault and what its row may say. A night that was killed is open until it is gone on with,
and one whose last words found no room on the disk as well."""


def suffer(bench: Bench, name: str) -> None:
    """One fault from before to after."""
    report = bench.report
    fault, classes = FAULTS[name]
    before, served = bench.answers(), pointer.read(bench.door.home).version
    asker = Asker(bench.door, PAUSE_S)
    thread = threading.Thread(target=asker.run)
    thread.start()
    try:
        said = fault(bench)
    finally:
        asker.over.set()
        thread.join(120)
    row = bench.newest()
    report.say(f"{name}: the service says {said[:160]}; its row {row['outcome']}: "
               f"{str(row['message'])[:120]}; {asker.answers} answers meanwhile, "
               f"{asker.retried} times told to try again")  # fmt: skip
    report.exactly(f"{name}: the row names its class", float(row["outcome"] in classes), 1, 1)
    report.exactly(f"{name}: the service says that it ended", float(bool(said)), 1, 1)
    gone_through = row["outcome"] in CONCLUDED  # the kill came too late
    same = gone_through or bench.answers() == before
    report.exactly(f"{name}: the same answers as before", float(same), 1, len(before))
    still = gone_through or pointer.read(bench.door.home).version == served
    report.exactly(f"{name}: the same version is served", float(still), 1, 1)
    report.exactly(f"{name}: errors that cannot be retried", len(asker.wrong), 0, asker.answers)
    for text in asker.wrong[:3]:
        report.say(text)
    report.at_least(f"{name}: questions answered meanwhile", asker.answers, 1, asker.answers)
    alive = bench.door.process is not None and bench.door.process.poll() is None
    report.exactly(f"{name}: the service never restarted", float(alive), 1, 1)


def recover(bench: Bench, name: str) -> None:
    """The night after a fault."""
    bench.start()
    said = bench.over()
    bench.report.say(f"{name}: the next night: {said['outcome']}: {said['message'][:160]}")
    row = bench.newest()
    bench.report.exactly(f"{name}: the next night reaches a verdict",
                         float(row["outcome"] in (*CONCLUDED, "nothing_new")), 1, 1)  # fmt: skip


@contextlib.contextmanager
def small_disk(folder: Path, report: Report) -> Iterator[bool]:
    """`folder` as a file system of its own; whether that could be done."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    ) if shutil.which("mount") else None  # fmt: skip
    mounted = made is not None and made.returncode == 0
    if not mounted:
        report.say("no small disk can be mounted here: the full disk is left out")
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=len(MOMENTS))
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    options = parser.parse_args()
    report = Report(options.quick)
    kills = 1 if options.quick else options.kills
    with tempfile.TemporaryDirectory() as temporary:
        notes = Path(temporary) / "notes"
        for name in FOLDERS:
            shutil.copytree(examples.vault_dir() / name, notes / name)
        place = Path(temporary) / "disk"
        place.mkdir()
        with small_disk(place, report) as mounted, service(home=place) as door:
            door.watch(notes)
            bench = Bench(door, place, random.Random(options.seed), report)
            for name in options.only:
                if name == "disk" and not mounted:
                    continue
                for _ in range(kills if name == "killed" else 1):
                    suffer(bench, name)
                if not options.quick or name == options.only[-1]:
                    recover(bench, name)
    report.finish()


if __name__ == "__main__":
    main()
