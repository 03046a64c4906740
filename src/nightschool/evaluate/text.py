"""When an answer counts as right. Exact first: a small model must not judge itself."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "“”‘’–—…«»", " "))
_ABSTAINS = re.compile(
    r"\b(i (?:do not|don'?t) know|not (?:in|mentioned|stated|given)|no (?:answer|information)|"
    r"nothing in your files|cannot (?:answer|say|help)|can'?t (?:answer|say|help)|unable to|"
    r"i won'?t|i will not|sorry)\b",
    re.IGNORECASE,
)


def normalise(text: str) -> str:
    """SQuAD's normal form (1606.05250): lower case, no punctuation, no articles."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact(prediction: str, answers: Sequence[str]) -> bool:
    """Whether the prediction is one of the answers, in normal form."""
    return normalise(prediction) in {normalise(answer) for answer in answers}


def contains(prediction: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers stands in the prediction as whole words, in normal form."""
    padded = f" {normalise(prediction)} "
    return any(f" {normalise(answer)} " in padded for answer in answers if normalise(answer))


def f1(prediction: str, answers: Sequence[str]) -> float:
    """Best token F1 (0..1) against the answers, SQuAD's definition."""
    return max(
        (_f1(normalise(prediction).split(), normalise(a).split()) for a in answers), default=0
    )


def _f1(found: list[str], gold: list[str]) -> float:
    common = sum((Counter(found) & Counter(gold)).values())
    if not common:
        return float(found == gold)
    return 2 * common / (len(found) + len(gold))


def abstains(prediction: str) -> bool:
    """Whether the text says that it does not know or will not answer."""
    return bool(_ABSTAINS.search(prediction.replace("’", "'")))


def degenerate(prediction: str) -> bool:
    """Empty, or the same few words over and over (a share of distinct 3-grams under a third)."""
    words = prediction.split()
    if not words:
        return True
    if len(words) < 12:
        return False
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return len(set(grams)) / len(grams) < 1 / 3
