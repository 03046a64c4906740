"""The practice of a night without its exams: the same questions, rehearsal and loop, then the file.

For benchmarks that attack what practice leaves in the weights, whatever the gate would say of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nightschool import config as settings
from nightschool.config import Pairs
from nightschool.cycle import night
from nightschool.engine.llama import Llama
from nightschool.engine.selftalk import selftalk
from nightschool.intake import run_intake
from nightschool.models.catalogue import BOX
from nightschool.paths import Home
from nightschool.records import Plan
from nightschool.registry.versions import ADAPTER, sha256
from nightschool.store import db, documents
from nightschool.store.db import Store
from nightschool.syllabus import Syllabus, syllabus
from nightschool.train.export import Matrices, Shape, read_gguf
from nightschool.train.night import fit
from tiny_night import go_on, quiet, serve

STARTER = BOX / "starter.gguf"
PATIENCE_S = 600
PLAN = Plan(passes=9, rank=16, alpha=32, learning_rate=2e-3, budget_s=1e5)
"""The starter's plan, ended by its passes and not by the clock: a busy machine changes nothing."""


def ready(home: Home, folder: Path, between: Callable[[], None] = lambda: None) -> None:
    """Watch `folder` and write its questions, as a night does before it practises, with something
    done in `between`. Once for a home, and in this process: on a busy machine no child is late."""
    done = home.root / "questions.written"
    if done.exists():
        return
    config = settings.load(home.config)
    patient = replace(config, files=replace(config.files, parse_timeout_s=PATIENCE_S))
    store = db.open_store(home.database)
    try:
        documents.add_root(store, str(folder), learn=True)
        run_intake(home, store, patient)
        between()
        night(home, store, patient, dry_run=True, report=quiet, check=go_on)
    finally:
        store.close()
    done.touch()


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
    alike: int = Pairs().alike,
    talk: bool = True,
    base: Path = STARTER,
) -> tuple[Path, Syllabus]:
    """The adapter that practice of `facts` facts leaves in `place`, and what was practised.

    `llama` serves the model `base`. It goes on from the adapter `before` (None: from the base),
    with facts that were not practised `earlier` first; `shares` are the most that one file and one
    folder may give, `alike` the most facts that may agree. Without `talk` the rehearsal lacks the
    base's own samples, which take longer than a short practice.
    """
    lessons = syllabus(store, set(), facts, shares[0], earlier, shares[1], alike)
    base_sha = sha256(base)
    samples = selftalk(home, llama, base_sha, quiet) if talk else []
    texts = (*lessons.texts, *samples)

    def start(shape: Shape) -> Matrices:
        assert before is not None
        return read_gguf(before, shape, 1.0)

    fitted = fit(
        base, base_sha, lessons.lesson(texts), plan, place, serve(llama),
        start=start if before else None, threads=1, report=quiet, check=go_on,
    )  # fmt: skip
    return fitted.directory / ADAPTER, lessons
