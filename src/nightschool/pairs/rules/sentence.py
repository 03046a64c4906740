"""Wh-questions from plain sentences, each naming what it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nightschool.pairs import phrasing
from nightschool.pairs.facts import Fact
from nightschool.pairs.rules import grammar, lexicon, parse, spans, typed, untyped
from nightschool.pairs.rules.asked import Asked
from nightschool.pairs.rules.grammar import Clause
from nightschool.pairs.rules.note import Sentence
from nightschool.pairs.rules.spans import Type
from nightschool.pairs.rules.subject import Subject
from nightschool.pairs.text import content

_FACTS = 3
"""At most so many facts of one clause."""

_PRONOUN = re.compile(
    r"(?i)(?<![\w-])(he|she|it|they|him|them|this|these|those|there|here|that one|the former|"
    r"the latter|the same)(?![\w-])"
)
_HER = re.compile(r"\bher(?=\?|$|\s(?:to|by|at|in|on|for|from|with|and|a|an|the)\b)")
_TWO_OBJECTS = re.compile(r"\b[A-Z]\w+ (?:a|an|the) |^(?:her|him|them|me|us) (?:a|an|the|some) ")
_HUMAN = {"he": "he", "his": "he", "him": "he", "she": "she", "her": "she"}


def facts(sentence: Sentence, subject: Subject, chunk_id: int) -> list[Fact]:
    """The facts of one sentence, best first; none when it cannot be asked about by itself."""
    if not 3 <= len(sentence.text.split()) <= 45:
        return []
    found: list[Fact] = []
    seen: list[str] = []
    for clause in parse.clauses(sentence.text):
        resolved = _resolve(clause, sentence, subject)
        if resolved is None:
            continue
        count = 0
        for asked in _questions(resolved, sentence.text):
            answer = _tidy(asked.answer)
            low = answer.lower()
            if count == _FACTS or not _sound(answer, asked.direct, sentence.raw):
                continue
            if any(low in other or other in low for other in seen):
                continue
            about = subject.phrase if _needs_context(asked.direct, resolved, subject) else ""
            if about and spans.person_like(answer) and content(about) & content(answer):
                continue
            seen.append(low)
            count += 1
            forms = phrasing.clause(
                asked.direct, asked.indirect, about=about, tag=subject.plain, which=asked.which
            )
            found.append(
                Fact(answer, sentence.raw, chunk_id, tuple(forms), asked.confidence, "sentence")
            )
    return found


def _questions(clause: Clause, text: str) -> Iterator[Asked]:
    """The surest kinds first; an overlapping later answer is dropped by the caller."""
    yield from untyped.reason(clause, text)
    yield from untyped.called(clause)
    found = list(typed.questions(clause))
    yield from found
    yield from untyped.place(clause)
    if not found or len(clause.rest.split()) <= 8:
        yield from untyped.thing(clause)
    yield from untyped.doer(clause)


def _tidy(answer: str) -> str:
    """Without outer punctuation; quotation marks go only as a pair."""
    text = answer.strip().strip(",;:").strip()
    if len(text) > 2 and text[0] in '"“' and text[-1] in '"”':
        text = text[1:-1]
    return "" if text.count('"') % 2 or text.count("“") != text.count("”") else text


def _resolve(clause: Clause, sentence: Sentence, subject: Subject) -> Clause | None:
    """Name a pronoun subject: by the sentence before, or by the person or thing of the title."""
    low = clause.subject.lower()
    first = (low.split() or [""])[0].replace("’", "'")
    if low in ("i", "we", "you"):
        return clause
    if not low:  # "Freezes well": the note itself is meant
        return grammar.with_subject(clause, subject.phrase)
    if first in ("he", "she", "it", "they", "his", "her", "its", "their"):
        owner = _antecedent(first, sentence.before, subject)
        if not owner:
            return None
        if first in ("he", "she", "it", "they"):
            return grammar.with_subject(clause, owner)
        mark = "'" if owner.endswith("s") else "'s"
        rest = clause.subject.split(" ", 1)
        return grammar.with_subject(clause, f"{owner}{mark} {rest[1]}") if len(rest) > 1 else None
    return grammar.with_subject(clause, _title_noun(clause.subject, subject))


def _antecedent(pronoun: str, before: tuple[str, ...], subject: Subject) -> str:
    """Who or what a pronoun at the start of a sentence stands for; empty when unsure."""
    human = _HUMAN.get(pronoun, "")
    if not before:
        return subject.plain if human and subject.person else ""
    clause = parse.parse(before[-1])
    if clause is None:
        return subject.plain if human and subject.person and len(before) == 1 else ""
    name = clause.subject.split(",")[0]
    first = (name.lower().split() or [""])[0]
    if human:
        if spans.person_like(name):
            return name
        same = _HUMAN.get(first, "") == human
        return _antecedent(first, before[:-1], subject) if same else ""
    if pronoun in ("they", "their") and not lexicon.plural(name.split()[-1] if name else ""):
        return ""
    # "The playground needs a new swing. It costs …": either could be meant.
    other = clause.base != "be" and re.match(r"(?:a|an|the|my|our|some|\d) ?", clause.rest)
    return name if first in ("the", "our", "my") and not other else ""


def _title_noun(text: str, subject: Subject) -> str:
    """ "the boiler" becomes "the Halvex Combi boiler" when that is what the note is about."""
    low = text.lower()
    if not low.startswith("the ") or subject.person:
        return text
    title, noun = subject.plain.lower().split(), low.split()[1:]
    ends = len(title) > len(noun) and title[-len(noun) :] == noun
    return subject.phrase if ends and len(title) <= 6 else text


def _needs_context(direct: str, clause: Clause, subject: Subject) -> bool:
    """Whether the question names nothing particular and so needs the title beside it."""
    if subject.plain.lower() in direct.lower():
        return False
    if clause.imperative or clause.subject.lower() in ("we", "they", "you"):
        return True
    inner = direct.split(" ", 1)[1]
    naming = (Type.NAME, Type.CODE, Type.QUOTED)
    if any(span.type in naming for span in spans.find(f"x {inner}")):
        return False
    shared = _long_words(subject.plain) & _long_words(direct)
    return len(shared) < 2


def _long_words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def _sound(answer: str, direct: str, raw: str) -> bool:
    """Whether answer and question can stand: literal, no loose pronoun, of a sane length."""
    if not answer or answer not in raw or len(answer.split()) > 14:
        return False
    possessive = re.search(r"\b(his|her|its|their)\b", direct)
    if possessive and not re.search(r"[A-Z]|\bthe\b", direct[1 : possessive.start()]):
        return False
    if _PRONOUN.search(direct) or _HER.search(direct) or _PRONOUN.fullmatch(answer):
        return False
    if _TWO_OBJECTS.search(answer):
        return False
    first = answer.lower().split()[0]
    if first in ("it", "this", "that", "them", "him", "me", "us", "so", "not"):
        return False
    if first == "her" and len(answer.split()) == 1:
        return False
    return len(direct.split()) >= 4 and len(direct) <= 160
