"""The hidden questions answered as users get them: retrieval, generator, reader, support check."""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.subject import Material, Subject, Tick
from nightschool.evaluate.text import abstains, contains


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`right["served"]`: the answer contains the gold span, or abstains where there is none.
    `said`: the answers themselves."""
    marks, heard = [], []
    for number, question in enumerate(material.served):
        tick("served answers", number, len(material.served))
        said = subject.served(question.prompt)
        heard.append(said)
        marks.append(contains(said, question.answers) if question.answers else abstains(said))
    return {"right": {"served": marks}, "said": {"served": heard}}
