"""Questions through the whole answer path: index, reader, model, support check, child process."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from invented_notes import NOTES, QUESTIONS
from lora_files import write_lora
from nightschool.children.child import Child
from nightschool.config import Config
from nightschool.engine import exam
from nightschool.engine.answering import (
    QUOTED,
    RECALLED,
    REPLACED,
    UNKNOWN,
    Answering,
    Served,
    span_of,
    with_marks,
)
from nightschool.engine.exam import reading_prompt
from nightschool.engine.runtime import Runtime
from nightschool.engine.support import abstains, find_support
from nightschool.errors import ChildError, Interrupted, NotFound, Refused, UsageError
from nightschool.intake import run_intake
from nightschool.models import abilities
from nightschool.models.abilities import Abilities
from nightschool.models.catalogue import BOX, file_sha256
from nightschool.paths import Home
from nightschool.records import Answer, Version
from nightschool.registry import pointer
from nightschool.registry.versions import promote, register, use
from nightschool.store import documents, state
from nightschool.store import versions as rows
from nightschool.store.db import Store, open_store

STARTER = BOX / "starter.gguf"
READS_WELL = Abilities(reads=1.0, abstains=1.0, examined=True)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose index holds the invented notes."""
    folder = tmp_path_factory.mktemp("notes")
    for name, text in NOTES.items():
        (folder / name).write_text(text, encoding="utf-8")
    home = Home(tmp_path_factory.mktemp("home")).create()
    store = open_store(home.database)
    documents.add_root(store, str(folder))
    report = run_intake(home, store, Config())
    assert report.added == len(NOTES) and report.embedded >= len(NOTES)
    store.close()
    return home


@pytest.fixture(scope="module")
def runtime(filled: Home) -> Iterator[Runtime]:
    store = open_store(filled.database)
    runtime = Runtime(filled, store, Config())
    yield runtime
    runtime.close()
    store.close()


@pytest.fixture(autouse=True)
def plain(filled: Home) -> Iterator[None]:
    yield
    filled.pointer.unlink(missing_ok=True)


def new_version(runtime: Runtime, tmp_path: Path, seed: int, strength: float = 0.05) -> Version:
    """Register a random adapter as a version that passed its exams."""
    candidate = tmp_path / f"candidate{seed}"
    candidate.mkdir()
    write_lora(candidate / "adapter.gguf", STARTER, seed=seed, strength=strength)
    return register(
        runtime.home,
        runtime.store,
        candidate,
        base_sha=runtime.model.sha256,
        status="promoted",
        scale=1.0,
        run_id=None,  # type: ignore[arg-type]
    )


# -- answers -------------------------------------------------------------------------------------


def test_an_answer_names_the_file_and_quotes_it_literally(runtime: Runtime) -> None:
    answer = runtime.ask("What is the hull number of Petrel?")
    assert "DE-47719" in answer.text
    assert answer.supported and answer.carried_by in ("quote", "generator")
    (first, *_) = answer.citations
    assert first.mark == 1
    assert first.locator.startswith("boat.md:")
    assert "DE-47719" in first.quote and first.quote in NOTES["boat.md"]
    assert "[1] boat.md" in with_marks(answer)


def test_what_the_files_do_not_say_is_not_answered(runtime: Runtime) -> None:
    for question in ("What is the capital of Mongolia?", "Who repaired the roof?"):
        answer = runtime.ask(question)
        assert (answer.text, answer.carried_by) == (UNKNOWN, "abstained")
        assert not answer.supported and not answer.citations


def test_most_invented_questions_are_answered_and_most_others_declined(runtime: Runtime) -> None:
    right = wrong = declined = 0
    for question, _, gold in QUESTIONS[::2]:
        answer = runtime.ask(question)
        if gold:
            right += gold.casefold() in answer.text.casefold()
        else:
            declined += answer.carried_by == "abstained"
            wrong += answer.carried_by != "abstained"
    assert right >= 18  # of 24; 21 when this was written (the bench asks all)
    assert declined >= 8 and wrong <= 2  # of 10; 10 when this was written


def garbler(runtime: Runtime, question: str, note: str, tmp_path: Path) -> Version:
    """A version whose adapter is so strong that the model writes nonsense about `note`."""
    for seed in range(20):
        version = new_version(runtime, tmp_path, seed, strength=3.0)
        runtime.serve(version.number)
        text = runtime.llama.generate(reading_prompt(NOTES[note], question))
        if not abstains(text) and find_support(text, list(NOTES.values()), question) is None:
            return version
    raise AssertionError("no adapter makes the model write nonsense")


