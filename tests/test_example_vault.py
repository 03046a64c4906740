"""The example vault keeps its promises: each answer stands in its note, and the counts hold."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pypdfium2
import pytest
from selectolax.lexbor import LexborHTMLParser

from nightschool.examples import Question, questions, vault_dir

SUFFIXES = {".md", ".txt", ".html", ".pdf"}
# The fake secrets planted for redaction: no question and no evidence may touch them.
SECRETS = (
    "teapot-Gannet-5519-violet",
    "Orchid!Sluice77",
    "sk-notArealKey4nightschoolExample0000vault1111",
    "4111 1111 1111 1111",
)


def _notes() -> list[Path]:
    return sorted(path for path in vault_dir().rglob("*") if path.is_file())


def _spans() -> list[Question]:
    return [question for question in questions() if question.kind == "span"]


def _unanswerable() -> list[Question]:
    return [question for question in questions() if question.kind == "unanswerable"]


def _one_spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _html_text(markup: str) -> str:
    tree = LexborHTMLParser(markup)
    for node in tree.css("script, style, head"):
        node.decompose()
    body = tree.body
    assert body is not None
    return _one_spaced(body.text(separator=" "))


def _pdf_text(path: Path) -> str:
    document = pypdfium2.PdfDocument(path)
    try:
        pages = [page.get_textpage().get_text_bounded() for page in document]
    finally:
        document.close()
    return _one_spaced(" ".join(pages))


@cache
def _visible_text(path: Path) -> str:
    if path.suffix == ".pdf":
        return _pdf_text(path)
    text = path.read_text(encoding="utf-8")
    return _html_text(text) if path.suffix == ".html" else text


@pytest.mark.parametrize("question", _spans(), ids=lambda question: question.id)
def test_the_evidence_is_in_the_note_and_contains_the_answer(question: Question) -> None:
    assert question.path is not None and question.evidence is not None
    note = vault_dir() / question.path
    assert note.is_file()
    assert question.evidence in _visible_text(note)
    assert question.answer in question.evidence


@pytest.mark.parametrize("question", _spans(), ids=lambda question: question.id)
def test_the_evidence_is_in_no_other_note(question: Question) -> None:
    assert question.evidence is not None
    holders = [note for note in _notes() if question.evidence in _visible_text(note)]
    assert holders == [vault_dir() / str(question.path)]


def test_there_are_at_least_forty_notes_of_known_kinds() -> None:
    notes = _notes()
    assert len(notes) >= 40
    assert {note.suffix for note in notes} == SUFFIXES


def test_every_note_has_a_readable_length() -> None:
    lengths = {note.name: len(_visible_text(note).split()) for note in _notes()}
    assert {name: n for name, n in lengths.items() if not 60 <= n <= 250} == {}


def test_there_are_at_least_sixty_questions_with_an_answer() -> None:
    assert len(_spans()) >= 60


def test_there_are_at_least_ten_unanswerable_questions() -> None:
    assert len(_unanswerable()) >= 10


def test_no_question_id_and_no_question_text_occurs_twice() -> None:
    every = questions()
    assert len({question.id for question in every}) == len(every)
    assert len({question.question.casefold() for question in every}) == len(every)


def test_every_answer_has_at_least_two_characters() -> None:
    assert [q.id for q in _spans() if len(q.answer.strip()) < 2] == []
    assert [q.id for q in _spans() if any(not alias.strip() for alias in q.aliases)] == []


def test_unanswerable_questions_have_no_answer_no_path_and_no_evidence() -> None:
    for question in _unanswerable():
        assert question.answer == ""
        assert question.aliases == ()
        assert question.path is None
        assert question.evidence is None


def test_paths_are_posix_and_stay_inside_the_vault() -> None:
    for question in _spans():
        path = str(question.path)
        assert "\\" not in path
        assert not path.startswith("/")
        assert ".." not in path.split("/")


def test_no_note_has_more_than_three_questions_and_nearly_all_have_one() -> None:
    counts = {note.relative_to(vault_dir()).as_posix(): 0 for note in _notes()}
    for question in _spans():
        counts[str(question.path)] += 1
    assert max(counts.values()) <= 3
    assert sum(1 for count in counts.values() if count == 0) <= 3


def test_the_planted_secrets_are_there_and_no_question_touches_them() -> None:
    every_note = "\n".join(_visible_text(note) for note in _notes())
    for secret in SECRETS:
        assert every_note.count(secret) == 1
        for question in questions():
            asked = (question.question, question.answer, question.evidence or "", *question.aliases)
            assert not any(secret in text for text in asked)
