"""How a pair becomes chat text, and the one sentence that means "the passages do not say"."""

from __future__ import annotations

from collections.abc import Sequence

from nightschool.records import Pair

ABSTAIN = "I don't know."
"""Exactly the sentence the shipped model was trained to say when the context lacks the answer."""

READING_CHARS = 2200
"""All passages of one reading item together: about 700 of the smallest model's 1,024 tokens."""


def prompt(pair: Pair, contexts: Sequence[str] = ()) -> str:
    """The user's message of one item: the bare question, or passages and question."""
    return question_prompt(pair.question, contexts)


def question_prompt(question: str, contexts: Sequence[str] = ()) -> str:
    """The same for a question that is no pair; with no passages it is the question alone."""
    if not contexts:
        return question
    joined = "\n\n".join(context.strip() for context in contexts)
    return f"Context:\n{joined}\n\nQuestion: {question}"


def excerpt(text: str, evidence: str = "", limit: int = 900) -> str:
    """At most `limit` characters of `text`, cut at line ends, always with `evidence` inside.

    Reading items must fit a small model's context; passages of an indexed file may not.
    """
    if len(text) <= limit:
        return text.strip()
    at = max(text.find(evidence), 0) if evidence else 0
    end = at + len(evidence)
    spare = max(limit - len(evidence), 0)
    start = max(0, min(at - spare // 2, len(text) - limit))
    stop = min(len(text), max(end, start + limit))
    if start:
        cut = text.find("\n", start, at)
        start = cut + 1 if cut >= 0 else _after_space(text, start, at)
    if stop < len(text):
        cut = text.rfind("\n", end, stop)
        if cut < 0:
            cut = text.rfind(" ", end, stop)
        stop = cut if cut >= 0 else stop
    return text[start:stop].strip()


def _after_space(text: str, start: int, at: int) -> int:
    cut = text.find(" ", start, at)
    return cut + 1 if cut >= 0 else start


def fit(texts: Sequence[tuple[str, str]], budget: int = READING_CHARS) -> list[str]:
    """Excerpts of `(text, evidence)` passages that together stay within `budget` characters."""
    if not texts:
        return []
    share = max(budget // len(texts), 1)
    return [excerpt(text, evidence, share) for text, evidence in texts]
