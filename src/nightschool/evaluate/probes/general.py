"""General text: has it forgotten language? Per-passage NLL on fixed passages written for this."""

from __future__ import annotations

from math import isfinite
from typing import Any

from nightschool.evaluate.probes import load
from nightschool.evaluate.subject import Material, Subject, Tick


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`general`: (nats, tokens) a passage; `finite`: whether every value was a number."""
    passages = load("general")
    found = []
    for number, passage in enumerate(passages):
        tick("general text", number, len(passages))
        found.append(subject.nll_text(passage["text"]))
    return {"general": found, "finite": all(isfinite(nats) for nats, _ in found)}
