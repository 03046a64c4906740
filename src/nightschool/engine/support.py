"""Does a passage say what an answer says? Literal comparison of content, without a model.

An answer is supported by one or two neighbouring sentences that hold all its numbers and names and
nearly all its other content words. Word order and small words do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

ENOUGH = 0.75
"""Share of an answer's plain content words that must stand in the sentence. Below 1, because
models put in a linking word of their own; names and numbers have no such freedom."""

_STOP_TEXT = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has
have having he her here hers him his how i if in into is it its itself just me more most my no
nor not now of off on once only or other our ours out over own same shall she should so some
such than that the their theirs them then there these they this those through to too under
until up upon us very was we were what when where which while who whom whose why will with
would you your yours according context passage note notes question answer says said states
stated mentioned s t
"""
STOP = frozenset(_STOP_TEXT.split())
"""Words that carry no content of their own."""

_NUMBER_TEXT = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
"""
_NUMBERS = {word: str(number) for number, word in enumerate(_NUMBER_TEXT.split())}
_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?|[^\W_]+")
_BREAK = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-ZÀ-ÖØ-Þ0-9])|\s*\n\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|etc|approx|ca|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|"
    r"Sept|Oct|Nov|Dec|p|pp|vol|fig|tel)\.|\be\.g\.|\bi\.e\.)$"
)
_MARKER = re.compile(r"^(?:[-*+•]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+|#{1,6}\s+|>\s+)")
_ABSTAINS = re.compile(
    r"^\W*(?:i (?:do not|don['’]t|cannot|can['’]t) (?:know|tell|answer|find)"
    r"|(?:i am|i['’]m) not sure|unknown\b|not (?:mentioned|stated|specified|given|in the context)"
    r"|no (?:information|answer)\b|none\W*$|n/a\W*$"
    r"|the (?:context|text|passage|note)s? (?:does|do) not|there is no (?:information|mention))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """Characters `[start, end)` of a passage, list markers left out."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an answer in comparable form; names and numbers are `firm`."""

    stem: str
    firm: bool


def abstains(text: str) -> bool:
    """Whether a model's answer says that it does not know."""
    return not text.strip() or bool(_ABSTAINS.match(text.strip()))


def sentences(text: str) -> list[Sentence]:
    """The sentences and lines of a passage, in order; every one is literally in the text."""
    cuts = [0]
    for match in _BREAK.finditer(text):
        broken_line = "\n" in match.group()
        if broken_line or not _ABBREVIATION.search(text[max(0, match.start() - 8) : match.start()]):
            cuts += [match.start(), match.end()]
    cuts.append(len(text))
    found = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        while start < end and text[start].isspace():
            start += 1
        if marker := _MARKER.match(text[start:end]):
            start += marker.end()
        while end > start and text[end - 1].isspace():
            end -= 1
        if start < end:
            found.append(Sentence(start, end, text[start:end]))
    return found


def sentence_at(text: str, start: int, end: int) -> Sentence:
    """The sentence around characters `[start, end)`, widened when they cross a border."""
    touched = [s for s in sentences(text) if s.start < end and start < s.end]
    if not touched:
        return Sentence(start, end, text[start:end])
    low, high = min(start, touched[0].start), max(end, touched[-1].end)
    return Sentence(low, high, text[low:high])


def words(text: str) -> list[Word]:
    """Content words, comparable: folded, numbers in digits, light stems."""
    return list(_words(text))


def stems(text: str) -> set[str]:
    """The set of comparable content words of a text."""
    return {word.stem for word in _words(text)}


def content_spans(text: str) -> list[tuple[int, int]]:
    """Characters `[start, end)` of each content word of a text."""
    return [
        match.span()
        for match in _WORD.finditer(text)
        if match.group().casefold().removesuffix("'s").removesuffix("’s") not in STOP
    ]


def _words(text: str) -> Iterator[Word]:
    text = unicodedata.normalize("NFKC", text)
    for match in _WORD.finditer(text):
        raw = match.group()
        folded = raw.casefold().removesuffix("'s").removesuffix("’s")
        if raw[0].isdigit():
            yield Word(folded.replace(",", "").lstrip("0") or "0", True)
        elif folded in _NUMBERS:
            yield Word(_NUMBERS[folded], True)
        elif folded not in STOP:
            yield Word(_stem(folded), raw[0].isupper())


def _stem(word: str) -> str:
    """Plurals and past tenses fall together with their root, roughly and on both sides alike."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word


@dataclass(frozen=True, slots=True)
class Support:
    """Where an answer stands: number of the passage, and the sentence (or two) that carries it."""

    passage: int
    quote: Sentence


def find_support(answer: str, passages: Sequence[str], question: str = "") -> Support | None:
    """The first passage that supports `answer`, and its tightest sentence; None when none does.

    Words of the question may be repeated freely. An answer without content of its own ("yes")
    cannot be supported: nothing in it can be looked up.
    """
    known = stems(question)
    said = [word for word in _words(answer) if word.stem not in known]
    if not said:  # it only repeats the question: then it must stand there as a whole
        said = list(_words(answer))
    firm = {word.stem for word in said if word.firm}
    plain = {word.stem for word in said if not word.firm} - firm
    if not firm and not plain:
        return None
    for number, passage in enumerate(passages):
        lines = sentences(passage)
        single = [(line, stems(line.text)) for line in lines]
        pairs = [
            (Sentence(a.start, b.end, passage[a.start : b.end]), one | two)
            for (a, one), (b, two) in pairwise(single)
        ]
        for sentence, held in [*single, *pairs]:
            if firm <= held and len(plain & held) >= ENOUGH * len(plain):
                return Support(number, sentence)
    return None


def agree(one: str, two: str) -> bool:
    """Whether two short answers say the same: one's content lies within the other's, or nearly."""
    a, b = stems(one), stems(two)
    if not a or not b:
        return one.strip().casefold() == two.strip().casefold()
    if not {word.stem for word in _words(one) if word.stem[0].isdigit()} & b and any(
        stem[0].isdigit() for stem in b
    ):
        return False  # different figures are never the same answer
    return len(a & b) >= 0.66 * min(len(a), len(b))


def likeness(one: str, two: str) -> float:
    """How much of their content two answers share: 0 nothing, 1 all (Dice's coefficient of stems).

    Two that say they do not know are alike; one that does and one that does not share nothing.
    """
    if abstains(one) or abstains(two):
        return float(abstains(one) and abstains(two))
    a, b = stems(one), stems(two)
    if not a or not b:
        return float(one.strip().casefold() == two.strip().casefold())
    return 2 * len(a & b) / (len(a) + len(b))
