"""Questions from `Key: value` lines, wherever they stand."""

from __future__ import annotations

import re

from nightschool.pairs import phrasing
from nightschool.pairs.facts import Fact
from nightschool.pairs.rules import lexicon, spans
from nightschool.pairs.rules.note import Field
from nightschool.pairs.rules.subject import Subject, lower
from nightschool.pairs.text import bag

_META = bag(
    "tag tags type alias aliases cssclass cssclasses publish id uid uuid created modified updated "
    "draft layout lang language slug url link links source sources http https see author category "
    "categories note notes nb ps todo up related topics topic template kind format subject re fwd"
)
_SECRET = re.compile(
    r"(?i)\b(pass(word|wort|phrase|code)?|pin|puk|secret|token|api[ _-]?key|private key|cvv|cvc)\b"
)
_LONGEST = 14
_LONGEST_VALUE = 300
_FIGURES = (
    spans.Type.MONEY,
    spans.Type.QUANTITY,
    spans.Type.DATE,
    spans.Type.DURATION,
    spans.Type.PHONE,
)
_ROLE = bag(
    "owner assistant manager vet doctor dentist teacher neighbour neighbor plumber electrician "
    "landlord tenant author editor chair chairman secretary treasurer contact partner wife husband "
    "brother sister mother father son daughter boss coach driver seller buyer host guest lead "
    "leader organiser organizer speaker designer developer reviewer tutor instructor responsible "
    "attendees present participants people team who members apologies colleague friend physio "
    "physiotherapist surgeon nurse optician mechanic builder roofer gardener cleaner babysitter "
    "referee captain trainer"
)


def facts(field: Field, subject: Subject, chunk_id: int) -> list[Fact]:
    """At most one fact: the value of the key."""
    if len(field.value) > _LONGEST_VALUE:
        return []
    key, value = field.key.strip(), value_of(field.value)
    if not value or key.lower() in _META or secret(key):
        return []
    if len(value.split()) > _LONGEST or value not in field.raw:
        return []
    if re.match(r"https?://|www\.|\[\[|!\[", value) or value.lower() in (
        "yes",
        "no",
        "n/a",
        "-",
        "?",
        "tbd",
    ):
        return []
    if field.front and re.match(r"[\[{]", value):
        return []
    begin = next((span for span in spans.find(value) if span.start == 0), None)
    if (
        begin
        and begin.type is spans.Type.DATE
        and "participle" in lexicon.verb_forms(key.split()[0])
    ):
        value = begin.text  # "Bought: 7 November 2022 at Maier" is asked with "when"
    forms = (
        _task(key, value, subject)
        or _moment(key, subject)
        or _asking_key(key, value, subject)
        or _participle(key, value, subject)
        or of_attribute(key, value, subject)
    )
    confidence = 0.75 if len(value.split()) > 8 else 0.95
    return [Fact(value, field.raw, chunk_id, tuple(forms), confidence, "field")] if forms else []


def secret(name: str) -> bool:
    """Whether a key says that its value must never be learnt."""
    return bool(_SECRET.search(name))


def value_of(text: str) -> str:
    """The part of a value that answers: no remark in brackets, after a semicolon or a comma."""
    value = re.split(r"\s+[(\[]|;\s|\.\s+(?=[A-Z])|\s+[–—]\s+|\s+#\s", text, maxsplit=1)[0]
    value = value.strip().rstrip(".,;:")
    head, _, more = value.partition(", ")
    begin = next((span for span in spans.find(head) if span.start == 0), None)
    figure = begin is not None and begin.type in _FIGURES
    first = more.split(" ")[0].lower()
    remark = first in lexicon.PREPOSITIONS | {"but", "because", "which", "who", "plus", "next"}
    if more and (figure or remark or len(value.split()) > _LONGEST):
        value = head
    if begin is not None and begin.type in (spans.Type.DATE, spans.Type.TIME):
        behind = value[begin.end :].split()
        if behind and behind[0].lower() in lexicon.PREPOSITIONS - {"to", "until"}:
            value = begin.text  # "18:04 from Saint Pieters"
    return value


