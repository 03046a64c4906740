"""Questions whose answer is a phrase: what, where, why, who."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nightschool.pairs.rules import grammar, lexicon, spans
from nightschool.pairs.rules.asked import Asked, ask, moment, without
from nightschool.pairs.rules.grammar import Clause
from nightschool.pairs.text import bag

_STATIVE = bag(
    "be live stay stand hang lie sit keep store park work meet put leave hide sleep eat"
)  # fmt: skip
_KEPT = ("kept ", "stored ", "parked ", "hidden ")
_IMPERSONAL = bag(
    "be have take cost lie stand open close contain hold use need leave arrive run start end "
    "include mean last measure weigh consist belong show"
)
_STOP = re.compile(
    r"\s(?:on|in|at|for|from|with|by|to|until|since|before|after|during|every|because|as|when|if"
    r"|about|per(?! ?cent)|without|into|near|instead)\s|,(?!\d)|\s(?:today|yesterday|tomorrow|again"
    r"|now)\b"
)
_SELF = re.compile(r"(the|our|my|[a-z]+ing|[a-z]+ed)\b")
_INTRANSITIVE = bag(
    "arrive come go happen swarm sleep fall rise sit stand lie live die exist appear disappear "
    "wait stay belong depend last expire"
)
_SET_PHRASES = bag("way place part care time back home")


def reason(clause: Clause, sentence: str) -> Iterator[Asked]:
    """ "… because the hatch is included" → Why …?"""
    found = re.search(r",? because (?!of\b)([^.;]+)", sentence)
    if not found:
        return
    answer = found.group(1).strip()
    if 2 <= len(answer.split()) <= 14 and not re.match(r"(?i)(it|this|that|they|he|she)\b", answer):
        yield ask(clause, answer, "Why", clause.rest, 0.8, which="For what reason")


def called(clause: Clause) -> Iterator[Asked]:
    """ "is called heron" → What is … called?"""
    found = re.match(r"(called|named|known as|nicknamed)\s+[\"“]?([^,;\"”]{2,60})", clause.rest)
    if found and clause.base == "be":
        yield ask(clause, found.group(2), "What", found.group(1), 0.9)


def place(clause: Clause) -> Iterator[Asked]:
    """ "The key hangs on the hook behind the pump" → Where does the key hang?"""
    kept = clause.rest.startswith(_KEPT)
    if clause.imperative or not (clause.base in _STATIVE or kept):
        return
    head = clause.rest.split(" ")[0] if kept else ""
    tail = clause.rest[len(head) :].strip().split(",")[0]
    found = re.match(
        r"(?:(?:in|on|at) |(?=under |behind |beside |near |next to |above |below |inside |between "
        r"|opposite |by |with ))(.+)",
        tail,
    )
    if not found or len(tail.split()) > 12 or tail.split()[-1].lower() in lexicon.PREPOSITIONS:
        return
    vague = tail.split()[0] in ("with", "by", "at") and not re.search(r" (the|my|our) ", tail)
    if clause.base == "be" and not kept and vague:
        return
    if any(moment(span.text) for span in spans.find(tail)):
        return
    answer = found.group(1)
    if re.match(r"[A-Z]\b", answer):
        return  # "in D minor"
    yield ask(clause, answer, "Where", f"{head} {clause.lead}".strip(), 0.8)


def thing(clause: Clause) -> Iterator[Asked]:
    """The noun phrase right after the verb, or what something is → What …?"""
    words = clause.rest.split()
    if clause.imperative or not words or (clause.auxiliary and clause.base != "be"):
        return
    if clause.base in _INTRANSITIVE:
        return
    if clause.base == "be":
        yield from _complement(clause, words)
        return
    first = words[0].lower().strip(",")
    if first in ("me", "us", "him", "them") and len(words) > 2:
        yield from _object(clause, len(words[0]))
        return
    opens = first in lexicon.DETERMINERS | lexicon.NUMBER_WORDS or first[:1].isdigit()
    if not opens and (first in lexicon.FUNCTION or not lexicon.kinds(first) & {"NOUN", "ADJ"}):
        return
    if "ing" in lexicon.verb_forms(first) or first in ("every", "each", "last", "next"):
        return
    yield from _object(clause, 0)


def _object(clause: Clause, skip: int) -> Iterator[Asked]:
    body = clause.rest[skip:].lstrip()
    offset = len(clause.rest) - len(body)
    stop = _STOP.search(f"{body} ")
    end = stop.start() if stop else len(body)
    while more := re.match(r",\s(?:and\s)?[\w'’ -]{2,40}", body[end:]):
        end += more.end()
    answer = body[:end].strip()
    words = answer.lower().split()
    if not 1 <= len(words) <= 9 or words[-1] in lexicon.FUNCTION or moment(answer):
        return
    if not _noun_like(words[0], first=True) or not _noun_like(words[-1], first=False):
        return
    if words[0] in ("no", "that", "this", "these", "those", "such"):
        return
    if len(words) == 1 and words[0] in _SET_PHRASES:
        return
    cut = without(clause, offset, offset + end)
    weak = clause.base in ("have", "do", "get", "make", "take")
    if cut or not weak or clause.subject.lower() not in ("i", "we"):
        yield ask(clause, answer, "What", cut, 0.65)


def _noun_like(word: str, *, first: bool) -> bool:
    """Whether a noun phrase may begin (or end) with this word; unknown words are names."""
    kinds = lexicon.kinds(word)
    if word in lexicon.DETERMINERS | lexicon.NUMBER_WORDS or not kinds:
        return first or word not in lexicon.FUNCTION
    return bool(kinds & ({"NOUN", "ADJ"} if first else {"NOUN"}))


def _complement(clause: Clause, words: list[str]) -> Iterator[Asked]:
    """ "The favourite colour is oxblood" → What is the favourite colour?"""
    first = words[0].lower()
    forms, kinds = lexicon.verb_forms(first), lexicon.kinds(first)
    if first in ("not", "to", "very", "too", "so") or len(words) > 10:
        return
    if first in lexicon.PREPOSITIONS or "ing" in forms:
        return
    if "participle" in forms and "NOUN" not in kinds:
        yield from _passive(clause, words[0])
        return
    if "NOUN" not in kinds and len(words) > 1 and words[1].lower() in lexicon.PREPOSITIONS:
        return  # "unhappy from the first month"
    person = spans.person_like(clause.subject) or clause.subject.lower() in ("i", "we", "they")
    definite = first in ("a", "an", "the", "my", "our") or not words[0][0].islower()
    if not definite and (person or "NOUN" not in lexicon.kinds(words[-1].strip(".,"))):
        return
    answer = re.split(
        r",|\s(?:who|which|that|because|when|if|since|until|after|before|so|but)\s", clause.rest
    )[0].strip()
    if not 1 <= len(answer.split()) <= 9 or answer.split()[-1].lower() in lexicon.FUNCTION:
        return
    wh = "Who" if person or spans.person_like(answer) else "What"
    yield ask(clause, answer, wh, "", 0.7 if person else 0.75)


def _passive(clause: Clause, verb: str) -> Iterator[Asked]:
    """ "is covered with cedar shingles" → What is … covered with?"""
    found = re.match(rf"{re.escape(verb)} (by|with|in|of|from|to|on|for) (.+)", clause.rest)
    if found and len(found.group(2).split()) <= 8 and not _STOP.search(f" {found.group(2)} "):
        yield ask(clause, found.group(2), "What", f"{verb} {found.group(1)}", 0.65)


def doer(clause: Clause) -> Iterator[Asked]:
    """The subject itself: Who approves any invoice below £5,000?"""
    name, full = clause.subject, f"{clause.rest} {clause.lead}".strip()
    if not spans.person_like(name) or clause.imperative or len(full.split()) < 3:
        return
    if clause.base in _IMPERSONAL and " " not in name and clause.base != "be":
        return
    if clause.base == "be" and not _SELF.match(full):
        return
    question = grammar.squeeze(f"Who {clause.verb} {full}")
    which = grammar.squeeze(f"Which person {clause.verb} {full}?")
    yield Asked(name, f"{question}?", grammar.lower_wh(question), which, 0.6)
