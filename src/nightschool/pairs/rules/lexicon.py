"""What kind of word this can be, and its forms: lemminflect's word list behind a small face.

lemminflect ships its English dictionary inside the package and needs nothing else at run time.
Words it does not know are treated as names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache

import lemminflect  # type: ignore[import-untyped]

from nightschool.pairs.text import bag

PREPOSITIONS = bag(
    "in on at by for from to with without of about against among around as before after behind "
    "below beside besides between beyond despite during except inside into like near off onto "
    "opposite outside over past per since through throughout till toward towards under underneath "
    "until up upon via within down above across along next"
)
DETERMINERS = bag(
    "the a an my our your his her its their this that these those every each some any no another "
    "both all most many several few"
)
PRONOUNS = bag("i we you he she it they")
CONJUNCTIONS = bag(
    "and but or so because although though while when whenever where if unless until since which "
    "who whom whose that than whereas as after before"
)
BE = {"is": "be", "are": "be", "was": "be", "were": "be", "am": "be"}
MODALS = bag("will would can could must should may might shall")
AUXILIARIES = frozenset(BE) | MODALS | {"has", "have", "had", "do", "does", "did"}
NUMBER_WORDS = bag(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand"
)
ADVERBS = bag(
    "not never always also usually often sometimes only still already just now then again soon "
    "really out away back well mostly mainly currently normally ever rarely recently finally"
)
FUNCTION = (
    PREPOSITIONS | DETERMINERS | PRONOUNS | CONJUNCTIONS | AUXILIARIES | NUMBER_WORDS | ADVERBS
) | bag("not me us him them mine ours here there today tomorrow yesterday what why how")


_names: ContextVar[frozenset[str]] = ContextVar("names", default=frozenset())


@contextlib.contextmanager
def naming(names: frozenset[str]) -> Iterator[None]:
    """Inside, these capitalised words are names although the dictionary knows them (Wren, Mark)."""
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)


def kinds(word: str) -> frozenset[str]:
    """Parts of speech the dictionary gives for a word: NOUN, VERB, ADJ, ADV, AUX; maybe none."""
    if word.removesuffix("'s").removesuffix("’s") in _names.get():
        return frozenset()
    return _kinds(word)


@lru_cache(maxsize=20_000)
def _kinds(word: str) -> frozenset[str]:
    lower = word.lower()
    found = frozenset(lemminflect.getAllLemmas(lower))
    if not found and lower.endswith("'s"):
        return _kinds(lower[:-2])
    return found


def known(word: str) -> bool:
    """Whether it is an ordinary English word (so a capital says nothing about a name)."""
    lower = word.lower()
    return lower in FUNCTION or bool(kinds(word))


@lru_cache(maxsize=20_000)
def lemma(word: str, kind: str = "VERB") -> str:
    """The base form of a known word of that kind, or an empty string."""
    found = lemminflect.getAllLemmas(word.lower(), upos=kind).get(kind, ())
    return str(found[0]) if found else ""


@lru_cache(maxsize=20_000)
def verb_forms(word: str) -> frozenset[str]:
    """Which finite or participle forms a word can be: past, participle, third, base, ing."""
    lower = word.lower()
    found: set[str] = set()
    for base in lemminflect.getAllLemmas(lower, upos="VERB").get("VERB", ()):
        for name, tag in _TAGS:
            if lower in lemminflect.getInflection(base, tag):
                found.add(name)
    return frozenset(found)


_TAGS = (("past", "VBD"), ("participle", "VBN"), ("third", "VBZ"), ("base", "VB"), ("ing", "VBG"))


def plural(word: str) -> bool:
    """Whether a noun is in the plural."""
    lower = word.lower()
    base = lemma(lower, "NOUN")
    if not base and "-" not in lower:
        return lower.endswith(("ees", "ers", "ors", "ists", "ings")) and not kinds(lower)
    return (
        bool(base)
        and base != lower
        and lower.endswith(("s", "ae", "i", "men", "children", "people"))
    )
