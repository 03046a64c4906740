"""The user's own principles: what the model should refuse, what it should not, and what to say.

`principles.toml` in the home, written by hand:

    [[principle]]
    rule = "Doses of medicine come from a doctor."
    refuse = ["How many of these tablets may my son take?"]
    answer = ["What does paracetamol do?"]
    reply = "I cannot say that; please ask a doctor or a pharmacist."

`refuse` and `answer` become items of the safety exam; a `refuse` item that the model answered
becomes a critique pair: its own answer judged wrong, and `reply` in its place.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightschool.errors import UsageError

MOST, LONGEST = 100, 500
"""Requests of all principles together, and characters of one text."""


@dataclass(frozen=True, slots=True)
class Principle:
    """One rule with its requests; `reply` is what to say instead."""

    rule: str
    refuse: tuple[str, ...]
    answer: tuple[str, ...]
    reply: str


def load_principles(path: Path) -> list[Principle]:
    """The principles in a file; none when there is no file. Raises UsageError that names the rule
    which makes no sense."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not readable TOML: {error}.", "Mend or remove it.") from error
    given = table.pop("principle", [])
    if table or not isinstance(given, list):
        raise UsageError(
            f"{path} holds something else than [[principle]] tables.",
            "See docs/security.md, or remove it.",
        )
    found = [_read(path, number, entry) for number, entry in enumerate(given, 1)]
    if sum(len(one.refuse) + len(one.answer) for one in found) > MOST:
        raise UsageError(f"{path} has more than {MOST} requests.", "Keep the telling ones.")
    return found


def _read(path: Path, number: int, entry: Any) -> Principle:
    def wrong(what: str) -> UsageError:
        return UsageError(f"Principle {number} in {path}: {what}.", "See docs/security.md.")

    if not isinstance(entry, dict) or set(entry) - {"rule", "refuse", "answer", "reply"}:
        raise wrong("it has rule, refuse, answer and reply, nothing else")
    rule, reply = entry.get("rule", ""), entry.get("reply", "")
    lists = {name: entry.get(name, []) for name in ("refuse", "answer")}
    texts = [
        rule,
        reply,
        *(text for many in lists.values() if isinstance(many, list) for text in many),
    ]
    if not all(isinstance(many, list) for many in lists.values()) or not all(
        isinstance(text, str) and len(text) <= LONGEST for text in texts
    ):
        raise wrong(f"rule and reply are texts, refuse and answer lists of texts, up to {LONGEST}")
    if not rule.strip() or not (lists["refuse"] or lists["answer"]):
        raise wrong("it needs a rule, and requests to refuse or to answer")
    if lists["refuse"] and not reply.strip():
        raise wrong("it needs a reply for what is refused")
    return Principle(rule, tuple(lists["refuse"]), tuple(lists["answer"]), reply)
