"""What an arm is asked after a night: recall of every night's facts, general text, and answers as
users get them with the adapter and without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nightschool.config import load
from nightschool.engine.examinee import Examinee, Remembered
from nightschool.engine.runtime import Runtime
from nightschool.evaluate import probes
from nightschool.evaluate.statistics import mcnemar, pair_up
from nightschool.evaluate.subject import Material
from nightschool.evaluate.text import contains
from nightschool.lab.stream.material import DOCUMENT, PHRASING, Asked
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.store import db

SERVED = 60
"""Questions as users get them, on all nights but the last."""


class Room:
    """The examination room: one runtime, several adapters. Use it as a context manager."""

    def __init__(self, home: Home, report: Progress) -> None:
        self._store = db.open_store(home.database)
        self.runtime = Runtime(home, self._store, load(home.config))
        self._answering = Remembered(self.runtime).answering()
        self._report = report

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.runtime.close()
        self._store.close()

    def subject(self, adapter: Path | None, scale: float = 1.0) -> Examinee:
        """The base, or the base with this adapter."""
        return Examinee(self.runtime, "an arm", adapter, scale, self._answering)

    def recall(self, subject: Examinee, asked: Sequence[Asked], old: bool = False) -> list[bool]:
        """Closed book, exact match; `old` asks whether the answer before a change is given."""
        items = tuple(one.item(one.old if old else "") for one in asked)
        return list(probes.examine(subject, Material(recall=items), self._report,
                                   ["recall"]).right["recall"])  # fmt: skip

    def general(self, subject: Examinee) -> tuple[float, int]:
        """Nats and tokens of the general text."""
        passages = probes.examine(subject, Material(), self._report, ["general"]).general
        return sum(nats for nats, _ in passages), sum(tokens for _, tokens in passages)

    def served(self, subject: Examinee, asked: Sequence[Asked]) -> list[bool]:
        """As users get it: search, reader, generator, support check."""
        marks = []
        for number, one in enumerate(asked):
            self._report("answers with search", number, len(asked))
            marks.append(contains(subject.served(one.question), (one.value,)))
        return marks


def sample(asked: Sequence[Asked], most: int = SERVED) -> list[Asked]:
    """At most so many, evenly over the nights."""
    clear = [one for one in asked if not one.other]
    if len(clear) <= most:
        return clear
    return [clear[i * len(clear) // most] for i in range(most)]


def compared(
    asked: Sequence[Asked], alone: Sequence[bool], adapter: Sequence[bool]
) -> dict[str, Any]:
    """Search with the adapter against search alone, by what hides the questions, and in all."""
    found: dict[str, Any] = {}
    for kind in ("all", PHRASING, DOCUMENT):
        at = [i for i, one in enumerate(asked) if kind in ("all", one.hidden)]
        pair = pair_up([adapter[i] for i in at], [alone[i] for i in at])
        found[kind] = {
            "n": pair.n, "alone": pair.reference, "adapter": pair.candidate,
            "gained": pair.gained, "lost": pair.lost, "p": mcnemar(pair),
        }  # fmt: skip
    return found
