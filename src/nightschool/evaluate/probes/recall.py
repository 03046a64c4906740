"""Closed-book recall of the user's facts in a phrasing that was never practised."""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.probes import marked
from nightschool.evaluate.subject import Material, Subject, Tick
from nightschool.evaluate.text import exact


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`right["recall"]`: exact match in SQuAD's normal form. `said`: the answers themselves."""
    heard: list[str] = []
    marks = marked(
        subject, material.recall, tick, "recall", lambda said, q: exact(said, q.answers),
        heard=heard,
    )  # fmt: skip
    return {"right": {"recall": marks}, "said": {"recall": heard}}
