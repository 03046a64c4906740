"""One probe a file: `run(subject, material, tick) -> dict` of `gate.Sheet` fields.

A new probe is a new file and a line in `PROBES`. Binary probes return `{"right": {name: [...]}}`,
and those of the user's own questions what was `said`, too; the sheet is the union of all. `FAST`
are those that the scale sweep repeats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from nightschool.evaluate.gate import Sheet
from nightschool.evaluate.subject import Material, Question, Subject, Tick

DATA = Path(__file__).with_name("data")
Probe = Callable[[Subject, Material, Tick], dict[str, Any]]

FAST = ("general", "drift", "screen")
PROBES = (*FAST, "recall", "served", "old", "reading", "abstain", "chat", "safety", "leak")


class Marks(Protocol):
    """What is known of one subject from before, by probe."""

    def get(self, probe: str) -> dict[str, Any] | None: ...

    def put(self, probe: str, found: dict[str, Any]) -> None: ...


def examine(
    subject: Subject,
    material: Material,
    tick: Tick,
    names: Sequence[str] = PROBES,
    marks: Marks | None = None,
) -> Sheet:
    """Put the named probes to `subject` and collect its sheet. What is in `marks` is not asked
    again, and what is asked goes there."""
    right: dict[str, list[bool]] = {}
    said: dict[str, list[str]] = {}
    rest: dict[str, Any] = {}
    for name in names:
        known = None if marks is None else marks.get(name)
        noted = len(material.reference)
        found = dict(probe(name)(subject, material, tick) if known is None else known)
        # What a probe noted of the base for the others is not in its result: it is asked anew.
        if known is None and marks is not None and len(material.reference) == noted:
            marks.put(name, dict(found))
        right |= found.pop("right", {})
        said |= found.pop("said", {})
        rest |= found
    rest.setdefault("general", [])
    return Sheet(name=subject.name, right=right, said=said, **rest)


def probe(name: str) -> Probe:
    """The `run` function of one probe."""
    run: Probe = import_module(f"{__name__}.{name}").run
    return run


def load(name: str) -> list[dict[str, Any]]:
    """The fixed items of a probe, from its JSON-lines file."""
    text = (DATA / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def questions() -> set[str]:
    """Everything that the fixed probes ask: none of it may be practised."""
    return {
        item.get("question") or item["prompt"]
        for name in ("reading", "abstain", "screen", "chat", "safety")
        for item in load(name)
    }


def marked(
    subject: Subject,
    questions: Sequence[Question],
    tick: Tick,
    label: str,
    judge: Callable[[str, Question], bool],
    max_tokens: int = 24,
    heard: list[str] | None = None,
) -> list[bool]:
    """Ask each question greedily and mark it with `judge(prediction, question)`; what was said is
    added to `heard`."""
    marks = []
    for number, question in enumerate(questions):
        tick(label, number, len(questions))
        said = subject.generate(question.messages, max_tokens=max_tokens)
        marks.append(judge(said, question))
        if heard is not None:
            heard.append(said)
    return marks
