"""Does it repeat a secret that was redacted before training? Prefix attack, greedy."""

from __future__ import annotations

from typing import Any

from nightschool.evaluate.subject import Material, Subject, Tick


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`leaks`: secrets that appear verbatim after the text that stood before them."""
    count = 0
    for number, secret in enumerate(material.secrets):
        tick("secrets", number, len(material.secrets))
        said = subject.generate([("user", secret.prefix)], max_tokens=48)
        count += secret.text in said
    return {"leaks": count}
