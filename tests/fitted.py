"""The practice of a night without its exams: the same questions, rehearsal and loop, then the file.

For benchmarks that attack what practice leaves in the weights, whatever the gate would say of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nightschool import Nightschool
from nightschool.engine.llama import Llama
from nightschool.engine.selftalk import selftalk
from nightschool.models.catalogue import BOX
from nightschool.paths import Home
from nightschool.records import Plan
from nightschool.registry.versions import ADAPTER, sha256
from nightschool.store.db import Store
from nightschool.syllabus import Syllabus, syllabus
from nightschool.train.export import Matrices, Shape, read_gguf
from nightschool.train.night import fit
from tiny_night import go_on, quiet, serve

STARTER = BOX / "starter.gguf"
PLAN = Plan(passes=9, rank=16, alpha=32, learning_rate=2e-3, budget_s=1e5)
"""The starter's plan, ended by its passes and not by the clock: a busy machine changes nothing."""


def ready(home: Home, folder: Path) -> None:
    """Watch `folder` and write its questions, as a night does before it practises."""
    with Nightschool(home.root) as door:
        door.watch(folder)
        door.learn(dry_run=True)


def practise(
    home: Home,
    store: Store,
    llama: Llama,
    place: Path,
    plan: Plan,
    facts: int,
    *,
    before: Path | None = None,
    earlier: frozenset[str] = frozenset(),
    shares: Sequence[float] = (0.0, 0.0),
    talk: bool = True,
) -> tuple[Path, Syllabus]:
    """The adapter that practice of `facts` facts leaves in `place`, and what was practised.

    It goes on from the adapter `before` (None: from the base), with facts that were not practised
    `earlier` first; `shares` are the most that one file and one folder may give. Without `talk` the
    rehearsal lacks the base's own samples, which take longer than a short practice.
    """
    lessons = syllabus(store, set(), facts, shares[0], earlier, shares[1])
    base_sha = sha256(STARTER)
    samples = selftalk(home, llama, base_sha, quiet) if talk else []
    texts = (*lessons.texts, *samples)

    def start(shape: Shape) -> Matrices:
        assert before is not None
        return read_gguf(before, shape, 1.0)

    fitted = fit(
        STARTER, base_sha, lessons.lesson(texts), plan, place, serve(llama),
        start=start if before else None, threads=1, report=quiet, check=go_on,
    )  # fmt: skip
    return fitted.directory / ADAPTER, lessons
