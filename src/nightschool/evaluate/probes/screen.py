"""Reading and abstaining on items of their own: steers the adapter scale, decides nothing.

Made like the gate's reading and abstention items, from the same templates, and never the same
ones: the gate's are looked at once (no winner's curse), and rehearsed prompts cannot stand in for
them, because practice keeps its own templates in shape first.
"""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.probes import load, marked
from nightschool.evaluate.subject import Material, Question, Subject, Tick
from nightschool.evaluate.text import abstains, exact


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`right["screen-reading"]`: exact answer; `right["screen-abstain"]`: whether it abstained."""
    marks: dict[str, list[bool]] = {}
    items = load("screen")
    for name, wanted in (("screen-reading", True), ("screen-abstain", False)):
        questions = [
            Question(i["question"], (i["answer"],) if wanted else (), i["context"])
            for i in items
            if i["id"].startswith(name)
        ]
        marks[name] = marked(subject, questions, tick, "screening", _right)
    return {"right": marks}


def _right(prediction: str, question: Question) -> bool:
    if not question.answers:
        return abstains(prediction)
    return exact(prediction, question.answers)
