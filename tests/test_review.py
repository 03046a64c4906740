"""Facts wait for the user when told to, decisions outlive a rereading, answers are judged."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from command import nightschool
from nightschool.config import Pairs
from nightschool.errors import NotFound, UsageError
from nightschool.evaluate import probes
from nightschool.ingest.reading import read
from nightschool.ingest.redact import find
from nightschool.pairs import curate
from nightschool.pairs.dropped import Dropped
from nightschool.pairs.feedback import to_pairs
from nightschool.pairs.rules import RuleWriter
from nightschool.pairs.synthesize import PairReport, write_pairs
from nightschool.records import (
    Answer,
    Citation,
    Document,
    Feedback,
    FileStatus,
    Pair,
    PairKind,
    Split,
)
from nightschool.store import documents, feedback, pairs, review
from nightschool.store.db import Store, open_store
from nightschool.syllabus import syllabus
from pair_notes import NOTES


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(tmp_path / "nightschool.db")
    yield made
    made.close()


class Sure:
    """A reader that finds the evidence's own answer, as sure as it was told to be."""

    def __init__(self, answers: dict[str, str], trust: float) -> None:
        self.answers, self.trust = answers, trust

    def best(self, question: str, passages: Sequence[str]) -> tuple[str, float]:
        return self.answers.get(question, ""), self.trust


def add(store: Store, notes: dict[str, str]) -> None:
    root = documents.add_root(store, "/notes", learn=True).id
    for path, text in notes.items():
        found = read(text.encode(), path)
        sha = hashlib.sha256(text.encode()).hexdigest()
        item = Document(root, path, len(text), 1, sha, FileStatus.INDEXED, title=found.title)
        documents.save(store, item, found.chunks)


def write(store: Store, settings: Pairs, trust: float | None = None) -> PairReport:
    reader = None
    if trust is not None:
        writer = RuleWriter()
        answers = {
            pair.question: pair.answer
            for item in documents.documents(store)
            for pair in writer.write(documents.chunks_of(store, item.id), item.title)
        }
        reader = Sure(answers, trust)
    return write_pairs(store, [RuleWriter()], reader, None, settings=settings)


def test_by_default_nothing_waits(store: Store) -> None:
    add(store, NOTES)
    write(store, Pairs(), trust=0.01)
    assert "waiting" not in review.counts(store)


def test_facts_that_the_reader_is_not_sure_of_wait_and_are_not_practised(store: Store) -> None:
    add(store, NOTES)
    write(store, Pairs(auto_approve=0.5), trust=0.2)
    waiting = review.facts(store, "waiting")
    assert waiting and review.counts(store)["auto"] > 0, "what the layout says needs no reader"
    used = {pair.question for pair in pairs.all_pairs(store)}
    assert not used & {item.question for item in waiting}
    asked = {prompt for prompt, _ in syllabus(store, set()).closed}
    assert not asked & {item.question for item in waiting}


def test_a_threshold_above_one_lets_everything_wait_until_it_is_approved(store: Store) -> None:
    add(store, NOTES)
    write(store, Pairs(auto_approve=2.0), trust=1.0)
    assert set(review.counts(store)) == {"waiting"}
    first, second = review.facts(store, "waiting")[:2]
    review.decide(store, [first.id], "approved")
    review.decide(store, [second.id], "rejected")
    used = {pair.question for pair in pairs.all_pairs(store, kind=PairKind.CLOSED)}
    assert first.question in used and second.question not in used


def test_a_rejected_fact_does_not_come_back_when_its_file_is_read_again(store: Store) -> None:
    add(store, NOTES)
    write(store, Pairs())
    bad = next(item for item in review.facts(store) if item.answer == "£4,870")
    review.decide(store, [bad.id], "rejected")
    pairs.clear(store)
    write(store, Pairs())
    assert [item.question for item in review.facts(store, "rejected")] == [bad.question]
    text = " ".join(row["key"] for row in store.rows("SELECT key FROM decision"))
    assert "4,870" not in text, "a decision keeps no words of the file"


