"""A plain English clause (subject, verb, rest) and how it becomes a question."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from nightschool.pairs.rules import lexicon
from nightschool.pairs.text import bag

PLURAL = bag("i we you they")


@dataclass(frozen=True, slots=True)
class Clause:
    """`subject verb rest`, with `lead` ("On 3 May") put in front in the text.

    `verb` is the finite verb as written, `base` its base form, `auxiliary` whether it can be put
    before the subject itself; `imperative` clauses have the subject `I` and the verb `should`.
    """

    subject: str
    verb: str
    base: str
    auxiliary: bool
    rest: str
    lead: str = ""
    imperative: bool = False

    @property
    def past(self) -> bool:
        """Past tense; "cost" and "put" are past where a present form would need an s."""
        if "past" not in lexicon.verb_forms(self.verb):
            return False
        return self.verb.lower() != self.base or not self.plural_subject

    @property
    def plural_subject(self) -> bool:
        low = self.subject.lower()
        head = re.split(r" (?:of|for|with|in|at|on|to|from|by) ", low)[0].split()[-1]
        return low in PLURAL or " and " in low or lexicon.plural(head)

    def ask(self, wh: str, rest: str) -> str:
        """ "When did Anna book the hotel?" for wh="When" and the rest without its answer."""
        tail = f" {rest.strip()}" if rest.strip() else ""
        if self.auxiliary:
            return squeeze(f"{wh} {self.verb.lower()} {self.subject}{tail}?")
        helper = "did" if self.past else "do" if self.many else "does"
        return squeeze(f"{wh} {helper} {self.subject} {self.base}{tail}?")

    def tell(self, wh: str, rest: str) -> str:
        """ "when Anna booked the hotel", for use inside another sentence."""
        return squeeze(f"{lower_wh(wh)} {self.subject} {self.verb} {rest.strip()}")

    @property
    def many(self) -> bool:
        """Whether the subject takes a plural verb."""
        return self.subject.lower() in PLURAL or "third" not in lexicon.verb_forms(self.verb)


def lower_wh(wh: str) -> str:
    return wh[:1].lower() + wh[1:]


def squeeze(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s+([,.?;:])", r"\1", text)


def with_subject(clause: Clause, subject: str) -> Clause:
    """The same clause about a named subject (a pronoun was resolved)."""
    return replace(clause, subject=subject)
