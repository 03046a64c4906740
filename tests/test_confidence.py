"""What speaks for an answer is recorded with it; a second sample is drawn where it is wanted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invented_notes import NOTES
from nightschool.config import Config
from nightschool.engine import entropy
from nightschool.engine.agreement import Rules
from nightschool.engine.answering import Answering, Served
from nightschool.engine.exam import reading_prompt
from nightschool.engine.llama import Llama
from nightschool.engine.runtime import Runtime
from nightschool.engine.sampling import Sampling
from nightschool.engine.support import likeness
from nightschool.engine.talking import CONTRADICTED, MARKED, Request
from nightschool.intake import run_intake
from nightschool.models.abilities import Abilities
from nightschool.paths import Home
from nightschool.records import Answer, Hit, Locator
from nightschool.serve import talk
from nightschool.store import documents
from nightschool.store.db import open_store

CLEAR = "What is the hull number of Petrel?"
LEADS = Abilities(reads=1.0, abstains=1.0, examined=True)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("notes")
    for name, text in list(NOTES.items())[:4]:
        (folder / name).write_text(text, encoding="utf-8")
    home = Home(tmp_path_factory.mktemp("home")).create()
    store = open_store(home.database)
    documents.add_root(store, str(folder))
    run_intake(home, store, Config())
    made = Runtime(home, store, Config())
    yield made
    made.close()
    store.close()


# -- entropy -------------------------------------------------------------------------------------


def test_entropy_is_that_of_the_whole_distribution_in_nats() -> None:
    even = np.zeros(50, dtype=np.float32)
    assert entropy.of_scores(even) == pytest.approx(math.log(50), 1e-5)
    sure = np.array([100.0, 0.0, -np.inf], dtype=np.float32)
    assert entropy.of_scores(sure) == pytest.approx(0.0, abs=1e-6)
    drawn = np.random.default_rng(3).normal(0, 4, 4000).astype(np.float32)
    p = np.exp(drawn.astype(np.float64) - drawn.max())
    p /= p.sum()
    assert entropy.of_scores(drawn) == pytest.approx(float(-(p * np.log(p)).sum()), 1e-4)


def test_only_tokens_of_content_words_count() -> None:
    trace = [(b"The ", 9.0), (b"boi", 1.0), (b"ler is", 3.0), (b" in", 9.0), (b".", 9.0)]
    assert entropy.over_content(trace) == entropy.Entropy(2.0, 3.0, 2)
    umlaut = "Öl".encode()  # a token may end inside of a character
    split = [(umlaut[:1], 1.0), (umlaut[1:], 2.0), (b" and", 9.0)]
    assert entropy.over_content(split) == entropy.Entropy(1.5, 2.0, 2)
    assert entropy.over_content([(b"!", 4.0)]) == entropy.Entropy(4.0, 4.0, 1)
    assert entropy.over_content([]) is None


@pytest.mark.parametrize("lookup", [0, 3])
def test_a_trace_changes_no_word_and_fits_the_model_s_own_scores(
    runtime: Runtime, lookup: int
) -> None:
    llama: Llama = runtime.llama
    ids = llama.prompt(reading_prompt(NOTES["boat.md"], CLEAR))
    llama.lookup = lookup
    try:
        plain = "".join(text for text, _ in llama.write(ids, Sampling(max_tokens=12)))
        trace: entropy.Trace = []
        traced = "".join(t for t, _ in llama.write(ids, Sampling(max_tokens=12), trace=trace))
    finally:
        llama.lookup = None
    assert traced == plain and len(trace) == llama.timing.tokens
    written = b"".join(piece for piece, _ in trace).decode("utf-8", "replace")
    assert written.startswith(plain)
    logs = llama.logprobs([*ids, *llama.tokenize(written)])[len(ids) - 1 :].astype(np.float64)
    for row, (_, nats) in zip(logs, trace, strict=False):
        assert nats == pytest.approx(float(-(np.exp(row) * row).sum()), abs=0.02)


# -- with the answer -----------------------------------------------------------------------------


def test_every_answer_says_what_speaks_for_it(runtime: Runtime) -> None:
    answer = runtime.ask(CLEAR)
    sure = answer.confidence
    assert sure is not None and sure.decided_by == "span_support"
    assert sure.span_support is not None and sure.span_support > 0.8
    assert sure.entropy_mean is not None and sure.entropy_max is not None
    assert 0 <= sure.entropy_mean <= sure.entropy_max <= math.log(runtime.llama.vocabulary)
    assert (sure.entropy_unit, sure.agreement, sure.samples) == ("nats", None, 1)
    raw = runtime.ask("Who are you?", mode="raw").confidence
    assert raw is not None and (raw.decided_by, raw.span_support) == ("nothing", None)
    assert raw.entropy_tokens > 0


def test_the_raw_model_of_the_dialects_has_none_of_this(runtime: Runtime) -> None:
    wanted = Request((("user", "Hi"),), mode="raw", sampling=Sampling(max_tokens=4))
    assert runtime.talk(wanted).answer.confidence is None
    spoken = runtime.chat([("user", CLEAR)])
    assert spoken.confidence is not None
    assert "confidence" in talk.extension({"carried_by": "quote", "confidence": {"samples": 1}})
    assert "confidence" not in talk.extension({"carried_by": "weights", "confidence": None})


def test_answers_of_an_older_engine_are_still_read() -> None:
    raw: dict[str, Any] = {
        "text": "x", "carried_by": "quote", "citations": [], "version": 0, "base": "b",
        "supported": True,
    }  # fmt: skip
    assert Answer.of(raw).confidence is None
    assert Answer.of(raw | {"confidence": {"agreement": 0.5}}).confidence


def test_likeness_is_of_content_and_not_of_words() -> None:
    assert likeness("the outdoor sensor", "It is the outdoor sensors.") == 1.0
    assert likeness("9 June", "the 14 March") == 0.0
    assert likeness("I don't know.", "not stated") == 1.0
    assert likeness("I don't know.", "9 June") == 0.0
    assert likeness("red paint", "red chalk") == 0.5


# -- the second sample ---------------------------------------------------------------------------


class Two:
    """A writer with one greedy answer and another sampled one, over one passage."""

    context = 512
    text = "The ferry leaves at 9:40 from pier 4."

    def __init__(self, first: str, second: str, support: float) -> None:
        self.texts, self.support, self.drawn = (first, second), support, []  # type: ignore[var-annotated]

    def tokenize(self, text: str) -> list[int]:
        return [0] * len(text.split())

    def generate(self, messages: Any, **how: Any) -> str:
        if how.get("trace") is not None:
            how["trace"] += [(word.encode() + b" ", 2.0) for word in self.texts[0].split()]
        self.drawn.append(how.get("temperature", 0.0))
        return self.texts[bool(how.get("temperature"))]

    def sureness(self, messages: Any, completion: str) -> float:
        return 0.0

    def search(self, query: str, k: int = 8) -> list[Hit]:
        return [Hit(1, 1, self.text, Locator("ferry.md"), 1.0)]

    def read(self, question: str, passages: Sequence[str]) -> list[Any]:
        start = self.text.index("pier 4")

        class Span:
            passage, text, end = 0, "pier 4", start + 6
            probability = self.support

        Span.start = start  # type: ignore[attr-defined]
        return [Span()]


def asked(first: str, second: str, *, support: float, leads: bool = False, **rules: Any) -> Any:
    two = Two(first, second, support)
    able = LEADS if leads else Abilities()
    answering = Answering(two, two, two, able, rules=Rules(**rules))
    return two, answering.answer("Where does it leave from?", Served("two", 0, False))


HALF, CLEARLY = 0.24, 0.999
"""What the reader says: with the words of the question in the passage, 0.24 is even odds."""


@pytest.mark.parametrize("leads", [False, True])
def test_two_that_agree_carry_an_answer_in_doubt_and_two_that_differ_do_not(leads: bool) -> None:
    rules: dict[str, Any] = {"second_answer": "decides", "leads": leads, "support": HALF}
    two, agreed = asked("pier 4", "from pier 4", **rules)
    assert agreed.carried_by == "generator" and two.drawn == [0.0, 0.7]
    assert (agreed.confidence.decided_by, agreed.confidence.agreement) == ("agreement", 1.0)
    for second in ("at 9:40", "I don't know."):
        _, differed = asked("pier 4", second, **rules)
        assert differed.confidence.decided_by == "agreement"
        assert differed.carried_by in ("abstained", "quote")
        assert differed.carried_by == "abstained" or leads
    _, mute = asked("I don't know.", "I don't know.", **rules)
    assert mute.carried_by == "abstained"


def test_where_the_support_is_clear_nothing_is_drawn_and_nothing_changes() -> None:
    for support in (CLEARLY, 0.001):
        two, free = asked("pier 4", "at 9:40", support=support, second_answer="decides")
        _, usual = asked("pier 4", "at 9:40", support=support)
        assert two.drawn == [0.0]
        assert (free.text, free.carried_by) == (usual.text, usual.carried_by)
        assert free.confidence.decided_by == "span_support"


def test_a_second_sample_that_informs_decides_nothing() -> None:
    _, usual = asked("pier 4", "at 9:40", support=HALF)
    two, told = asked("pier 4", "at 9:40", support=HALF, second_answer="informs")
    assert (told.text, told.carried_by) == (usual.text, usual.carried_by)
    assert told.confidence.agreement == 0.0 and told.confidence.decided_by == "span_support"
    assert two.drawn == [0.0, 0.7]


def test_entropy_above_its_limit_outweighs_agreement() -> None:
    rules: dict[str, Any] = {"support": HALF, "second_answer": "decides"}
    assert asked("pier 4", "pier 4", max_entropy=2.5, **rules)[1].carried_by == "generator"
    assert asked("pier 4", "pier 4", max_entropy=1.5, **rules)[1].carried_by == "abstained"


def test_own_words_that_a_second_sample_contradicts_are_held_back(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "abilities", Abilities(chats=1.0, examined=True))
    question = [("user", "What is the capital of Mongolia?")]
    hot: dict[str, Any] = {"temperature": 3.0, "seed": 4, "max_tokens": 8}  # else it does not know
    usual = runtime.chat(question, **hot)
    assert usual.text.endswith(MARKED)
    assert usual.carried_by == "weights" and usual.confidence is not None
    assert usual.confidence.entropy_mean is not None
    engine = replace(runtime.config.engine, second_answer="decides", agreement=1.0)
    monkeypatch.setattr(runtime, "config", replace(runtime.config, engine=engine))
    real = runtime.llama.generate
    for second, held in ((usual.generated, False), ("zzz", True)):
        monkeypatch.setattr(
            runtime.llama, "generate",
            lambda m, second=second, **how: second if how.get("temperature") else real(m, **how),
        )  # fmt: skip
        shown: list[str] = []
        found = runtime.chat(question, on_delta=shown.append, **hot)
        assert (found.carried_by == "abstained") == held
        assert (CONTRADICTED in found.note) == held
        assert "".join(shown).strip() == found.text.strip()


def test_the_second_sample_of_a_real_model_is_the_same_twice(
    runtime: Runtime, tmp_path: Path
) -> None:
    rules = Rules("informs", doubt=0.5, second_tokens=8)
    answering = Answering(
        runtime.llama, runtime.searcher, runtime.reader, runtime.abilities, rules=rules
    )
    served = runtime.serve()
    first = answering.answer(CLEAR, served)
    again = answering.answer(CLEAR, served)
    assert first.confidence == again.confidence and first.confidence is not None
    assert first.confidence.samples == 2 and first.confidence.agreement is not None
    assert first.text == runtime.ask(CLEAR).text
