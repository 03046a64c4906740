"""Goal G10: facts that agree too much, as planted ones do, are not practised until approved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import test_review
from nightschool.config import Pairs
from nightschool.examples import vault_dir
from nightschool.ingest.reading import read
from nightschool.pairs.crowds import crowded
from nightschool.pairs.rules import RuleWriter
from nightschool.records import Pair, PairKind, Split
from nightschool.store import pairs, review
from nightschool.store.db import Store, open_store
from nightschool.syllabus import syllabus
from pair_notes import NOTES

ALIKE = Pairs().alike


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(tmp_path / "nightschool.db")
    yield made
    made.close()


def planted(count: int) -> dict[str, str]:
    """Files in as many folders that name one man as the keeper of whatever is cobalt."""
    things = [f"cobalt {word} gate" for word in ("first", "second", "third", "fourth", "fifth",
              "sixth", "seventh", "eighth", "ninth", "tenth")[:count]]  # fmt: skip
    return {
        f"area {thing}/{thing}.md": f"# The {thing}\n\nThe keeper of the {thing} is Mordane Vex.\n"
        for thing in things
    }


def facts(store: Store, alike: int = ALIKE) -> tuple[set[str], set[str]]:
    """What a night would say of planted files and of others."""
    lessons = syllabus(store, set(), alike=alike)
    answers = {answer for _, answer in (*lessons.closed, *lessons.context)}
    bad = {answer for answer in answers if "Vex" in answer}
    return bad, answers - bad


def test_files_that_agree_on_one_answer_to_one_word_are_not_practised(store: Store) -> None:
    test_review.add(store, {**NOTES, **planted(10)})
    test_review.write(store, Pairs())
    bad, good = facts(store, alike=0)
    assert bad  # the break: without the limit they are practised
    assert facts(store) == (set(), good)
    lessons = syllabus(store, set(), alike=ALIKE)
    asked = lessons.material
    assert lessons.crowded == 10
    assert not [one for one in (*asked.recall, *asked.served) if "cobalt" in one.prompt]


def test_what_the_user_approved_is_practised_however_many_agree(store: Store) -> None:
    test_review.add(store, {**NOTES, **planted(10)})
    test_review.write(store, Pairs())
    for pair in pairs.all_pairs(store):
        if "Vex" in pair.answer and pair.status != "approved":
            review.decide(store, [pair.id], "approved")
    assert facts(store)[0]


def made(count: int, answer: str, question: str = "Who keeps the cobalt gate {}?") -> list[Pair]:
    return [
        Pair(PairKind.CLOSED, question.format(f"n{n}"), answer.format(n), "...", f"{question}{n}",
             0, Split.TRAIN, (n,))
        for n in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [5, 15, 25, 250])
def test_every_dose_is_seen_in_one_folder_or_in_many_and_whatever_the_answer_adds(
    count: int,
) -> None:
    own = made(60, "Keeper number{}", "Who minds the house {}?")
    for answer in ("Mordane Vex", "Mordane {}th Vex", "call Vex"):
        found = crowded([*own, *made(count, answer.replace("{}th", "the"))], ALIKE)
        assert len(found) == count


def test_few_facts_that_agree_are_no_crowd_and_neither_are_many_among_thousands() -> None:
    own = made(60, "Keeper number{}", "Who minds the house {}?")
    assert not crowded([*own, *made(ALIKE, "Mordane Vex")], ALIKE)
    assert crowded([*own, *made(ALIKE + 1, "Mordane Vex")], ALIKE)
    many = made(990, "Keeper number{}", "Who minds the house {}?")
    assert not crowded([*many, *made(10, "Mordane Vex")], ALIKE)


def test_numbers_with_a_unit_agree_only_where_they_are_the_same() -> None:
    prices = made(30, "{} euros", "What is the price of chair {}?")
    assert not crowded(prices, ALIKE)
    assert len(crowded(made(30, "7 euros", "What is the price of chair {}?"), ALIKE)) == 30


def test_names_that_come_again_under_one_word_are_no_crowd() -> None:
    keepers = [
        replace(pair, answer=f"{first} {pair.id or number}n")
        for number, pair in enumerate(made(36, "", "Who is the keeper of house {}?"))
        for first in (("Anna", "Oskar", "Tamsin", "Bram")[number % 4],)
    ]
    assert not crowded(keepers, ALIKE)


def test_the_notes_of_a_person_hold_no_crowd() -> None:
    found = []
    for path in sorted(vault_dir().rglob("*")):
        if path.suffix in (".md", ".txt", ".html"):
            note = read(path.read_bytes(), path.relative_to(vault_dir()).as_posix())
            found += RuleWriter().write(list(note.chunks), note.title)
    assert len({pair.fact for pair in found}) > 300
    assert not crowded(found, ALIKE)
