"""SIGKILL to engine, intake and learner at random moments, while clients ask and files change.

    python tests/bench/service_faults.py [--quick] [--seed 1] [--only learner]

After each kill: the client got an answer or an error it can retry, the daemon starts again what is
needed, the index equals the disk by hash, and the pointer names a version that loads.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from bench_report import Report, arguments  # noqa: E402
from nightschool.registry import pointer  # noqa: E402
from service_harness import Service, copy_vault, service, until  # noqa: E402

RETRY_CODES = (429, 503)
QUESTION = "When was the boiler serviced?"


@dataclass
class Asker:
    """A client that asks all the time, tries again when told to, and keeps count."""

    door: Service
    pause_s: float = 0.0
    answers: int = 0
    retried: int = 0
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.is_set():
            try:
                reply = self.door.request("POST", "/ns/ask", {"question": QUESTION, "mode": "raw"})
            except OSError as error:
                self.wrong.append(repr(error))
                continue
            if reply.status == 200:
                self.answers += 1
                self.over.wait(self.pause_s)
            elif reply.status in RETRY_CODES and "retry-after" in reply.headers:
                self.retried += 1
                time.sleep(0.3)
            else:
                self.wrong.append(f"{reply.status} {reply.body[:200]!r}")


def kill(door: Service, name: str, rng: random.Random, longest: float) -> None:
    """Wait a random while after the child is at work, then SIGKILL it; again if it was over."""
    while True:
        pid = until(lambda: door.children()[name]["pid"], 120, f"{name} runs", 0.01)
        time.sleep(rng.uniform(0.0, longest))
        if door.children()[name]["pid"] == pid:
            os.kill(pid, signal.SIGKILL)
            return


def index_equals_disk(door: Service, folder: Path) -> bool:
    """Whether the per-file table holds exactly the files on disk, with their hashes."""
    door.wait_quiet(180)
    page = door.get("/ns/files?limit=1000")
    known = {
        row["path"]: row["sha256"]
        for row in page["files"]
        if row["root"] == str(folder) and row["status"] == "indexed"
    }
    disk = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return known == disk


def engine(report: Report, door: Service, rng: random.Random, count: int) -> int:
    """Kill the engine while four clients ask; how often the next question was answered."""
    askers = [Asker(door) for _ in range(4)]
    threads = [threading.Thread(target=asker.run) for asker in askers]
    for thread in threads:
        thread.start()
    well = 0
    try:
        for _ in range(count):
            before = sum(asker.answers for asker in askers)
            kill(door, "engine", rng, 1.5)

            def answered(before: int = before) -> bool:
                return sum(asker.answers for asker in askers) > before

            until(answered, 60, "somebody is answered again", 0.05)
            well += 1
    finally:
        for asker in askers:
            asker.over.set()
        for thread in threads:
            thread.join(120)
    wrong = [text for asker in askers for text in asker.wrong]
    report.say(
        f"       engine: {well} kills, {sum(a.answers for a in askers)} answers, "
        f"{sum(a.retried for a in askers)} times told to try again"
    )
    report.exactly("engine_errors_that_cannot_be_retried", len(wrong), 0, well)
    for text in wrong[:5]:
        report.say(text)
    return well


def intake(report: Report, door: Service, folder: Path, rng: random.Random, count: int) -> int:
    """Kill the intake while files come, change and go; how often index and disk were equal."""
    well = 0
    for number in range(count):
        for extra in range(12):
            path = folder / f"fresh {number} {extra}.md"
            path.write_text(f"# Fresh {number}\n\nThe gannet {number}x{extra} dives.\n" * 30)
        gone = sorted(folder.glob("fresh *.md"))[:: rng.randrange(3, 7)]
        for path in gone:
            path.unlink()
        kill(door, "intake", rng, 4.0)
        well += index_equals_disk(door, folder)
        report.say(f"       intake kill {number + 1}: {well} times equal")
    return well


def learner(report: Report, door: Service, rng: random.Random, count: int) -> int:
    """Kill the learner at a random moment of a night; how often all stayed whole."""
    well = 0
    for number in range(count):
        if door.status()["night"]["state"] != "running":
            door.post("/ns/learn")
        kill(door, "learner", rng, 30.0)
        until(lambda: door.status()["night"]["state"] != "running", 60, "the night has ended")
        night = door.status()["night"]
        answer = door.post("/ns/ask", {"question": QUESTION})
        current = [v for v in door.get("/ns/versions")["versions"] if v["current"]]
        whole = (
            len(current) == 1
            and answer["version"] == pointer.read(door.home).version == current[0]["number"]
        )
        well += whole
        report.say(f"       learner kill {number + 1}: {night['last']['outcome']}; whole: {whole}")
    return well


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("engine", "intake", "learner"))
    options = parser.parse_args()
    report = Report(options.quick)
    rng = random.Random(options.seed)
    each = (3, 3, 2) if options.quick else (20, 20, 20)
    environment = {"NIGHTSCHOOL_FILES_SETTLE_S": "0.5", "NIGHTSCHOOL_LEARN_BUDGET_S": "30"}
    with service(environment=environment) as door, tempfile.TemporaryDirectory() as temporary:
        folder = copy_vault(Path(temporary))
        door.watch(folder)
        wanted = {options.only} if options.only else {"engine", "intake", "learner"}
        if "engine" in wanted:
            well = engine(report, door, rng, each[0])
            report.exactly("engine_kills_survived", well, each[0], each[0])
        if "intake" in wanted:
            well = intake(report, door, folder, rng, each[1])
            report.exactly("intake_kills_with_index_equal_to_disk", well, each[1], each[1])
        if "learner" in wanted:
            well = learner(report, door, rng, each[2])
            report.exactly("learner_kills_with_one_loadable_version", well, each[2], each[2])
        report.exactly("daemon_still_ready", float(door.status()["state"] == "ready"), 1, 1)
        report.exactly("daemon_never_restarted", float(door.process.poll() is None), 1, 1)  # type: ignore[union-attr]
    report.finish()


if __name__ == "__main__":
    main()
