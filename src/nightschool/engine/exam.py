"""A short exam for a base model: can it answer from a passage, abstain, and chat?

Abilities are measured, not assumed: who leads when a question is answered depends on them. The
items are ours and invented, so no model has learnt them. It runs once for each base model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nightschool.engine.support import abstains, stems, words
from nightschool.models.abilities import BARE, INSTRUCTED, Abilities
from nightschool.ports import Generator

INSTRUCTION_PAYS = 0.15
"""Share of right answers by which an instruction must help: nights practise the bare prompt, so
that without a clear gain the bare one is served too. It is also more than 3 items of luck."""

_INSTRUCTION = (
    "Answer the question from the context, in as few words as possible and exactly as written "
    "there. If the context does not contain the answer, reply: I don't know.\n\n"
)


def reading_prompt(context: str, question: str, style: str = BARE) -> list[tuple[str, str]]:
    """The chat that asks for an answer from a passage. `BARE` is what the starter was taught."""
    body = f"Context:\n{context}\n\nQuestion: {question}"
    return [("user", (_INSTRUCTION if style == INSTRUCTED else "") + body)]


_NOTES = (
    (
        "The greenhouse key hangs behind the blue watering can. Ottoline waters on Tuesdays.",
        (("Where does the greenhouse key hang?", "watering can"), ("Who waters?", "Ottoline")),
    ),
    (
        "Meeting with Tamsin Okoro on 14 March. We agreed to move the launch to 9 June.",
        (("When is the launch?", "9 June"), ("Who was the meeting with?", "Tamsin Okoro")),
    ),
    (
        "The lawn mower takes 0.6 litres of oil. It was repaired by Casper Lindholm for 85 euros.",
        (("Who repaired the lawn mower?", "Casper Lindholm"), ("What did it cost?", "85")),
    ),
    (
        "Grandma's waffles: 250 g flour, 4 eggs, 125 g butter. Bake each for 3 minutes.",
        (("How much butter goes into the waffles?", "125 g"), ("How many eggs?", "4")),
    ),
    (
        "The parrot is called Bismuth. He was born in Almere and eats papaya.",
        (("What is the parrot called?", "Bismuth"), ("Where was he born?", "Almere")),
    ),
    (
        "Train 2268 leaves Utrecht at 07:42 from platform 11. Seat 63 is reserved.",
        (("Which platform does the train leave from?", "11"), ("Which seat is reserved?", "63")),
    ),
    (
        "The cellar was painted in pale ochre. The paint came from the shop Verdigris.",
        (("What colour is the cellar?", "ochre"), ("Where did the paint come from?", "Verdigris")),
    ),
    (
        "Project Halyard uses a pump by Norrvik. The budget is 12,400 euros.",
        (("Who makes the pump?", "Norrvik"), ("What is the budget?", "12,400")),
    ),
    (
        "Aunt Philippa's birthday is on 27 November. She collects old maps.",
        (("When is Aunt Philippa's birthday?", "27 November"), ("What does she collect?", "maps")),
    ),
    (
        "The physiotherapist is Joost Amsel. Next appointment: Friday at 16:15.",
        (("Who is the physiotherapist?", "Joost Amsel"), ("When is it?", "16:15")),
    ),
)
_UNANSWERABLE = (
    (0, "What does the watering can cost?"),
    (1, "Where does Tamsin live?"),
    (2, "What colour is the lawn mower?"),
    (3, "Who invented the waffle iron?"),
    (4, "How old is the parrot's owner?"),
    (5, "What is the conductor's name?"),
    (6, "How many windows has the cellar?"),
    (7, "When was the pump delivered?"),
    (8, "What is Aunt Philippa's telephone number?"),
    (9, "How much does the physiotherapist earn?"),
)
_CHAT = (
    ("What is the capital of France?", "Paris"),
    ("What is two plus two?", "4"),
    ("Which day comes after Monday?", "Tuesday"),
    ("What is the opposite of hot?", "cold"),
    ("Which colour do you get from mixing blue and yellow?", "green"),
)


def examine(
    generator: Generator,
    progress: Callable[[int, int], None] = lambda done, total: None,
    point: Callable[[str, str], str] | None = None,
) -> Abilities:
    """Set the exam: 20 readings and 10 unanswerable questions in both prompt styles, 5 to chat.

    `point(question, note)` is the span reader's answer; with it, the reader sits the exam too.
    """
    readings = [(note, *item) for note, items in _NOTES for item in items]
    total, done = 2 * (len(readings) + len(_UNANSWERABLE)) + len(_CHAT), 0

    def ask(messages: list[tuple[str, str]]) -> str:
        nonlocal done
        text = generator.generate(messages, max_tokens=32)
        done += 1
        progress(done, total)
        return text

    best = Abilities()
    chats = sum(_knows(ask([("user", q)]), gold) for q, gold in _CHAT) / len(_CHAT)
    for style in (BARE, INSTRUCTED):
        read = sum(_right(ask(reading_prompt(n, q, style)), gold) for n, q, gold in readings)
        shy = sum(abstains(ask(reading_prompt(_NOTES[i][0], q, style))) for i, q in _UNANSWERABLE)
        found = Abilities(
            read / len(readings), shy / len(_UNANSWERABLE), chats, style, examined=True
        )
        gain = found.reads + found.abstains - best.reads - best.abstains
        if not best.examined or gain > INSTRUCTION_PAYS:
            best = found
    if point is not None:
        pointed = sum(_right(point(q, note), gold) for note, q, gold in readings)
        best = replace(best, reader=pointed / len(readings))
    return best


def _knows(answer: str, gold: str) -> bool:
    """The gold words are there; whoever chats may say more."""
    return stems(gold) <= stems(answer)


def _right(answer: str, gold: str) -> bool:
    """The gold words are all there, and the answer does not simply recite the note."""
    return stems(gold) <= stems(answer) and len(words(answer)) <= len(words(gold)) + 6
