"""Questions by a model: an exam first, then only what the passage literally says."""

from __future__ import annotations

from collections.abc import Sequence

from nightschool.pairs.model_writer import (
    _EXAM,
    PROMPT,
    SPELLED_OUT,
    ModelWriter,
    parse,
    remember,
    remembered,
)
from nightschool.pairs.phrasing import HELD_OUT
from nightschool.records import Chunk, Locator
from nightschool.store.db import Store

PASSAGE = "The ferry to Ormsø leaves at 06:15. Captain Tove Rask keeps the log in a tin box."
WRITTEN = (
    "Q: When does the ferry to Ormsø leave?\nA: 06:15\n"
    "Q: Who keeps the log in a tin box?\nA: Tove Rask\n"
    "Q: Where does the captain live?\nA: Bergen\n"
    "Q: When does it leave?\nA: 06:15\n"
    "Q: Remind me when the ferry to Ormsø leaves?\nA: 06:15\n"
)
EXAM = (
    "Q: Where does the choir rehearse on Thursdays?\nA: the chapel on Plum Lane\n"
    "Q: What does a season ticket cost?\nA: 46 euros\n",
    "Q: How much diesel does the tank take?\nA: 38 litres\n"
    "Q: Who changed the oil filter of the green tractor?\nA: Joris Veld\n",
    "Q: What does Petra bring on the flight?\nA: the child seat\n",
)


class Scripted:
    """A generator with a fixed answer per passage: what a model wrote, once and for all."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def generate(
        self,
        messages: Sequence[tuple[str, str]],
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> str:
        self.asked.append(messages[-1][1])
        return self.answers.get(messages[-1][1], "")


def model(able: bool) -> Scripted:
    answers = {PROMPT.format(chunk=PASSAGE): WRITTEN}
    if able:
        answers |= {
            PROMPT.format(chunk=passage): text for passage, text in zip(_EXAM, EXAM, strict=True)
        }
    return Scripted(answers)


CHUNK = Chunk(0, PASSAGE, PASSAGE, Locator("ferry.md"), id=7)


def test_only_literal_and_fair_questions_of_a_model_are_kept() -> None:
    writer = ModelWriter(model(able=True))
    pairs = writer.write([CHUNK], "Ferry")
    assert {pair.answer for pair in pairs} == {"06:15", "Tove Rask"}
    plain = [pair for pair in pairs if pair.phrasing == 0]
    assert {pair.question for pair in plain} == {
        "When does the ferry to Ormsø leave?",
        "Who keeps the log in a tin box?",
    }
    for pair in pairs:
        assert pair.evidence in PASSAGE and pair.answer in pair.evidence
        assert pair.writer == "model"
    assert sum(pair.phrasing >= HELD_OUT for pair in pairs) == 2


def test_a_model_that_fails_the_exam_writes_nothing_and_says_so() -> None:
    generator = model(able=False)
    writer = ModelWriter(generator)
    assert writer.write([CHUNK], "Ferry") == []
    assert "not used" in writer.note
    assert PROMPT.format(chunk=PASSAGE) not in generator.asked


def test_the_exam_is_sat_once() -> None:
    generator = model(able=True)
    writer = ModelWriter(generator)
    writer.write([CHUNK], "Ferry")
    writer.write([CHUNK], "Ferry")
    assert len(generator.asked) == len(_EXAM) + 2
    assert writer.ability().share == 1.0


def test_what_the_exam_found_is_remembered_for_this_base_and_these_prompts(store: Store) -> None:
    both = (PROMPT, SPELLED_OUT)
    written = {SPELLED_OUT.format(chunk=p): t for p, t in zip(_EXAM, EXAM, strict=True)}
    scripted = Scripted(written | {SPELLED_OUT.format(chunk=PASSAGE): WRITTEN})
    first = ModelWriter(
        scripted, prompts=both, sat=lambda found: remember(store, "a base", both, found)
    )
    assert first.write([CHUNK], "Ferry")
    known = remembered(store, "a base", both)
    assert known == first.ability() and known.prompt == 1
    scripted.asked.clear()
    again = ModelWriter(scripted, prompts=both, known=known, sat=lambda found: 1 / 0)
    assert again.note == first.note and again.write([CHUNK], "Ferry")
    assert scripted.asked == [SPELLED_OUT.format(chunk=PASSAGE)]  # no exam, the prompt that did
    assert remembered(store, "another base", both) is None
    assert remembered(store, "a base", (PROMPT,)) is None


def test_answers_are_parsed_from_the_usual_shapes() -> None:
    text = "1. **Q:** Who paid?\n"
    assert parse("Q: Who paid?\nA: Bo.\n\nQ1: When was that?\nA1: in May") == [
        ("Who paid?", "Bo"),
        ("When was that?", "in May"),
    ]
    assert parse(text) == []
    assert parse("nonsense") == []


def test_a_model_that_follows_instructions_is_told_the_form_where_the_short_request_fails() -> None:
    bold = [text.replace("Q: ", "**Question:** ").replace("A: ", "**Answer:** ") for text in EXAM]
    answers = {SPELLED_OUT.format(chunk=p): t for p, t in zip(_EXAM, bold, strict=True)}
    scripted = Scripted(answers | {SPELLED_OUT.format(chunk=PASSAGE): WRITTEN})
    assert not ModelWriter(scripted).ability().able
    writer = ModelWriter(scripted, prompts=(PROMPT, SPELLED_OUT))
    assert writer.ability().able
    assert {pair.answer for pair in writer.write([CHUNK], "Ferry")} == {"06:15", "Tove Rask"}
