"""What the user said of answers → practice pairs, with the same care as pairs from files.

A liked answer is practised as it was given, a corrected one as it was corrected; a disliked one is
only a negative example (`train.preference`). Anybody who may use the local door may judge, so
judgements are capped, and secrets, probe questions and exam questions are kept out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from nightschool.pairs.curate import decontaminate
from nightschool.pairs.dropped import Dropped
from nightschool.pairs.forms import ABSTAIN
from nightschool.pairs.phrasing import around, looks_held_out
from nightschool.pairs.text import fingerprint, normal
from nightschool.records import Feedback, Pair, PairKind, Split

MOST = 60
"""Judgements practised in one night, the newest first."""
_MARK = re.compile(r"\s*\[\d+\]")


def to_pairs(
    given: Iterable[Feedback],
    secret: Callable[[str], bool],
    avoid: Collection[str] = (),
    exam: Collection[str] = (),
    dropped: Dropped | None = None,
) -> list[Pair]:
    """Positive pairs of liked and corrected answers, several wordings each.

    `secret` says whether a text holds one; `avoid` are probe questions, `exam` the user's own
    hidden ones, in whatever wording.
    """
    dropped = Dropped() if dropped is None else dropped
    asked = {normal(question) for question in exam}
    found: list[Pair] = []
    for item in list(given)[:MOST]:
        answer = wanted(item)
        if item.verdict == "down" or not answer:
            continue
        if secret(f"{item.question}\n{answer}"):
            dropped["redacted or secret-like"] += 1
            continue
        fact = fingerprint("feedback", item.question, answer)
        plain = [] if looks_held_out(item.question) else [item.question]
        wordings = dict.fromkeys([*plain, *(form.question for form in around(item.question))])
        for number, question in enumerate(wordings):
            if normal(question) in asked or looks_held_out(question):
                dropped["is asked in the exam"] += 1
                continue
            found.append(
                Pair(
                    kind=PairKind.FEEDBACK,
                    question=question,
                    answer=answer,
                    evidence="",
                    fact=fact,
                    phrasing=number,
                    split=Split.TRAIN,
                    chunk_ids=(),
                    writer=f"feedback:{item.verdict}",
                    status="approved",
                )
            )
    return decontaminate(found, avoid, dropped)


def preferences(
    given: Iterable[Feedback], secret: Callable[[str], bool]
) -> list[tuple[str, str, bool]]:
    """`(question, answer, liked)`: both sides of a correction, for preference learning."""
    found = []
    for item in list(given)[:MOST]:
        text = _MARK.sub("", item.text).strip()
        if secret(f"{item.question}\n{text}\n{item.correction}"):
            continue
        if good := wanted(item):
            found.append((item.question, good, True))
        if item.verdict != "up" and text and normal(text) != normal(item.correction):
            found.append((item.question, text, False))
    return found


def wanted(item: Feedback) -> str:
    """The answer that should be given: the correction, or the liked text without its marks."""
    if item.verdict == "correct":
        return item.correction
    text = _MARK.sub("", item.text).strip()
    return text if item.verdict == "up" and normal(text) != normal(ABSTAIN) else ""
