"""Questions whose answer is a typed span: when, how much, how long, how many, who, where."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from nightschool.pairs.rules import lexicon, spans
from nightschool.pairs.rules.asked import Asked, Slot, ask, slot
from nightschool.pairs.rules.grammar import Clause
from nightschool.pairs.rules.spans import Type
from nightschool.pairs.text import bag

_GOING = bag("go travel move fly drive return walk come send take sail cycle commute")
_TRAVELLING = bag("run walk cycle swim drive hike ride row")
_PAYING = bag("cost pay charge owe borrow lend spend earn be get save")
_HOLDING = bag("weigh hold use need contain")
_PERSON_VERB = bag(
    "meet call ask tell invite visit marry thank pay owe lend email phone see know give help teach "
    "hire interview join text contact be"
)
_IN_LANGUAGE = bag("build write code say speak publish print paint sing interest program")
_ADJECTIVE = re.compile(
    r"^(long|wide|high|tall|deep|old|thick|heavy|away|late|early|apart|strong|big|large)\b"
)
_NAMED_DAY = re.compile(r"\b(date|day|time|deadline|birthday)\b")
_SECOND_PLACE = re.compile(
    r"\s+(?:in|at|near) (?:the )?[A-ZÀ-Þ][\w’'-]*(?: [A-ZÀ-Þ][\w’'-]*)*"
)  # fmt: skip
_AFTER_PHRASE = re.compile(r"\b(?:from|to|on|of|with|by|for) (?:a|an|the) \w+(?: \w+)?$")
_AFTER_PLACE = re.compile(r"\b(?:in|at|near) (?:the )?[A-ZÀ-Þ][\w’' -]*$")


def questions(clause: Clause) -> Iterator[Asked]:
    """All typed questions of a clause, in reading order."""
    yield from _lead(clause)
    for span in spans.find(clause.rest):
        here = slot(clause, span)
        if not _joined(here) and not _describes(here):
            yield from _BY_TYPE.get(span.type, _nothing)(here)


def _nothing(_: Slot) -> Iterator[Asked]:
    yield from ()


def _lead(clause: Clause) -> Iterator[Asked]:
    """ "On 3 May, Anna …": the date in front is an answer too."""
    first = clause.lead.split(" ")[0]
    for span in spans.find(clause.lead):
        if span.type in (Type.DATE, Type.TIME) and first in (
            "on",
            "in",
            "at",
            span.text.split()[0],
        ):
            which = {"on": "On what date", "at": "At what time"}.get(first, "")
            yield ask(clause, span.text, "When", clause.rest, 0.85, which=which)


def _joined(here: Slot) -> bool:
    """Whether the span is one of several things joined by "and" or a comma."""
    following = here.right.split(" ")[0].lower().strip(",")
    if following in ("of", "old") and here.span.type not in (Type.DURATION, Type.MONEY):
        return True
    listed = (Type.NAME, Type.MONEY, Type.NUMBER, Type.QUANTITY)
    behind = here.clause.rest[here.span.end :]
    if re.match(r"\s*(and|or|,)\s+(?=[A-Z£$€\d])", behind) and here.span.type in listed:
        return True
    return bool(re.search(r"(,|\band|\bor)\s+$", here.left))


def _describes(here: Slot) -> bool:
    """Whether the span belongs to a described thing: "is a grey Toyota from Maier"."""
    words = here.left.split()
    if here.clause.base != "be" or len(words) < 2:
        return False
    first = words[0].lower().strip(",")
    along = first in lexicon.PREPOSITIONS | lexicon.ADVERBS
    return not along and "participle" not in lexicon.verb_forms(first)


def _moment(here: Slot) -> Iterator[Asked]:
    """Dates and times: when, what time, until when."""
    clause, text, prep = here.clause, here.span.text, here.preposition
    if prep in ("on", "in", "at", ""):
        before = here.left.split()
        if not prep and before and before[-1].lower() in lexicon.DETERMINERS:
            return
        wh = "When" if here.span.type is Type.DATE else "What time"
        which = "On what day" if wh == "When" else "At what time"
        if clause.base == "be" and here.alone and _NAMED_DAY.search(clause.subject):
            wh = "What"
        fits = prep in ("on", "at") and wh != "What"
        yield ask(clause, text, wh, here.cut(), 0.9, which=which if fits else "")
    elif prep in ("by", "until", "since", "till"):
        yield ask(clause, text, f"{prep.capitalize()} when", here.cut(), 0.85)
    elif (prep == "for" and not here.right) or (prep == "to" and clause.base == "be"):
        yield ask(clause, text, "When", here.strand(), 0.8)


def _money(here: Slot) -> Iterator[Asked]:
    prep = here.preposition
    if prep not in ("for", "at", "") or (
        not prep and not here.alone and here.clause.base not in _PAYING
    ):
        return
    if prep == "at" or (prep == "for" and here.right):
        cut = here.strand()
    else:
        cut = here.cut(start=here.span.start)  # "… bought from Gwen for", "… cost a year"
    yield ask(here.clause, here.span.text, "How much", cut, 0.9, which="What amount")


def _duration(here: Slot) -> Iterator[Asked]:
    clause, text = here.clause, here.span.text
    if (found := _ADJECTIVE.match(here.right)) and clause.base == "be" and here.alone:
        yield ask(clause, text, f"How {found.group(1)}", here.right[found.end() :], 0.9)
    elif here.preposition == "for" or (
        not here.preposition and clause.base in ("take", "last") and here.alone
    ):
        yield ask(clause, text, "How long", here.cut(), 0.9)
    elif here.left.rstrip().endswith("every"):
        start = here.left.rstrip().rfind("every")
        yield ask(clause, f"every {text}", "How often", here.cut(start=start), 0.9)


def _quantity(here: Slot) -> Iterator[Asked]:
    clause, text, prep = here.clause, here.span.text, here.preposition
    be = clause.base == "be"
    if (found := _ADJECTIVE.match(here.right)) and be and here.alone:
        wh = "How far away" if found.group(1) == "away" else f"How {found.group(1)}"
        yield ask(clause, text, wh, here.right[found.end() :], 0.9)
    elif here.alone and be:
        if not here.right or here.right.split()[0] in lexicon.PREPOSITIONS:
            yield ask(clause, text, "What", here.cut(), 0.85)
    elif here.alone and clause.base in _HOLDING:
        yield ask(clause, text, "How much", here.cut(), 0.85)
    elif here.alone and clause.base in _TRAVELLING:
        yield ask(clause, text, "How far", here.cut(), 0.85)
    elif prep in ("at", "to") and re.search(r"°|degree", text):
        yield ask(clause, text, "What temperature", here.strand(), 0.85)
    elif prep in ("to", "of", "with", "at") and not here.right[:1].isalpha():
        yield ask(clause, text, "What", here.strand(), 0.7)


def _number(here: Slot) -> Iterator[Asked]:
    """ "keeps two whippets called …": how many whippets?"""
    clause, text = here.clause, here.span.text
    if here.preposition or not here.alone or clause.base == "be":
        return
    noun = _counted(clause.rest[here.span.end :])
    if not noun or text.lower() in ("one", "hundred", "thousand"):
        return
    right = clause.rest[here.span.end + 1 + len(noun) :].strip()
    if clause.base in ("have", "keep", "own"):
        right = re.sub(r"^(called|named|in|on|with|of|that|which|from|for)\b.*", "", right)
    rest = f"{right} {clause.lead}".strip()
    yield ask(clause, text, f"How many {noun}", rest, 0.85, which=f"What number of {noun}")


def _counted(text: str) -> str:
    """The plural noun (with up to two adjectives) that a number counts, or an empty string."""
    found = re.match(r"\s((?:[a-z-]+ ){0,2}[a-z-]+)", text)
    words: list[str] = []
    for word in found.group(1).split() if found else ():
        words.append(word)
        if lexicon.plural(word):
            return " ".join(words)
        if not lexicon.kinds(word) & {"ADJ", "NOUN"}:
            return ""
    return ""


def _name(here: Slot) -> Iterator[Asked]:
    clause, text, prep, right = here.clause, here.span.text, here.preposition, here.right
    if right.startswith(("'s", "’s")):
        return
    if right[:1].islower() and right.split()[0] not in lexicon.FUNCTION:
        return
    determined = re.search(r"\b(the|my|our|a|an)\s+$", here.left)
    person, place = spans.person_like(text), spans.place_like(text)
    if prep in ("in", "at", "near"):
        yield from _in_place(here, person, place)
    elif prep in ("to", "from") and (place or clause.base in _GOING):
        yield ask(clause, text, "Where" if prep == "to" else "From where", here.cut(), 0.75)
    elif person and prep in ("with", "by", "to", "for", "from") and not determined:
        yield ask(clause, text, "Who", here.strand(), 0.8)
    elif person and here.alone and not determined and clause.base in _PERSON_VERB:
        yield ask(clause, text, "Who", here.cut(), 0.8, which="Which person")


def _in_place(here: Slot, person: bool, place: bool) -> Iterator[Asked]:
    before = here.clause.rest[: here.begin].rstrip()
    if _AFTER_PLACE.search(before) or _AFTER_PHRASE.search(before) or len(here.span.text) < 3:
        return
    if re.match(r"[A-Z]\b", here.span.text):
        return  # "in D minor"
    if (person and here.preposition == "at") or (
        here.preposition == "in" and here.clause.base in _IN_LANGUAGE and not place
    ):
        return
    # "at the Lakeside Inn in Bremerby" is one place: its second half leaves the question too.
    also = _SECOND_PLACE.match(here.clause.rest[here.span.end :])
    if also and any(hit.type is Type.DATE for hit in spans.find(f"x{also.group()}")):
        also = None
    cut = here.cut(more=also.end() if also else 0)
    yield ask(here.clause, here.span.text, "Where", cut, 0.8, which="In which place")


def _label(here: Slot) -> Iterator[Asked]:
    """Quoted words, codes, numbers to call, addresses."""
    clause, text = here.clause, here.span.text
    if here.alone and clause.base == "be":
        yield ask(clause, text, "What", "", 0.85)
    elif here.preposition in ("on", "at", "to", "under", "with", "by") and not here.right:
        wh = {Type.PHONE: "What number", Type.EMAIL: "What address"}.get(here.span.type, "What")
        yield ask(clause, text, wh, here.strand(), 0.75)


_BY_TYPE: dict[Type, Callable[[Slot], Iterator[Asked]]] = {
    Type.DATE: _moment,
    Type.TIME: _moment,
    Type.MONEY: _money,
    Type.DURATION: _duration,
    Type.QUANTITY: _quantity,
    Type.NUMBER: _number,
    Type.NAME: _name,
    Type.QUOTED: _label,
    Type.CODE: _label,
    Type.EMAIL: _label,
    Type.PHONE: _label,
}
