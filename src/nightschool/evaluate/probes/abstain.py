"""Unanswerable questions, with and without a note: does it say that it does not know?"""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.probes import load, marked
from nightschool.evaluate.subject import Material, Question, Subject, Tick
from nightschool.evaluate.text import abstains


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`right["abstain"]`: whether it abstained."""
    items = [Question(i["question"], (), i["context"]) for i in load("abstain")]
    marks = marked(subject, items, tick, "abstention", lambda said, q: abstains(said))
    return {"right": {"abstain": marks}}
