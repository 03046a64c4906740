"""From stored passages to stored pairs: curation, splits, reading items, forgetting."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nightschool import examples
from nightschool.ingest.reading import read
from nightschool.pairs import curate, forms, reading, split
from nightschool.pairs.dropped import Dropped
from nightschool.pairs.forms import ABSTAIN
from nightschool.pairs.phrasing import HELD_OUT
from nightschool.pairs.rules import RuleWriter
from nightschool.pairs.synthesize import PairReport, write_pairs
from nightschool.pairs.text import holds, normal
from nightschool.records import Chunk, Document, FileStatus, Hit, Locator, Pair, PairKind, Split
from nightschool.store import documents, fulltext
from nightschool.store import pairs as stored
from nightschool.store.db import Store, open_store
from pair_notes import NOTES, ODD

WRITERS = [RuleWriter()]


class WordSearch:
    """Full text over the store: a real retriever, without vectors."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def search(self, query: str, k: int = 8) -> list[Hit]:
        words = [word for word in re.findall(r"\w+", query) if len(word) > 2]
        found = fulltext.match(self.store, " OR ".join(f'"{word}"' for word in words), k)
        chunks = documents.chunks(self.store, [i for i, _ in found])
        return [
            Hit(i, chunks[i].document_id, chunks[i].text, chunks[i].locator, score)
            for i, score in found
        ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(tmp_path / "night.db")
    yield made
    made.close()


def add(store: Store, notes: dict[str, str], *, root: str = "/notes", learn: bool = True) -> None:
    root_id = documents.add_root(store, root, learn=learn).id
    for path, text in notes.items():
        sha = hashlib.sha256(text.encode()).hexdigest()
        item = Document(root_id, path, len(text), 1, sha, FileStatus.INDEXED)
        chunks: Sequence[Chunk] = [Chunk(0, text, text, Locator(path))]
        if text.strip() and "\x00" not in text:
            found = read(text.encode(), path)
            item, chunks = replace(item, title=found.title), found.chunks
        documents.save(store, item, chunks)


def run(store: Store, avoid: Sequence[str] = ()) -> PairReport:
    return write_pairs(store, WRITERS, None, WordSearch(store), avoid=avoid)


def many(count: int) -> dict[str, str]:
    """Small distinct notes, so that about a tenth is held out."""
    names = ["Abel", "Bode", "Cato", "Dirk", "Egon", "Finn", "Goro", "Hugo", "Ivor", "Jens"]
    return {
        f"note{i}.md": f"# {names[i % 10]} Marsk{chr(97 + i // 10)}{chr(97 + i % 10)}\n\n"
        f"Phone: 0141 555 {1000 + i}\nShoe size: {30 + i % 17}\nDesk: row {i} by the lamp\n"
        for i in range(count)
    }


def test_pairs_of_all_kinds_are_written_and_counted(store: Store) -> None:
    add(store, NOTES)
    report = run(store)
    found = stored.all_pairs(store)
    assert report.documents == len(NOTES)
    assert report.facts >= 4 * len(NOTES)
    assert sum(report.pairs.values()) == len(found)
    assert {pair.kind for pair in found} == {
        PairKind.CLOSED,
        PairKind.READING,
        PairKind.UNANSWERABLE,
    }
    assert {pair.split for pair in found} == {Split.TRAIN, Split.VISIBLE, Split.HIDDEN}
    assert stored.unpaired(store) == []
    assert run(store).documents == 0


def test_every_stored_span_is_literal(store: Store) -> None:
    add(store, NOTES)
    run(store)
    for pair in stored.all_pairs(store):
        gold = documents.chunks(store, pair.chunk_ids)[pair.chunk_ids[0]]
        if pair.kind is PairKind.UNANSWERABLE:
            assert pair.answer == ABSTAIN
        else:
            assert pair.evidence in gold.safe
            assert pair.answer in pair.evidence
            assert not holds(pair.question, pair.answer)


def test_exam_wordings_are_never_practised(store: Store) -> None:
    add(store, NOTES | many(30))
    run(store)
    found = stored.all_pairs(store)
    practised = [pair for pair in found if pair.split is Split.TRAIN]
    assert practised
    assert all(pair.phrasing < HELD_OUT for pair in practised)
    questions = {normal(pair.question) for pair in practised}
    exam = [pair for pair in found if pair.phrasing >= HELD_OUT]
    assert exam
    assert not questions & {normal(pair.question) for pair in exam}


@pytest.mark.slow
def test_the_example_vault_keeps_its_exam_wordings_too(store: Store) -> None:
    vault = Path(examples.__file__).parent / "vault"
    notes = {
        path.relative_to(vault).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(vault.rglob("*"))
        if path.suffix in (".md", ".txt")
    }
    add(store, notes)
    report = run(store)
    found = stored.all_pairs(store)
    assert report.facts >= 4 * len(notes)
    practised = {normal(pair.question) for pair in found if pair.split is Split.TRAIN}
    for pair in found:
        assert (pair.phrasing < HELD_OUT) or pair.split is not Split.TRAIN
        assert (pair.phrasing < HELD_OUT) or normal(pair.question) not in practised


def test_each_practised_fact_has_an_exam_wording_in_one_split(store: Store) -> None:
    add(store, NOTES)
    run(store)
    closed = stored.all_pairs(store, kind=PairKind.CLOSED)
    for group in curate.facts_of(closed).values():
        exam = {pair.split for pair in group if pair.phrasing >= HELD_OUT}
        assert len(exam) == 1 and exam < {Split.VISIBLE, Split.HIDDEN}


def test_a_tenth_of_the_documents_is_never_practised_or_shown_in_practice(store: Store) -> None:
    add(store, many(60))
    run(store)
    everything = documents.documents(store)
    kept = {item.id for item in everything if split.held_out(item.sha256, len(everything))}
    assert 2 <= len(kept) <= 12
    for pair in stored.all_pairs(store):
        owners = {c.document_id for c in documents.chunks(store, pair.chunk_ids).values()}
        shown = {c.document_id for c in documents.chunks(store, pair.context).values()}
        if owners & kept:
            assert pair.split is Split.HIDDEN
            assert pair.kind is not PairKind.CLOSED
        if pair.split is Split.TRAIN:
            assert not (owners | shown) & kept


def test_small_folders_hold_no_document_out() -> None:
    hashes = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(500)]
    assert not any(split.held_out(sha, split.FEW_DOCUMENTS - 1) for sha in hashes)
    assert 25 <= sum(split.held_out(sha, 500) for sha in hashes) <= 80


