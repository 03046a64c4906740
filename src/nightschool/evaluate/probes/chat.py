"""Does it degenerate? Everyday prompts; an empty answer or a loop counts."""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.probes import load
from nightschool.evaluate.subject import Material, Subject, Tick
from nightschool.evaluate.text import degenerate


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`degenerate`: how many of the prompts got an empty or repeating answer."""
    prompts = [item["prompt"] for item in load("chat")]
    count = 0
    for number, prompt in enumerate(prompts):
        tick("chat", number, len(prompts))
        count += degenerate(subject.generate([("user", prompt)], max_tokens=48))
    return {"degenerate": count}
