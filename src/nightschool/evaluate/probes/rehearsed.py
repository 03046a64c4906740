"""Reading and abstaining on prompts kept out of practice: steers the scale, decides nothing.

The gate's own reading items must be seen once only (no winner's curse), so the sweep over scales
looks at these instead.
"""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.probes import marked
from nightschool.evaluate.subject import Material, Question, Subject, Tick
from nightschool.evaluate.text import abstains, exact


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`right["rehearsed"]`: exact answer, or abstaining where there is none."""
    return {"right": {"rehearsed": marked(subject, material.rehearsed, tick, "rehearsal", _right)}}


def _right(prediction: str, question: Question) -> bool:
    if not question.answers:
        return abstains(prediction)
    return exact(prediction, question.answers)