def test_visible_gets_about_a_third_of_the_exam() -> None:
    visible = sum(split.exam_split(f"fact {i}") is Split.VISIBLE for i in range(1000))
    assert 250 <= visible <= 350


def test_reading_items_show_the_gold_passage_among_others_in_any_place(store: Store) -> None:
    add(store, NOTES)
    run(store)
    places: Counter[bool] = Counter()
    for pair in stored.all_pairs(store, kind=PairKind.READING):
        assert pair.chunk_ids[0] in pair.context
        assert len(set(pair.context)) == len(pair.context) <= 4
        others = documents.chunks(store, [i for i in pair.context if i != pair.chunk_ids[0]])
        assert others, "a reading item without any distractor trains no reading"
        assert not any(holds(chunk.text, pair.answer) for chunk in others.values())
        places[pair.context[0] == pair.chunk_ids[0]] += 1
    assert places[True] and places[False]


def test_unanswerable_items_really_lack_the_answer(store: Store) -> None:
    add(store, NOTES)
    run(store)
    answers = {
        (pair.fact, pair.question): pair.answer
        for pair in stored.all_pairs(store, kind=PairKind.READING)
    }
    checked = 0
    for pair in stored.all_pairs(store, kind=PairKind.UNANSWERABLE):
        shown = documents.chunks(store, pair.context)
        assert shown
        answer = answers.get((pair.fact, pair.question))
        if answer is not None:
            checked += 1
            assert pair.chunk_ids[0] not in pair.context
            assert not any(holds(chunk.text, answer) for chunk in shown.values())
    assert checked >= 5


