"""Bench the index at scale: a burst of 10,000 files, a tree of 100,000, and the look at start-up.

    make bench NAME=index-scale [ARGS="--quick"]

Files are small Markdown notes. Complete means that every file is indexed with its own content hash
and found by a word that only it holds. --quick has 300 and 3,000 files. Vectors are left out here
(`index-speed` measures them): the backlog of 100,000 passages is hours of work for two cores.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool.config import Config  # noqa: E402
from nightschool.index import lexical  # noqa: E402
from nightschool.intake import run_intake  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import FileStatus  # noqa: E402
from nightschool.sources.reconcile import reconcile  # noqa: E402
from nightschool.store import documents  # noqa: E402
from nightschool.store.db import Store, open_store  # noqa: E402

BOUND_S = 10.0


class Constant:
    """Vectors are not what is measured here."""

    name = "constant"
    dim = 2

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(np.float32([1.0, 0.0]), (len(texts), 1))

    def close(self) -> None: ...


def plant(folder: Path, first: int, last: int) -> None:
    for number in range(first, last):
        path = folder / f"{number % 100}" / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Note {number}\n\nThe word of this note is w{number}x.\n")


def take_in(home: Home, store: Store, folder: Path, first: int, last: int, report: Report) -> None:
    plant(folder, first, last)
    began = time.monotonic()
    run_intake(home, store, Config(), embedder=Constant())
    took = time.monotonic() - began
    report.say(f"{last - first} files in {took:.1f} s ({(last - first) / took:.0f} a second)")
    indexed = documents.counts(store)[FileStatus.INDEXED.value]
    report.exactly(f"files of {last} indexed", indexed, last, last)
    probes = range(first, last, max(1, (last - first) // 200))
    found = sum(len(lexical.search(store, f"w{number}x", 5)) == 1 for number in probes)
    report.exactly("of those asked for, found by a word of their own", found, len(probes),
                   len(probes))  # fmt: skip
    report.say(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    burst, tree = (300, 3_000) if report.quick else (10_000, 100_000)
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place) / "home").create()
        folder = Path(place) / "notes"
        folder.mkdir()
        store = open_store(home.database)
        root = documents.add_root(store, str(folder))
        take_in(home, store, folder, 0, burst, report)
        take_in(home, store, folder, burst, tree, report)
        looks = []
        for _ in range(3):
            began = time.monotonic()
            changes = reconcile(store, root, Config().files)
            looks.append(time.monotonic() - began)
            report.exactly("changes in an unchanged tree", len(changes), 0, tree)
        report.at_most(f"start-up look at {tree} unchanged files, s", max(looks), BOUND_S, 3)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        report.at_most("peak memory, MB", memory, 1024, 1)
        store.close()
    report.finish()


if __name__ == "__main__":
    main()
