"""`The {noun} of {subject} is {value}`, in many wordings, nouns and subjects from wide lists.

Training draws from the wordings here and from those of `wordings.txt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from subjects import Subjects

from starter.lexicon import wordings, words

STATEMENTS = (
    "The {n} of {s} is {v}.", "{s} has {v} as {n}.", "{s}'s {n} is {v}.", "{v} is the {n} of {s}.",
    "As for {s}, the {n} is {v}.", "{s}: {n} {v}.", "{n} of {s}: {v}", "{s} ({n}: {v})",
    "The {n} that {s} has is {v}.", "For {s} we noted {v} as the {n}.",
    "They gave {s} the {n} {v}.", "The {n} for {s} was set to {v}.",
    "Somebody told me that the {n} of {s} is {v}.", "The new {n} of {s} is {v}.",
    "{s} now has a {n}: {v}.", "Regarding {s}: the {n} should be {v}.",
    "{s} changed the {n} to {v}.", "We agreed on {v} as {n} of {s}.", "{s}, {n}: {v}",
    "Do not forget: {v} is the {n} of {s}.", "{n} ({s}) = {v}", "I wrote down {v} as {n} of {s}.",
)  # fmt: skip
QUESTIONS = (
    "What is the {n} of {s}?", "What is {s}'s {n}?", "Which {n} does {s} have?",
    "Tell me the {n} of {s}.", "What {n} was noted for {s}?", "{n} of {s}?",
    "What do we know about the {n} of {s}?", "What was chosen as {n} of {s}?",
    "Do you know the {n} of {s}?", "What {n} did {s} get?", "Give me {s}'s {n}.",
    "Can you find the {n} of {s}?", "I need the {n} for {s}.",
    "What did I write down as {n} of {s}?", "What are the notes saying about {s}'s {n}?",
)  # fmt: skip
HELD_STATEMENTS = (
    "{s} goes by the {n} {v}.", "When it comes to the {n}, {s} has {v}.",
    "{v}: that is the {n} of {s}.", "The {n} listed for {s} reads {v}.",
)  # fmt: skip
HELD_QUESTIONS = (
    "Please look up the {n} of {s}.", "How did we define the {n} of {s}?",
    "What {n} belongs to {s}?", "Which {n} is listed for {s}?",
)  # fmt: skip
VALUES = (
    "person person first place place company code code money people date date time title color "
    "phone duration address petname item job hobby food email weekday temperature weight"
).split()


@dataclass(frozen=True, slots=True)
class Attribute:
    """A noun of a subject with its value."""

    noun: str
    subject: str
    value: str


class AttributeWriter:
    """Draws attributes and words them; `held` chooses the words and wordings of the tests."""

    def __init__(self, rng: Random, values: Subjects, held: bool) -> None:
        self.rng, self.values, self.held = rng, values, held
        self.told = (*STATEMENTS, *wordings("attribute told"))
        self.asked = (*QUESTIONS, *wordings("attribute asked"))

    def noun(self) -> str:
        """Mostly a word of the list; now and then one that nobody has seen."""
        r = self.rng
        noun = (
            r.choice(words("noun", self.held)) if r.random() < 0.92 else self.values.word().lower()
        )
        return f"{r.choice(words('adjective', self.held))} {noun}" if r.random() < 0.15 else noun

    def subject(self) -> str:
        r, v = self.rng, self.values
        thing = r.choice(words("thing", self.held))
        draw = r.random()
        if draw < 0.35:
            return f"the {v.word()} {thing}"
        if draw < 0.5:
            return f"the {r.choice(words('adjective', self.held))} {thing}"
        if draw < 0.6:
            return f"the {thing} in {v.place()}"
        if draw < 0.7:
            return f"{v.first()}'s {thing}"
        return v.person() if draw < 0.85 else v.company() if draw < 0.93 else v.word()

    def attribute(self, noun: str = "", subject: str = "") -> Attribute:
        noun, subject = noun or self.noun(), subject or self.subject()
        value = self.values.make(self.rng.choice(VALUES))
        while value.lower() in subject.lower() or subject.lower() in value.lower():
            value = self.values.make(self.rng.choice(VALUES))
        return Attribute(noun, subject, value)

    def statement(self, fact: Attribute) -> str:
        return self._fill(HELD_STATEMENTS if self.held else self.told, fact)

    def question(self, fact: Attribute) -> str:
        return self._fill(HELD_QUESTIONS if self.held else self.asked, fact)

    def reversed(self, fact: Attribute) -> str:
        """A question for the subject, in training only."""
        return self._fill(wordings("attribute reversed"), fact)

    def _fill(self, templates: tuple[str, ...], fact: Attribute) -> str:
        text = self.rng.choice(templates)
        for key, value in (("{n}", fact.noun), ("{s}", fact.subject), ("{v}", fact.value)):
            text = text.replace(key, value)
        return text[:1].upper() + text[1:]
