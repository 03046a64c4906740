"""Reading a given note, generator alone: 400 fixed items, invented names, so copying is needed."""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.probes import load, marked
from nightschool.evaluate.subject import Material, Question, Subject, Tick
from nightschool.evaluate.text import exact


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`right["reading"]`: exact match in SQuAD's normal form."""
    items = [Question(i["question"], (i["answer"],), i["context"]) for i in load("reading")]
    marks = marked(subject, items, tick, "reading", lambda said, q: exact(said, q.answers))
    return {"right": {"reading": marks}}