@pytest.mark.parametrize("abilities", [Abilities(), READS_WELL])
def test_an_unsupported_answer_is_replaced_by_a_quotation_and_says_so(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abilities: Abilities
) -> None:
    question = "What does error E23 mean?"
    version = garbler(runtime, question, "heating.md", tmp_path)
    monkeypatch.setattr(runtime, "abilities", abilities)
    answer = runtime.ask(question, version=version.number)
    assert answer.generated and answer.generated not in answer.text
    assert answer.carried_by == "quote"
    assert "Error E23 means that the outdoor sensor is wet." in answer.text
    assert REPLACED in answer.note
    assert answer.version == version.number


def test_a_model_that_reads_well_answers_in_its_own_words_when_they_are_supported(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "abilities", READS_WELL)
    led = [runtime.ask(question) for question, note, _ in QUESTIONS[:14] if note]
    own = [answer for answer in led if answer.carried_by == "generator"]
    assert own
    for answer in led:
        if answer.carried_by == "generator":
            assert answer.text == answer.generated
            cited = [citation.quote for citation in answer.citations]
            assert find_support(answer.text, cited)


def test_small_words_of_a_model_are_quoted_with_their_sentence(runtime: Runtime) -> None:
    for question, note, _ in QUESTIONS[:12]:
        answer = runtime.ask(question)
        if answer.carried_by in ("quote", "generator"):
            quote = answer.citations[0].quote
            assert quote in NOTES[answer.citations[0].locator.partition(":")[0]], note
            assert f"“{quote}”" in answer.text
            assert span_of(answer)
            assert answer.note.startswith((QUOTED, REPLACED)) or answer.carried_by == "generator"


class Scholar:
    """A writer that has learnt one answer by heart; no adapter is that sure after a test's time."""

    context = 1024

    def __init__(self, known: str, sure: float) -> None:
        self.known, self.sure, self.asked = known, sure, 0

    def tokenize(self, text: str) -> list[int]:
        return [0] * len(text.split())

    def generate(self, messages: Any, **_: Any) -> str:
        if messages[-1][1].startswith("Context:"):
            return "I don't know."
        self.asked += 1
        return self.known

    def sureness(self, messages: Any, completion: str) -> float:
        return self.sure


@pytest.mark.parametrize(
    ("known", "sure", "adapted", "wins"),
    [
        ("the outdoor sensor", 0.2, True, True),  # the reader says the same
        ("May", 0.9, True, True),  # another answer, sure of it, and it stands in the files
        ("May", 0.2, True, False),
        ("the fuse is blown", 0.9, True, False),  # nothing in the files says so
        ("error E23", 0.9, True, False),  # only repeats the question
        ("I don't know.", 0.9, True, False),
        ("the outdoor sensor", 0.9, False, False),  # the base has learnt nothing
    ],
)
def test_what_was_learnt_by_heart_counts_only_when_the_files_say_it_too(
    runtime: Runtime, known: str, sure: float, adapted: bool, wins: bool
) -> None:
    scholar = Scholar(known, sure)
    answering = Answering(scholar, runtime.searcher, runtime.reader, Abilities())
    answer = answering.answer("What does error E23 mean?", Served("s", 1, adapted))
    assert (RECALLED in answer.note) == wins
    assert (scholar.asked > 0) == adapted
    assert (span_of(answer) == known) == wins
    assert answer.citations[0].quote in NOTES["heating.md"]


def test_what_was_learnt_of_another_thing_is_not_taken_for_an_answer(runtime: Runtime) -> None:
    question = "What does error E23 mean?"
    others = [hit for hit in runtime.searcher.search(question, 8) if "E23" not in hit.text]
    figures = {number for hit in others for number in re.findall(r"\b[\d.:]*\d", hit.text)}
    learnt = sorted(figures - set(re.findall(r"[\d.:]*\d", NOTES["heating.md"])))
    assert len(learnt) >= 3
    for known in learnt:
        answering = Answering(Scholar(known, 0.99), runtime.searcher, runtime.reader, Abilities())
        answer = answering.answer(question, Served("s", 1, True))
        assert RECALLED not in answer.note, known
        assert answer.citations[0].quote in NOTES["heating.md"]


def test_raw_mode_is_the_model_alone_and_says_so(runtime: Runtime) -> None:
    pieces: list[str] = []
    answer = runtime.ask("What is the hull number of Petrel?", mode="raw", on_delta=pieces.append)
    assert answer.carried_by == "weights"
    assert not answer.supported and not answer.citations
    assert "".join(pieces).strip() == answer.text


def test_a_short_follow_up_is_understood_with_the_question_before(runtime: Runtime) -> None:
    chat = [
        ("user", "How hot is the bisque firing of the pottery?"),
        ("assistant", "960 degrees."),
        ("user", "And glaze firing?"),
    ]
    answer = runtime.chat(chat)
    assert any("kiln.md" in citation.locator for citation in answer.citations)