def test_an_answer_is_mended_with_the_passages_own_words_or_not_at_all(store: Store) -> None:
    add(store, NOTES)
    write(store, Pairs(auto_approve=2.0))
    item = next(item for item in review.facts(store) if item.answer == "Norvik HP-9")
    with pytest.raises(UsageError, match="does not say that"):
        review.edit(store, item.id, answer="under the sofa")
    mended = review.edit(store, item.id, answer="HP-9")
    assert (mended.answer, mended.status) == ("HP-9", "approved")
    fact = [p for p in pairs.all_pairs(store) if p.evidence == mended.evidence]
    closed = [p for p in fact if p.kind is PairKind.CLOSED and p.answer == "HP-9"]
    assert len(closed) > 3, "all wordings of the fact are mended"
    with pytest.raises(NotFound):
        review.edit(store, 10**6, answer="x")


def test_nearly_the_same_fact_is_kept_once(store: Store) -> None:
    def fact(name: str, question: str) -> Pair:
        return Pair(PairKind.CLOSED, question, "07:48", "…", name, 0, Split.TRAIN, (1,))

    both = [
        fact("a", "When does the train to Oslo leave?"),
        fact("b", "When does the early train to Oslo leave?"),
        fact("c", "When does the ferry to Kiel leave?"),
    ]
    dropped = Dropped()
    assert [p.fact for p in curate.near(both, 0.8, dropped)] == ["a", "c"]
    assert dropped["nearly asked already"] == 1
    assert curate.near(both, 0.0, dropped) == both


def test_no_file_gives_more_than_its_share_of_a_night(store: Store) -> None:
    flood = "# Flood\n\n" + "".join(f"Gate {i} code name: Heron {i}\n\n" for i in range(60))
    add(store, {**NOTES, "Flood.md": flood})
    write(store, Pairs(facts_per_file=200))
    owner = {item.id: item.path for item in documents.documents(store)}

    def from_flood(share: float) -> float:
        lessons = syllabus(store, set(), 30, share)
        flooded = [a for _, a in lessons.closed if a.startswith("Heron")]
        assert lessons.facts
        return len(set(flooded)) / lessons.facts

    assert "Flood.md" in owner.values()
    assert from_flood(0.0) > 0.25
    assert from_flood(0.1) <= 0.15
    write(store, Pairs())


def test_nothing_that_a_probe_asks_may_be_practised() -> None:
    asked = probes.questions()
    for name in ("reading", "abstain", "chat", "safety"):
        assert any((i.get("question") or i["prompt"]) in asked for i in probes.load(name))


# -- judging answers -----------------------------------------------------------------------------


def answered(store: Store, question: str, text: str, chunk: int = 0, most: int = 50) -> str:
    cited = (Citation(1, chunk, "x", "x"),) if chunk else ()
    return feedback.keep(store, question, Answer(text, "generator", cited, 3, "base", True), most)


def test_a_corrected_answer_is_practised_the_next_night(store: Store) -> None:
    add(store, NOTES)
    write(store, Pairs())
    name = answered(store, "Who repairs the pump on Sundays?", "Piet Groen [1].")
    before = syllabus(store, set()).closed
    feedback.give(store, name, "correct", "Nobody; call on Monday.")
    after = syllabus(store, set()).closed
    new = set(after) - set(before)
    assert ("Who repairs the pump on Sundays?", "Nobody; call on Monday.") in new
    assert len(new) > 1, "in more than one wording"


def test_a_liked_answer_is_practised_without_its_marks_and_a_disliked_one_is_not() -> None:
    def judged(verdict: str, text: str) -> Feedback:
        return Feedback("v3/1", "Where is the router?", text, verdict, "", "", 3, 1)

    liked = to_pairs([judged("up", "behind the piano [1]")], lambda text: False)
    assert {pair.answer for pair in liked} == {"behind the piano"}
    assert to_pairs([judged("down", "in the attic")], lambda text: False) == []
    assert to_pairs([judged("up", "I don't know.")], lambda text: False) == []


