"""Finding the finite verb of a clause."""

from __future__ import annotations

import re

from nightschool.pairs.rules import lexicon
from nightschool.pairs.rules.grammar import PLURAL


def participle(word: str) -> bool:
    forms = lexicon.verb_forms(word)
    return "participle" in forms and "base" not in forms


def finite(tokens: list[re.Match[str]]) -> int | None:
    """The index of the finite verb of the main clause."""
    words = [token.group() for token in tokens]
    low = [word.lower().replace("’", "'") for word in words]
    start = 0
    if low[0] in PLURAL | {"he", "she", "it"}:
        at = 2 if len(low) > 2 and low[1] in lexicon.ADVERBS else 1
        return (
            at
            if low[at] in lexicon.AUXILIARIES
            or lexicon.verb_forms(low[at]) & {"past", "third", "base"}
            else None
        )
    determined = low[0] in lexicon.DETERMINERS
    named = not determined and not lexicon.known(words[0].removesuffix("'s").removesuffix("’s"))
    if not determined and not named and not _noun_start(words, low):
        return None
    for i in range(start + 1, min(len(words), 13)):
        word, previous = low[i], low[i - 1]
        if word in (",", "("):
            closing = next(
                (j for j in range(i + 1, min(i + 9, len(low))) if low[j] in (",", ")")), None
            )
            if closing is None or closing + 1 >= len(low):
                return None
            if low[closing + 1] in lexicon.AUXILIARIES or lexicon.verb_forms(low[closing + 1]) & {
                "past",
                "third",
            }:
                return closing + 1
            return None
        if word in (";", ":", ")", '"', "“", "”", "which", "who", "that", "whose", "if"):
            return None
        if word in lexicon.AUXILIARIES and words[i][0].islower() and not (determined and i == 1):
            return i
        if _finite(low, words, i, previous, determined):
            return i
    return None


def _noun_start(words: list[str], low: list[str]) -> bool:
    """A clause that opens with a bare noun: "Rent is due", "Dinner costs", "Pocket money is"."""
    if (
        not lexicon.kinds(words[0]) & {"NOUN", "ADJ", "PROPN"}
        and low[0] not in lexicon.NUMBER_WORDS
    ):
        return words[0][0].isdigit()
    return True


def _finite(low: list[str], words: list[str], i: int, previous: str, determined: bool) -> bool:
    word = low[i]
    if words[i][0].isupper() or (determined and i == 1) or previous in lexicon.DETERMINERS:
        return False
    if (
        previous in lexicon.PREPOSITIONS
        or previous in lexicon.NUMBER_WORDS
        or previous in ("and", "to")
    ):
        return False
    forms = lexicon.verb_forms(word)
    kinds = lexicon.kinds(word)
    following = low[i + 1] if i + 1 < len(low) else ""
    begins = opens(words, i + 1)
    if "past" in forms:
        if "participle" in forms and determined and _auxiliary_ahead(low, i):
            return False
        return not kinds & {"ADJ", "NOUN"} or begins or not following
    if "third" in forms:
        if (
            i == 1
            and not determined
            and not lexicon.plural(words[0])
            and "NOUN" in lexicon.kinds(following)
        ):
            later = low[i + 1 : i + 4]
            return not any(
                w in lexicon.AUXILIARIES or lexicon.verb_forms(w) & {"past"} for w in later
            )
        if "NOUN" in kinds:
            return begins and (not determined or i >= 2) and following not in ("of",)
        return True
    if "base" in forms and lexicon.plural(previous) and not determined:
        return begins
    if "base" in forms and lexicon.plural(previous):
        return begins and "NOUN" not in kinds
    return False


def opens(words: list[str], at: int) -> bool:
    """Whether the word at `at` can begin what follows a verb: an object, a place, a time."""
    if at >= len(words):
        return False
    word = words[at].lower()
    return (
        word in lexicon.DETERMINERS | lexicon.PREPOSITIONS | lexicon.PRONOUNS
        or word in lexicon.NUMBER_WORDS | lexicon.ADVERBS
        or word
        in ("me", "us", "him", "them", "it", "out", "to", "like", "that", "very", "back", "well")
        or (not word[0].islower() and word[0] not in ",;:.()")
        or words[at][0].isupper()
    )


def _auxiliary_ahead(low: list[str], i: int) -> bool:
    for word in low[i + 1 : i + 7]:
        if word in (",", ";", "and", "but", "that", "which", "who", "because"):
            return False
        if word in lexicon.AUXILIARIES:
            return True
    return False
