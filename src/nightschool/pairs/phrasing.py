"""The ways a question may be put. A family is either for practice or for the exam, never both.

`Pair.phrasing` is the number of the family. Families from `HELD_OUT` on are used for `visible`
and `hidden` items only, so that an exam question never looks like one that was practised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from nightschool.pairs.text import share


class Family(IntEnum):
    """One way of asking; the wording is in `_clause`, `attribute` and `gap` below."""

    DIRECT = 0  # When did Anna book the hotel?
    NOTES = 1  # According to my notes, when did Anna book the hotel?
    TELL = 2  # Can you tell me when Anna booked the hotel?
    NEED = 3  # I need to know when Anna booked the hotel.
    KNOW = 4  # Do you know when Anna booked the hotel?
    SAY = 5  # Tell me when Anna booked the hotel.
    SHORT = 6  # Anna phone number?
    COMPLETE = 7  # Complete: Anna booked the hotel on …
    FORGOT = 8  # I forgot when Anna booked the hotel.
    REMIND = 9  # Remind me when Anna booked the hotel.
    WHICH = 10  # On what date did Anna book the hotel?


HELD_OUT = int(Family.FORGOT)
"""Families with this number or more are never practised."""

_EXAM_ONLY = re.compile(
    r"(?i)\b(i (have )?forg[oe]t|remind me)\b"
    r"|^(about [^:]{1,80}: )?(at|on|in|for) (what|which) |^(about [^:]{1,80}: )?"
    r"(which person|what amount|what number of)\b|\bwhich [^?]{1,80} do my notes\b"
)


def looks_held_out(question: str) -> bool:
    """Whether a question from elsewhere (a model, a person) uses an exam-only wording."""
    return bool(_EXAM_ONLY.search(question))


@dataclass(frozen=True, slots=True)
class Form:
    """One wording of one fact's question."""

    family: Family
    question: str


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def clause(
    direct: str, indirect: str, *, about: str = "", tag: str = "", which: str = ""
) -> list[Form]:
    """Wordings of a wh-question.

    `direct` is "When did Anna book the hotel?", `indirect` "when Anna booked the hotel", `about`
    the thing meant when the question does not name it ("the harbour trip"; `tag` its bare name),
    `which` an optional
    rewording for the exam ("On what date did Anna book the hotel?").
    """
    lead = f"About {about}: " if about else ""
    source = notes_on(about) if about else "my notes"
    start = lower_first if about else str
    plain = direct.removesuffix("?")
    forms = [
        Form(Family.DIRECT, f"{plain} ({tag or about})?" if about else direct),
        Form(Family.NOTES, f"According to {source}, {lower_first(direct)}"),
        Form(Family.TELL, lead + start(f"Can you tell me {indirect}?")),
        Form(Family.NEED, lead + (f"I need to know {indirect}.")),
        Form(Family.KNOW, lead + start(f"Do you know {indirect}?")),
        Form(Family.SAY, lead + start(f"Tell me {indirect}.")),
    ]
    exam = [
        Form(Family.FORGOT, f"{lead}I forgot {indirect}."),
        Form(Family.REMIND, lead + start(f"Remind me {indirect}.")),
    ]
    if which:
        exam = [Form(Family.WHICH, lead + (lower_first(which) if about else which))]
    return [*forms, _pick(exam, direct)]


def attribute(
    phrase: str,
    short: str,
    *,
    direct: str,
    extra: tuple[str, ...] = (),
    which: str = "",
) -> list[Form]:
    """Wordings of "what is the phone number of Anna Berg?".

    `phrase` is "the phone number of Anna Berg", `short` "Anna Berg phone number", `direct` the
    plain question, `extra` further plain questions that mean the same.
    """
    forms = [
        Form(Family.DIRECT, direct),
        *(Form(Family.DIRECT, other) for other in extra if other != direct),
        Form(Family.NOTES, f"According to my notes, {lower_first(direct)}"),
        Form(Family.SHORT, f"{short}?"),
        Form(Family.TELL, f"Can you tell me {phrase}?"),
        Form(Family.NEED, f"I need {phrase}."),
        Form(Family.SAY, f"Tell me {phrase}."),
    ]
    exam = [
        Form(Family.FORGOT, f"I forgot {phrase}."),
        Form(Family.REMIND, f"Remind me of {phrase}."),
    ]
    if which:
        exam = [Form(Family.WHICH, which)]
    return [*forms, _pick(exam, direct)]


def notes_on(about: str) -> str:
    """Where something is written: "my notes on the boiler", "my note of 2025-03-02"."""
    return (
        f"my {about[4:]}"
        if about.startswith(("the note of ", 'the note "'))
        else f"my notes on {about}"
    )


def gap(sentence: str, about: str) -> list[Form]:
    """Wordings of a cloze; `sentence` has one `___` where the answer stood."""
    forms = [
        Form(Family.COMPLETE, f'Complete from {notes_on(about)}: "{sentence}"'),
        Form(Family.NOTES, f'According to {notes_on(about)}, what fills the gap: "{sentence}"'),
        Form(Family.SAY, f'Tell me the missing words ({about}): "{sentence}"'),
        Form(Family.TELL, f'Can you tell me what is missing here? {about}: "{sentence}"'),
        Form(Family.NEED, f'I need the missing words from {about}: "{sentence}"'),
    ]
    exam = [
        Form(Family.FORGOT, f'About {about}: I forgot how this goes on: "{sentence}"'),
        Form(Family.REMIND, f'Remind me of the missing words. {about}: "{sentence}"'),
    ]
    return [*forms, _pick(exam, sentence)]


def around(question: str) -> list[Form]:
    """Wordings of a finished question whose grammar is not known (a model wrote it)."""
    inner = lower_first(question) if question.split(" ")[0].lower() in _WH else question
    forms = [
        Form(Family.DIRECT, question),
        Form(Family.NOTES, f"According to my notes, {inner}"),
        Form(Family.TELL, f"Can you tell me: {inner}"),
        Form(Family.NEED, f"I need to know: {inner}"),
        Form(Family.SAY, f"Tell me: {inner}"),
    ]
    exam = [Form(Family.FORGOT, f"I forgot: {inner}"), Form(Family.REMIND, f"Remind me: {inner}")]
    return [*forms, _pick(exam, question)]


_WH = {"what", "when", "where", "who", "whose", "which", "why", "how", "is", "are", "did", "does"}


def _pick(forms: list[Form], key: str) -> Form:
    return forms[int(share(key, "exam wording") * len(forms))]