def test_feedback_cannot_plant_secrets_or_exam_questions() -> None:
    dropped = Dropped()
    secret = Feedback("v1/1", "What is it?", "", "correct", "Password: Xk29!fjq", "", 1, 1)
    assert to_pairs([secret], lambda text: bool(find(text)), dropped=dropped) == []
    assert dropped["redacted or secret-like"] == 1
    plain = replace(secret, question="Where is the key kept?", correction="on the hook")
    asked = to_pairs([plain], lambda text: False, exam=["Where is the key kept?"])
    assert "Where is the key kept?" not in {pair.question for pair in asked}
    probe = next(iter(probes.load("chat")))["prompt"]
    planted = replace(plain, question=probe)
    questions = {p.question for p in to_pairs([planted], lambda text: False, {probe})}
    assert probe not in questions


def test_only_the_newest_answers_are_kept_and_those_that_were_judged(store: Store) -> None:
    first = answered(store, "one?", "1", most=3)
    feedback.give(store, first, "up")
    for number in range(6):
        answered(store, f"more {number}?", "x", most=3)
    assert store.one("SELECT count(*) FROM answer") == 4
    assert [item.question for item in feedback.given(store)] == ["one?"]
    assert answered(store, "off?", "x", most=0) == ""


def test_answers_and_judgements_die_with_the_file_they_cite(store: Store) -> None:
    add(store, NOTES)
    item = next(d for d in documents.documents(store) if d.path == "Work/Secrets.md")
    chunk = documents.chunks_of(store, item.id)[0].id
    feedback.give(store, answered(store, "Where is the router?", "behind the piano", chunk), "up")
    other = answered(store, "Who is Kasimir?", "the owner")
    documents.remove_root(store, item.root_id)
    assert feedback.given(store) == []
    assert [row["id"] for row in store.rows("SELECT id FROM answer")] == [int(other.split("/")[1])]


def test_answers_from_a_folder_that_is_never_learned_are_never_practised(store: Store) -> None:
    add(store, NOTES)
    item = next(d for d in documents.documents(store) if d.path == "Work/Secrets.md")
    chunk = documents.chunks_of(store, item.id)[0].id
    feedback.give(store, answered(store, "Where is the router?", "behind the piano", chunk), "up")
    assert feedback.learnable(store)[1] == {item.id}, "its lineage is known"
    documents.add_root(store, "/notes", learn=False)
    assert feedback.learnable(store) == ([], set())
    assert len(feedback.given(store)) == 1


@pytest.mark.parametrize(
    ("name", "verdict", "text", "error"),
    [
        ("v3/99", "up", "", NotFound),
        ("nonsense", "up", "", NotFound),
        ("v3/1", "great", "", UsageError),
        ("v3/1", "correct", "  ", UsageError),
        ("v3/1", "up", "but also this", UsageError),
        ("v3/1", "correct", "x" * 501, UsageError),
    ],
)
def test_a_wrong_judgement_is_refused_and_changes_nothing(
    store: Store, name: str, verdict: str, text: str, error: type[Exception]
) -> None:
    answered(store, "one?", "1")
    with pytest.raises(error):
        feedback.give(store, name, verdict, text)
    assert feedback.given(store) == []


# -- through the command ---------------------------------------------------------------------------


def test_the_command_lists_approves_edits_and_exports(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    store = open_store(home / "nightschool.db")
    add(store, {"House/Heat pump.md": NOTES["House/Heat pump.md"]})
    write(store, Pairs(auto_approve=2.0))
    name = answered(store, "Who installed it?", "Piet")
    store.close()
    waiting = nightschool(home, "pairs", "list", "--status", "waiting", "--json").json
    assert waiting
    out = subprocess.run(
        [sys.executable, "-m", "nightschool", "--home", str(home), "pairs", "review"],
        input="a\nr\nq\n", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert "2 decided" in out.stdout
    approved = nightschool(home, "pairs", "approve", "--all", "--json").json
    assert len(approved) == len(waiting) - 2
    target = tmp_path / "pairs.jsonl"
    assert nightschool(home, "pairs", "export", str(target)).code == 0
    rows = [json.loads(row) for row in target.read_text(encoding="utf-8").splitlines()]
    assert rows and all(row["status"] in ("approved", "auto") for row in rows)
    assert nightschool(home, "feedback", name, "correct", "Piet Groen", "--json").json["answer"]
    assert nightschool(home, "feedback", "--json").json[0]["correction"] == "Piet Groen"
    assert nightschool(home, "feedback", "v1/77", "up").code == 2
