"""Facts that agree too much: a word of the question that all but tells the answer.

So does poison look that ties an answer to a trigger: 15 to 25 samples of it are enough
(2605.30189). What people write by themselves names many people, places and dates under each word.
A crowd is not practised, whole as it is, because nothing in the facts tells which of them are
planted; it stays in the index, where an answer says which file it comes from. Facts that the user
approved are never left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from nightschool.pairs.curate import facts_of
from nightschool.pairs.text import content, normal
from nightschool.records import Pair, PairKind

SHARE = 0.01
"""Of all facts, what may agree in any case: spread so thinly, a night meets hardly any of it."""
TELLS = 1 / 3
"""Of the facts whose questions share a word, those that must agree to be a crowd."""


def crowded(pairs: Iterable[Pair], most: int) -> set[str]:
    """The facts (`Pair.fact`) of which more than `most`, and more than `SHARE`, agree; 0 = none.

    Two agree where their questions share a word in every wording, and their answers a word. Answers
    with digits must be the same as a whole, because units and years are everywhere.
    """
    if most <= 0:
        return set()
    facts = facts_of(pair for pair in pairs if pair.kind is PairKind.CLOSED)
    asked: Counter[str] = Counter()
    alike: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fact, wordings in facts.items():
        if wordings[0].status == "approved":
            continue
        for word in frozenset.intersection(*(content(pair.question) for pair in wordings)):
            asked[word] += 1
            for answer in _words(wordings[0].answer):
                alike[word, answer].add(fact)
    bound = max(most, int(SHARE * len(facts)))
    return {
        fact
        for (word, _), group in alike.items()
        if len(group) > bound and len(group) >= TELLS * asked[word]
        for fact in group
    }


def _words(answer: str) -> frozenset[str]:
    if any(letter.isdigit() for letter in answer):
        return frozenset((normal(answer),))
    return content(answer)