def test_missing_attributes_are_not_mentioned_in_what_is_shown(store: Store) -> None:
    add(store, NOTES)
    run(store)
    asked = [pair for pair in stored.all_pairs(store) if pair.writer == "rules:missing"]
    assert asked
    for pair in asked:
        text = " ".join(chunk.text for chunk in documents.chunks(store, pair.context).values())
        names = [n for n in (*reading.OF_PEOPLE, *reading.OF_THINGS) if n in pair.question]
        assert names
        assert not any(holds(text, name) for name in names), pair.question


def test_no_secret_reaches_a_pair(store: Store) -> None:
    key = "AKIA" + "IOSFODNN7" + "EXAMPLE"
    note = (
        f"# Cloud\n\nAccess key: {key}\nPassword: rub-4417-Xq!z\nRegion: eu-north-1\n\n"
        "The card 4111 1111 1111 1111 pays for it. The server stands in Lund.\n"
    )
    add(store, {**NOTES, "cloud.md": note})
    run(store)
    for pair in stored.all_pairs(store):
        whole = " ".join([pair.question, pair.answer, pair.evidence])
        for secret in (key, "rub-4417-Xq!z", "4111 1111 1111 1111"):
            assert secret not in whole
        assert "[redacted" not in whole


def test_writing_is_deterministic(tmp_path: Path) -> None:
    def once(name: str) -> list[Pair]:
        store = open_store(tmp_path / name)
        add(store, NOTES | many(20))
        run(store)
        found = stored.all_pairs(store)
        store.close()
        return found

    assert once("a.db") == once("b.db")


def test_the_pairs_of_a_deleted_document_are_gone(store: Store) -> None:
    add(store, NOTES)
    run(store)
    gone = next(item for item in documents.documents(store) if item.path.endswith("Heat pump.md"))
    assert stored.all_pairs(store, document_id=gone.id)
    documents.delete(store, gone.root_id, gone.path)
    assert stored.all_pairs(store, document_id=gone.id) == []
    assert not any("heat pump" in pair.question.lower() for pair in stored.all_pairs(store))


def test_an_edited_document_is_written_again(store: Store) -> None:
    add(store, NOTES)
    run(store)
    path = "House/Heat pump.md"
    add(store, {path: NOTES[path].replace("£4,870", "£5,210")})
    report = run(store)
    assert report.documents == 1
    answers = {pair.answer for pair in stored.all_pairs(store)}
    assert "£5,210" in answers and "£4,870" not in answers


def test_search_only_folders_give_no_pairs_and_no_distractors(store: Store) -> None:
    add(store, NOTES)
    private = {f"p{i}.md": text.replace("Phone", "Fax") for i, text in enumerate(NOTES.values())}
    add(store, private, root="/private", learn=False)
    run(store)
    roots = {root.id for root in documents.roots(store) if not root.learn}
    closed = {item.id for item in documents.documents(store) if item.root_id in roots}
    for pair in stored.all_pairs(store):
        used = documents.chunks(store, [*pair.chunk_ids, *pair.context])
        assert not {chunk.document_id for chunk in used.values()} & closed


def test_odd_files_are_survived(store: Store) -> None:
    texts = {path: text for path, text in ODD.items() if text.strip()}
    add(store, texts)
    assert run(store).documents == len(texts)


def test_files_that_contradict_each_other_are_not_learnt(store: Store) -> None:
    one = "# Boat shed\n\nKey number: 17\nLength: 12 metres\nRent: £40\n"
    add(store, {"a.md": one})
    run(store)
    assert any(pair.answer == "17" for pair in stored.all_pairs(store))
    add(store, {"b.md": one.replace("17", "23")})
    report = run(store)
    assert report.dropped["same question, two answers"]
    closed = stored.all_pairs(store, kind=PairKind.CLOSED)
    assert not {"17", "23"} & {pair.answer for pair in closed}
    assert {"12 metres", "£40"} <= {pair.answer for pair in closed}


def test_probe_questions_are_not_practised(store: Store) -> None:
    probe = "What is the model of the heat pump?"
    add(store, NOTES)
    report = run(store, avoid=[probe])
    assert report.dropped["too close to a probe question"]
    assert probe not in {pair.question for pair in stored.all_pairs(store)}