def test_nonsense_requests_are_refused_in_words(runtime: Runtime) -> None:
    for call in (
        lambda: runtime.ask("  "),
        lambda: runtime.ask("x", mode="poetic"),
        lambda: runtime.chat([]),
        lambda: runtime.chat([("assistant", "x")]),
        lambda: runtime.chat([("wizard", "x"), ("user", "y")]),
        lambda: runtime.search(" "),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.remedy


def test_a_question_longer_than_the_context_is_refused_with_the_limit(runtime: Runtime) -> None:
    for mode in ("raw", "auto"):
        with pytest.raises(UsageError, match="the limit is 1023"):
            runtime.chat([("user", "hull " * 3000)], mode=mode)
        with pytest.raises(UsageError, match="the limit is 1023"):
            runtime.ask("hull " * 3000, mode=mode)


# -- versions ------------------------------------------------------------------------------------


def test_a_promotion_is_served_from_the_next_question_on(runtime: Runtime, tmp_path: Path) -> None:
    assert runtime.ask("x y z", mode="raw").version == 0
    first = new_version(runtime, tmp_path, 50)
    promote(runtime.home, runtime.store, first)
    assert runtime.serve().version == first.number
    assert runtime.llama.active[0] == first.sha256
    use(runtime.home, runtime.store, 0)
    assert runtime.serve().version == 0
    assert runtime.llama.active[0] == ""


def test_an_adapter_that_was_tampered_with_is_not_served(runtime: Runtime, tmp_path: Path) -> None:
    version = new_version(runtime, tmp_path, 60)
    promote(runtime.home, runtime.store, version)
    path = runtime.home.root / version.directory / "adapter.gguf"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    answer = runtime.ask("What is the hull number of Petrel?")
    assert answer.version == 0
    assert "base model answers" in answer.note and "changed after its exams" in answer.note
    assert runtime.status()["note"]
    with pytest.raises(Refused, match="changed"):
        runtime.ask("x?", version=version.number)


def test_a_missing_adapter_or_a_damaged_pointer_falls_back_to_the_base(
    runtime: Runtime, tmp_path: Path
) -> None:
    version = new_version(runtime, tmp_path, 61)
    promote(runtime.home, runtime.store, version)
    shutil.rmtree(runtime.home.root / version.directory)
    assert "missing" in runtime.ask("Who caught the swarm?").note
    runtime.home.pointer.write_text("{")
    answer = runtime.ask("Who caught the swarm?")
    assert answer.version == 0 and "damaged" in answer.note


def test_a_blocked_version_is_not_served_even_when_it_is_loaded(
    runtime: Runtime, tmp_path: Path
) -> None:
    version = new_version(runtime, tmp_path, 62)
    promote(runtime.home, runtime.store, version)
    assert runtime.serve().version == version.number
    rows.set_status(runtime.store, version.number, "blocked", "a document was deleted")
    served = runtime.serve()
    assert served.version == 0 and "deleted" in served.note
    with pytest.raises(Refused):
        runtime.serve(version.number)
    with pytest.raises(NotFound):
        runtime.serve(999)


def test_an_adapter_of_another_base_is_not_served(runtime: Runtime, tmp_path: Path) -> None:
    version = new_version(runtime, tmp_path, 63)
    moved = replace(pointer.read(runtime.home), version=version.number, base_sha="0" * 64)
    pointer.write(runtime.home, moved)
    served = runtime.serve()
    assert served.version == 0 and "another base model" in served.note


# -- the exam of a base -------------------------------------------------------------------------


def test_the_exam_measures_reading_and_is_remembered(runtime: Runtime) -> None:
    steps: list[tuple[int, int]] = []
    found = runtime.examine(lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] == len(steps)
    assert found.examined and 0 <= found.reads <= 1
    assert found.reader > 0.5
    assert found.leads == (found.reads >= max(abilities.READS, found.reader))
    assert abilities.load(runtime.store, runtime.model.sha256) == found
    state.put(runtime.store, abilities.key(runtime.model.sha256), {})
    runtime.abilities = Abilities()


def test_the_exam_tells_a_reader_from_a_parrot_and_a_mute() -> None:
    class Perfect:
        def generate(self, messages: Any, **_: Any) -> str:
            body = messages[-1][1]
            for note, items in exam._NOTES:
                for question, gold in items:
                    if note in body and question in body:
                        return gold
            return "I don't know."

    class Parrot:
        def generate(self, messages: Any, **_: Any) -> str:
            return str(messages[-1][1])

    class Mute:
        def generate(self, messages: Any, **_: Any) -> str:
            return "I don't know."

    assert (exam.examine(Perfect()).reads, exam.examine(Perfect()).abstains) == (1.0, 1.0)
    assert exam.examine(Parrot()).reads < 0.3
    mute = exam.examine(Mute())
    assert (mute.reads, mute.abstains, mute.chats) == (0.0, 1.0, 0.0)


# -- the child process ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def child(filled: Home) -> Iterator[Child]:
    child = Child("nightschool.engine.main", [str(filled.root)], log=filled.logs / "engine.log")
    child.wait_ready(60)
    yield child
    child.stop()


def test_the_engine_child_answers_and_streams_what_it_answers(child: Child) -> None:
    messages = list(child.stream("ask", {"question": "Who caught the swarm?"}))
    answer = messages[-1]["result"]
    assert "".join(m["event"]["delta"] for m in messages[:-1]) == answer["text"]
    assert "Tomke" in answer["text"]
    assert answer["citations"][0]["locator"].startswith("bees.md")
    assert set(answer) == set(Answer.__dataclass_fields__)


def test_the_engine_child_chats_searches_embeds_and_scores(child: Child) -> None:
    chat = {"messages": [{"role": "user", "content": "Hello?"}], "mode": "raw", "max_tokens": 8}
    *events, last = list(child.stream("chat", {**chat, "temperature": 3.0, "seed": 4}))
    assert last["result"]["carried_by"] == "weights"
    assert 0 < len(events) <= 8
    hits = child.call("search", {"query": "honey harvest", "k": 3})
    assert len(hits) == 3 and hits[0]["locator"]["path"] == "bees.md"
    vectors = child.call("embed", {"texts": ["one", "two"]})
    assert vectors["dim"] == 384
    assert [sum(x * x for x in row) for row in vectors["vectors"]] == pytest.approx([1, 1], 1e-3)
    scored = child.call("nll", {"prompt": "The sky", "completion": " is blue"})
    assert scored["tokens"] > 0 and scored["nll"] > 0
    status = child.call("status")
    assert (status["model"], status["version"]) == ("starter", 0)


def test_the_engine_child_refuses_nonsense_and_goes_on(child: Child) -> None:
    for op, params in (
        ("ask", {"question": 7}),
        ("chat", {"messages": [{"role": "user"}]}),
        ("chat", {"messages": [["user", "x"]], "temperature": "hot"}),
        ("embed", {"texts": "one"}),
        ("ask", {"question": "x", "version": 4242}),
    ):
        with pytest.raises(UsageError):
            child.call(op, params)
    with pytest.raises(ChildError, match="Unknown operation"):
        child.call("sing")
    assert child.call("status")["model"] == "starter"


def test_a_cancelled_stream_stops_between_two_tokens(child: Child) -> None:
    params = {
        "messages": [["user", "Tell me everything."]],
        "mode": "raw",
        "max_tokens": 900,
        "temperature": 6.0,
        "seed": 2,
    }
    number = child.reserve()
    stream = child.stream("chat", params, number=number)
    assert "delta" in next(stream)["event"]
    child.cancel(number)
    with pytest.raises(Interrupted):
        list(stream)
    assert child.call("status")["model"] == "starter"


def test_the_engine_child_starts_fast_and_imports_no_tensor_library(filled: Home) -> None:
    begun = time.monotonic()
    child = Child("nightschool.engine.main", [str(filled.root)], log=filled.logs / "engine2.log")
    try:
        child.wait_ready(60)
        chat = {"messages": [["user", "Hello?"]], "mode": "raw", "temperature": 2.0, "seed": 1}
        stream = child.stream("chat", chat)
        assert "event" in next(stream)
        took = time.monotonic() - begun
        list(stream)
        child.call("ask", {"question": "Who caught the swarm?"})
        if sys.platform == "linux":
            maps = Path(f"/proc/{child.process.pid}/maps").read_text()
            found = set(re.findall(r"site-packages/(\w+)/", maps))
            assert "llama_cpp" in found
            heavy = {"torch", "transformers", "sentence_transformers", "pandas", "scipy"}
            assert not heavy & found
    finally:
        child.stop()
    # The promise is 2 s on an idle machine; a busy one is given more, a hang is still noticed.
    assert took < 10, took


def test_an_engine_whose_model_is_damaged_says_so_instead_of_starting(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(STARTER.read_bytes()[:50_000])
    home.config.write_text(f'model = "{bad.as_posix()}"\n')
    child = Child("nightschool.engine.main", [str(home.root)], log=home.logs / "engine.log")
    try:
        with pytest.raises(Exception, match="truncated") as caught:
            child.wait_ready(60)
        assert type(caught.value).__name__ == "ModelError"
    finally:
        child.stop()


def test_the_hash_of_the_starter_is_what_versions_are_bound_to(runtime: Runtime) -> None:
    store: Store = runtime.store
    assert runtime.status()["base_sha"] == file_sha256(store, STARTER)