def of_attribute(key: str, value: str, subject: Subject) -> list[phrasing.Form]:
    """ "What is the serial number of the boiler?" and its like."""
    name = _lower(_FULL.get(key.lower(), key.rstrip("?")))
    if not any(c.isalpha() for c in name) or name.lower() in lexicon.DETERMINERS:
        return []
    first = value.split()[0].lower()
    if "participle" in lexicon.verb_forms(first) and not lexicon.kinds(first) & {"NOUN", "ADJ"}:
        return phrasing.clause(
            f"What is noted about the {name} in {subject.phrase}?",
            f"what is noted about the {name} in {subject.phrase}",
        )
    head = name.split()[-1].lower()
    many = lexicon.plural(head)
    is_ = "are" if many else "is"
    if name[-1].isdigit():
        return _listed(name, subject)
    asked = wh(name, value)
    thing = re.sub(r"(?i)^(the|my|our)\s+", "", name)
    phrase = f"the {thing} of {subject.phrase}"
    owned = subject.owns(thing)
    extra = [f"{asked} {is_} the {thing} for {subject.phrase}?"]
    low = thing.lower()
    if (
        low in ("price", "cost", "costs", "total", "fee", "rent")
        and spans.whole(value) is spans.Type.MONEY
    ):
        extra.append(f"How much is the {thing} of {subject.phrase}?")
    if low.endswith("time") and spans.whole(value) is spans.Type.DURATION:
        extra.append(f"How long does {subject.phrase} take?")
    if low in ("address", "location", "place", "venue") and not subject.person:
        extra.append(f"Where is {subject.phrase}?")
    if low == "address" and subject.person:
        extra.append(f"Where does {subject.plain} live?")
    if low in ("day", "time", "start", "deadline") and spans.whole(value) in (
        spans.Type.DATE,
        spans.Type.TIME,
    ):
        extra.append(
            f"When is the {thing} of {subject.phrase}?"
            if low in ("start", "deadline")
            else f"When is {subject.phrase}?"
        )
    return phrasing.attribute(
        owned if subject.person else phrase,
        f"{subject.plain} {thing}",
        direct=f"{asked} {is_} {owned}?",
        extra=tuple(extra),
        which=""
        if asked != "What" or many
        else f"Which {thing} do my notes give for {subject.phrase}?",
    )


_FULL = {"phone": "phone number", "tel": "phone number", "telephone": "phone number",
         "mobile": "mobile number", "cell": "mobile number", "email": "email address",
         "mail": "email address", "e-mail": "email address"}  # fmt: skip


def _lower(key: str) -> str:
    """A key is a common name: lower case unless it is an abbreviation or has inner capitals."""
    first = key.split()[0]
    if any(c.isupper() for c in first[1:]) or (len(key.split()) > 1 and spans.person_like(key)):
        return key
    return lower(key) if lower(key) != key else key[:1].lower() + key[1:]


def wh(name: str, value: str) -> str:
    """Who, when or what a key asks for."""
    low = name.lower().split()
    agent = re.search(r"(?:[^t]er|or|ist|ian|man|woman)$", low[-1]) and spans.person_like(
        value.split(",")[0]
    )
    titled = value.split(" ")[0].rstrip(".") in ("Mr", "Mrs", "Ms", "Dr", "Prof")
    if (set(low) & _ROLE or agent or titled) and not any(c.isdigit() for c in value):
        return "Who"
    begins = [span for span in spans.find(value) if span.start == 0]
    moment = begins and begins[0].type in (spans.Type.DATE, spans.Type.TIME)
    if moment and not set(low) & {
        "date",
        "day",
        "time",
        "times",
        "hours",
        "birthday",
        "deadline",
        "start",
        "end",
    }:
        return "When"
    return "What"


def _listed(name: str, subject: Subject) -> list[phrasing.Form]:
    """Numbered keys, `Bed 1: …`: what is listed for them."""
    return phrasing.clause(
        f"What is listed for {name} in {subject.phrase}?",
        f"what is listed for {name} in {subject.phrase}",
    )


_ASKING = {
    "when": ("When is {s}?", "when {s} is"),
    "where": ("Where is {s}?", "where {s} is"),
    "who": ("Who is named for {s}?", "who is named for {s}"),
    "why": ("Why {s}?", "why {s}"),
    "how much": ("How much is {s}?", "how much {s} is"),
    "how long": ("How long does {s} take?", "how long {s} takes"),
    "how often": ("How often is {s}?", "how often {s} is"),
}


def _who(value: str) -> str:
    return "Who" if spans.person_like(value) else "What"


def _asking_key(key: str, value: str, subject: Subject) -> list[phrasing.Form]:
    """Keys that are questions or predicates by themselves: `When: …`, `From: …`, `Due: …`."""
    low, kind = key.lower(), spans.whole(value)
    s = subject.phrase
    if low in ("from", "by"):
        return phrasing.clause(
            f"{_who(value)} is {s} {low}?", f"{_who(value).lower()} {s} is {low}"
        )
    if low == "present" and not value[0].isdigit():
        return phrasing.clause(f"Who was present at {s}?", f"who was present at {s}")
    if low == "present":
        return phrasing.clause(f"How many were present at {s}?", f"how many were present at {s}")
    if low == "minutes" and spans.person_like(value):
        return phrasing.clause(f"Who wrote the minutes of {s}?", f"who wrote the minutes of {s}")
    if low == "serves" and value[0].isdigit():
        return phrasing.clause(f"How many people does {s} serve?", f"how many people {s} serves")
    if kind is spans.Type.DATE and low.split()[-1] == "due":
        what = low.removesuffix("due").strip()
        what = f"the {lower(key[: len(what)])} for {s}" if what else s
        return phrasing.clause(f"When is {what} due?", f"when {what} is due")
    pattern = _ASKING.get(key.lower().rstrip("?"))
    if pattern is None or key.lower() == "why":
        return []
    direct, indirect = (part.format(s=subject.phrase) for part in pattern)
    return phrasing.clause(direct, indirect)


