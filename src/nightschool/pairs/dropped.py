"""What curation throws away: counted by reason, and by passage with a few examples of each.

A `Counter` of wordings by reason, so that whoever only counts needs no more. Examples are words of
redacted passages; of what looks like a secret there are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nightschool.pairs.rules.note import redacted
from nightschool.pairs.text import TOKENISH
from nightschool.records import Pair
from nightschool.store.reports import Dropped as Loss

EXAMPLES = 2
"""Kept of a file for each reason."""
LONGEST = 160
"""Characters of a question, or of an answer, in an example."""
SECRET = "redacted or secret-like"


class Dropped(Counter[str]):
    """Wordings by reason; `of` says which of a file's passages they came from."""

    def __init__(self) -> None:
        super().__init__()
        self._lost: dict[int, dict[str, list[Pair]]] = {}

    def note(self, reason: str, pairs: Iterable[Pair]) -> None:
        """These were dropped, and why."""
        for pair in pairs:
            self[reason] += 1
            passage = pair.chunk_ids[0] if pair.chunk_ids else 0
            self._lost.setdefault(passage, {}).setdefault(reason, []).append(pair)

    def of(self, passages: Iterable[int]) -> dict[str, Loss]:
        """What these passages, those of one file, lost, by reason."""
        lost: dict[str, list[Pair]] = {}
        for passage in passages:
            for reason, pairs in self._lost.get(passage, {}).items():
                lost.setdefault(reason, []).extend(pairs)
        return {reason: _loss(reason, pairs) for reason, pairs in lost.items()}


def _loss(reason: str, pairs: list[Pair]) -> Loss:
    first = {pair.fact: pair for pair in reversed(pairs)}  # the plainest wording of each fact
    shown = [pair for pair in reversed(first.values()) if reason != SECRET and not _secret(pair)]
    examples = tuple((_short(pair.question), _short(pair.answer)) for pair in shown[:EXAMPLES])
    return Loss(len(pairs), len(first), examples)


def _secret(pair: Pair) -> bool:
    text = f"{pair.question} {pair.answer}"
    return redacted(text) or TOKENISH.search(text) is not None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
