"""Closed-book recall of facts that the version served now has practised on earlier nights."""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.probes import marked
from nightschool.evaluate.subject import Material, Subject, Tick
from nightschool.evaluate.text import exact


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`right["old"]`: exact match; empty on the first night."""
    marks = marked(subject, material.old, tick, "old facts", lambda said, q: exact(said, q.answers))
    return {"right": {"old": marks}}