def _participle(key: str, value: str, subject: Subject) -> list[phrasing.Form]:
    """`Born: 3 May`, `Allergic to: nuts`, `Works at: the mill`: the key is a predicate."""
    tokens = key.lower().split()
    last = tokens[-1]
    kind = spans.whole(value)
    forms = lexicon.verb_forms(tokens[0])
    if (
        len(tokens) <= 2
        and "participle" in forms
        and tokens[0] not in ("set", "cost", "cut", "put", "read")
    ):
        if len(tokens) == 2 and last not in lexicon.PREPOSITIONS:
            return []
        predicate = " ".join(tokens)
        if (len(tokens) == 1 and kind in (spans.Type.DATE, spans.Type.TIME)) or re.fullmatch(
            r"(19|20)\d\d", value
        ):
            wh, which = "When", f"On what date was {subject.phrase} {predicate}?"
        elif (
            len(tokens) == 2
            and last in ("in", "at")
            and kind not in (spans.Type.DATE, spans.Type.TIME)
        ):
            wh, which, predicate = "Where", "", tokens[0]
        elif len(tokens) == 2 and last == "by":
            wh, which = "Who", ""
            if not spans.person_like(value):
                wh, predicate = "How", tokens[0]
        elif len(tokens) == 2:
            wh, which = "What", ""
        else:
            return []
        verb = (
            "was"
            if tokens[0]
            not in ("called", "made", "located", "interested", "married", "named", "based")
            else "is"
        )
        return phrasing.clause(
            f"{wh} {verb} {subject.phrase} {predicate}?",
            f"{wh.lower()} {subject.phrase} {verb} {predicate}",
            which=which,
        )
    if (
        "third" in forms
        and tokens[0] != "is"
        and (
            (len(tokens) == 2 and last in lexicon.PREPOSITIONS)
            or (len(tokens) == 1 and tokens[0] in _LIKING)
        )
    ):
        base = lexicon.lemma(tokens[0])
        where = len(tokens) == 2 and last in ("in", "at")
        wh = "Where" if where else "What"
        tail = "" if where or len(tokens) == 1 else f" {last}"
        return phrasing.clause(
            f"{wh} does {subject.phrase} {base}{tail}?",
            f"{wh.lower()} {subject.phrase} {tokens[0]}{tail}",
        )
    if (
        len(tokens) > 2
        and last in lexicon.PREPOSITIONS
        and "third" in lexicon.verb_forms(tokens[-2])
    ):
        what = f"the {' '.join(tokens[:-2])} of {subject.phrase}"
        return phrasing.clause(
            f"What does {what} {lexicon.lemma(tokens[-2])} {last}?",
            f"what {what} {tokens[-2]} {last}",
        )
    if (
        len(tokens) == 2
        and last in ("to", "in", "of", "with", "at")
        and "ADJ" in lexicon.kinds(tokens[0])
    ):
        return phrasing.clause(
            f"What is {subject.phrase} {' '.join(tokens)}?",
            f"what {subject.phrase} is {' '.join(tokens)}",
        )
    return []


_LIKING = bag("likes dislikes hates loves needs wants owns costs weighs eats drinks plays")


def _task(key: str, value: str, subject: Subject) -> list[phrasing.Form]:
    """`Marta: order chairs by Friday`, under a meeting: what a person is to do."""
    if not spans.person_like(key) or key.lower() in _ROLE or subject.plain.lower() == key.lower():
        return []
    first = value.split()[0]
    place = f"({subject.plain})"
    if "base" in lexicon.verb_forms(first) and first.islower() and len(value.split()) > 1:
        return phrasing.clause(f"What should {key} do {place}?", f"what {key} should do {place}")
    if first.lower() == "to" and len(value.split()) > 2:
        return phrasing.clause(
            f"What is {key} {place} going to do?", f"what {key} is going to do {place}"
        )
    return []


def _moment(key: str, subject: Subject) -> list[phrasing.Form]:
    """`12 May: …`, `Day 2: …`, `16:45: …`: what is noted for a moment."""
    if spans.whole(key) not in (spans.Type.DATE, spans.Type.TIME):
        return []
    return phrasing.clause(
        f"What is noted for {key} in {subject.phrase}?",
        f"what is noted for {key} in {subject.phrase}",
    )
