"""Bench hostile files: 200 mutants of every format, and things that only look like files.

    make bench NAME=parsers [ARGS="--quick"] [ARGS="--only docx pdf"]

Each format's folder is taken in as a user's is, with the limits that users have (30 s and 512 MB a
file; `--quick`: 5 s and fewer mutants). Every file must end indexed or skipped with a reason in
words, the good file that lies among them must be found, and the next folder must be served. One
file grows while it is read. Vectors are left out: they are not what is asked here.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from flat_embedder import Flat  # noqa: E402
from format_samples import SAMPLES  # noqa: E402
from mutants import mutants, special_files  # noqa: E402
from nightschool.config import Config, Files  # noqa: E402
from nightschool.errors import ParseError  # noqa: E402
from nightschool.ingest.reading import Reading  # noqa: E402
from nightschool.ingest.sandbox import MEMORY_BYTES, Sandbox  # noqa: E402
from nightschool.intake import run_intake  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import FileStatus  # noqa: E402
from nightschool.store import documents  # noqa: E402
from nightschool.store.db import Store, open_store  # noqa: E402


class Timed(Sandbox):
    """The sandbox, with the longest time that it spent on one file."""

    longest = 0.0
    slowest = ""

    def read(self, file: Path, path: str) -> Reading:
        began = time.monotonic()
        try:
            return super().read(file, path)
        finally:
            took = time.monotonic() - began
            if took > self.longest:
                self.longest, self.slowest = took, path


def fill(folder: Path, suffix: str, count: int, draw: random.Random) -> dict[str, str]:
    """The files of one format: `name → what was done to it`."""
    made = special_files(folder, suffix)
    (folder / f"good.{suffix}").write_bytes(SAMPLES[suffix]())
    for number, (what, data) in enumerate(mutants(suffix, count - len(made), draw)):
        name = f"{number:03d}.{suffix}"
        (folder / name).write_bytes(data)
        made[name] = what
    return made


def growing(file: Path, stop: threading.Event) -> threading.Thread:
    """Something that writes to a file without pause."""

    def write() -> None:
        with file.open("ab") as stream:
            while not stop.is_set():
                stream.write(b"The wheel turns and turns.\n")
                stream.flush()
                time.sleep(0.0005)

    file.write_bytes(b"The wheel turns and turns.\n")
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def one(
    report: Report, home: Home, store: Store, sandbox: Timed, config: Config,
    folder: Path, suffix: str, count: int, draw: random.Random,
) -> tuple[int, int]:  # fmt: skip
    """Take one format's folder in; how many files had no right end, and how many there were."""
    folder.mkdir()
    made = fill(folder, suffix, count, draw)
    stop = threading.Event()
    made[f"growing.{suffix}"] = "grows while it is read"
    writer = growing(folder / f"growing.{suffix}", stop)
    root = documents.add_root(store, str(folder))
    began = time.monotonic()
    try:
        run_intake(home, store, config, roots=[root], embedder=Flat(), sandbox=sandbox)
    finally:
        stop.set()
        writer.join()
    found = {item.path: item for item in documents.documents(store, root.id)}
    wrong = 0
    for name, what in made.items():
        item = found.get(name)
        ended = item is not None and (
            (item.status is FileStatus.INDEXED and item.chunks > 0)
            or (item.status is FileStatus.SKIPPED and item.reason and not item.chunks)
        )
        if not ended:
            wrong += 1
            report.say(f"  {suffix}: {name} ({what}) has no right end: {item}")
    good = found.get(f"good.{suffix}")
    if good is None or good.status is not FileStatus.INDEXED:
        wrong += 1
        report.say(f"  {suffix}: the good file was not read: {good}")
    reasons = Counter(
        "read" if item.status is FileStatus.INDEXED else item.reason for item in found.values()
    )
    report.say(
        f"{suffix}: {len(made)} files in {time.monotonic() - began:.1f} s; "
        + "; ".join(f"{n} {reason}" for reason, n in reasons.most_common(6))
    )
    return wrong, len(made)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="only these suffixes")
    options = parser.parse_args()
    report = Report(options.quick)
    limit = 5.0 if options.quick else 30.0
    config = replace(Config(), files=Files(parse_timeout_s=limit))
    wrong = files = 0
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place) / "home").create()
        store = open_store(home.database)
        with Timed(home.logs / "sandbox.log", timeout_s=limit) as sandbox:
            for suffix in options.only or SAMPLES:
                draw = random.Random(f"{options.seed} {suffix}")
                count = 40 if options.quick else 200
                folder = Path(place) / suffix
                missed, n = one(report, home, store, sandbox, config, folder, suffix, count, draw)
                wrong, files = wrong + missed, files + n
            report.say(f"slowest: {sandbox.slowest}; {sandbox.started} children were needed")
            longest = sandbox.longest
            try:
                sandbox.read(Path(place) / "md" / "good.md", "good.md")
                alive = 1
            except (ParseError, OSError):
                alive = int("md" not in (options.only or SAMPLES))
        sound = store.one("PRAGMA integrity_check") == "ok"
        store.close()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    report.exactly("files without a stated end", wrong, 0, files)
    report.at_most("seconds for one file", longest, limit + 3.0, files)
    report.at_most("memory of a parser, MB", peak / 1e6, MEMORY_BYTES / 1e6, files)
    report.exactly("still reads, and the store is sound", int(sound and alive), 1, 1)
    if os.geteuid() == 0:
        report.say("run as root: the file that nobody may read could be read all the same")
    report.finish()


if __name__ == "__main__":
    main()
