"""What a report says in words: how the night ended, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

GOOD, WARN, BAD, IDLE = "good", "warn", "bad", "idle"
_ENDINGS = {
    "promoted": (GOOD, "Promoted", "Version {version} passed its exams and is served."),
    "held": (WARN, "Held", "Version {version} is kept but not served: {before} stays."),
    "rejected": (BAD, "Rejected", "The candidate was thrown away: {before} stays."),
    "nothing_new": (IDLE, "Nothing to do", "Nothing was practised: {before} stays."),
    "too_little": (IDLE, "Too little", "Nothing was practised: {before} stays."),
    "interrupted": (
        IDLE,
        "Interrupted",
        "The next night goes on where it stopped: {before} stays.",
    ),
    "running": (IDLE, "Under way", "This was written before the night came to its end."),
    "nan": (BAD, "Failed", "Practice ended in numbers that are none: {before} stays."),
    "out_of_memory": (BAD, "Failed", "Memory ran out: {before} stays."),
    "parity_failed": (BAD, "Failed", "The adapter was not what was trained: {before} stays."),
    "forgotten": (WARN, "Ended", "A file it practised was forgotten: {before} stays."),
    "failed": (BAD, "Failed", "The night came to no verdict: {before} stays."),
}
PROBES = {
    "served": "your questions, as you get answers",
    "recall": "your facts from memory, in new words",
    "old": "facts of earlier nights",
    "reading": "reading a given note",
    "abstain": "saying “I don't know”",
}
"""The exams that are counted item by item, in the order of the page."""
FORMS = {
    "closed": "questions from memory",
    "reading": "questions with passages to read",
    "unanswerable": "questions that nothing answers",
    "rewrite": "rewordings",
    "style": "your own style",
    "feedback": "answers you judged",
}
CHANGES = {
    "gained": ("learned", "wrong before, right now"),
    "kept": ("kept", "right before and now"),
    "lost": ("lost", "right before, wrong now"),
    "missed": ("not yet", "wrong before and now"),
}


def ending(view: Mapping[str, Any]) -> tuple[str, str, str]:
    """The colour, the word and the sentence for how a night ended."""
    before = f"version {view['before']}" if view["before"] else "the base model"
    tone, word, sentence = _ENDINGS[view["outcome"]]
    said = sentence.format(version=view["version"], before=before)
    return tone, word, said


def change(sample: Mapping[str, Any]) -> str:
    """Which of `CHANGES` a sample is."""
    return {
        (False, True): "gained",
        (True, True): "kept",
        (True, False): "lost",
        (False, False): "missed",
    }[sample["right_before"], sample["right_after"]]


def number(value: float | None, unit: str = "") -> str:
    """A figure in its unit; shares as percent."""
    if value is None:
        return "no number"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "points":
        return f"{value:+.1f}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """`42 s`, `6 min`, `1 h 20 min`."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float | None) -> str:
    """Bytes: `512 MB`, `1.4 GB`."""
    if not count:
        return "unknown"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def when(text: str) -> str:
    """`22 November 2026, 03:14 UTC`."""
    if not text:
        return ""
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def plural(count: int, word: str, more: str = "") -> str:
    """`1 file`, `3 files`."""
    return f"{count:,} {word if count == 1 else more or f'{word}s'}".replace(",", "\u202f")