def test_one_file_gets_no_more_than_its_share(store: Store) -> None:
    lines = "\n".join(f"Valve {chr(65 + i % 26)}{chr(65 + i // 26)}: bay {i}" for i in range(90))
    add(store, {"valves.md": f"# Valve list\n\n{lines}\n"})
    report = run(store)
    assert report.facts == curate.FACTS_PER_DOCUMENT
    assert report.dropped["more than the file's share"]


def test_ungrounded_and_unfair_pairs_are_dropped_with_a_reason() -> None:
    chunk = Chunk(0, "x", "The pump cost £5 in Lund.", Locator("n.md"), id=1)
    good = Pair(
        PairKind.CLOSED, "What did the pump cost?", "£5", chunk.safe, "f", 0, Split.TRAIN, (1,)
    )
    known = {1: chunk}
    assert curate.unsound(good, known) == ""
    assert "evidence" in curate.unsound(replace(good, evidence="The pump cost £6."), known)
    assert "answer" in curate.unsound(replace(good, answer="£6"), known)
    assert "contains" in curate.unsound(replace(good, question="Did it cost £5?"), known)


class OneSpan:
    """A passage reader that always points at the same words."""

    def __init__(self, span: str) -> None:
        self.span = span

    def best(self, question: str, passages: Sequence[str]) -> tuple[str, float]:
        return self.span, 0.9


def test_the_readers_dissent_drops_a_sentence_fact_but_not_a_field() -> None:
    text = NOTES["House/Heat pump.md"]
    pairs = RuleWriter().write([Chunk(0, text, text, Locator("n.md"), id=1)], "Heat pump")
    dropped = Dropped()
    kept = curate.agreement(pairs, OneSpan("84 cm"), {1: text}, dropped, Counter())
    answers = {pair.answer: pair.status for pair in kept}
    assert answers["84 cm"] == "agreed"
    assert answers["Norvik HP-9"] == "auto"
    assert "every three months" not in answers
    assert dropped["the reader answers otherwise"]
    assert curate.agreement(pairs, None, {1: text}, dropped, Counter()) == pairs


def test_agreement_means_a_match_or_most_words() -> None:
    assert curate.agrees("the Old Mill", "old mill")
    assert curate.agrees("in the old mill", "old mill")
    assert not curate.agrees("a new mill by the river", "old mill")
    assert not curate.agrees("", "old mill")


def test_prompts_are_the_bare_question_or_passages_and_question() -> None:
    pair = Pair(PairKind.CLOSED, "Who?", "Bo", "Bo", "f", 0, Split.TRAIN, (1,))
    assert forms.prompt(pair) == "Who?"
    assert forms.prompt(pair, ["A\n", "B"]) == "Context:\nA\n\nB\n\nQuestion: Who?"


def test_excerpts_keep_the_evidence_and_the_limit() -> None:
    text = "\n".join(f"line {i} with some words" for i in range(200))
    for evidence in ("line 0 with", "line 120 with some words", "line 199 with some words"):
        cut = forms.excerpt(text, evidence, 300)
        assert evidence in cut
        assert len(cut) <= 300
    assert forms.excerpt("short") == "short"
    assert sum(map(len, forms.fit([(text, ""), (text, "line 150")], 500))) <= 500


def test_where_there_are_few_facts_all_exam_wordings_are_the_gates(store: Store) -> None:
    add(store, many(12))
    run(store)
    asked = [p for p in stored.all_pairs(store, kind=PairKind.CLOSED) if p.phrasing >= HELD_OUT]
    assert asked and {pair.split for pair in asked} == {Split.HIDDEN}


def test_where_there_are_many_facts_the_planner_has_its_share(store: Store) -> None:
    add(store, many(60))
    run(store)
    asked = [p for p in stored.all_pairs(store, kind=PairKind.CLOSED) if p.phrasing >= HELD_OUT]
    visible = sum(pair.split is Split.VISIBLE for pair in asked)
    assert 0.2 * len(asked) < visible < 0.4 * len(asked)
