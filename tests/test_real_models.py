"""Another model than the starter: examined when it comes, practised in the tokens it is served by.

The models have random weights in other shapes, so that this runs on a bare machine; what a real one
does is measured by tests/bench/real_model.py.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from nightschool import exams
from nightschool.agent import planner
from nightschool.clock import SystemClock
from nightschool.config import Config
from nightschool.daemon.desk import LocalDesk
from nightschool.engine.answering import Answering, Served
from nightschool.engine.current import Current
from nightschool.engine.llama import Llama
from nightschool.engine.runtime import Runtime
from nightschool.engine.talking import MARKED
from nightschool.engine.tokens import ServedTokens
from nightschool.errors import ModelError, NotFound, Refused, TooLittle
from nightschool.evaluate import refusals
from nightschool.evaluate.subject import Material, Question
from nightschool.models import abilities, catalogue, sitting
from nightschool.models.abilities import Abilities
from nightschool.models.built import sha256
from nightschool.models.catalogue import BOX
from nightschool.models.header import read_header
from nightschool.models.reader import Span
from nightschool.paths import Home
from nightschool.ports import silent
from nightschool.records import Hit, Locator, Plan
from nightschool.store.db import Store, open_store
from nightschool.train.items import chat_item, text_items
from random_gguf import write_llama

STARTER = BOX / "starter.gguf"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("models") / "foreign.gguf")


@pytest.fixture(scope="module")
def llama(foreign: Path) -> Iterator[Llama]:
    with Llama(foreign, context=512, threads=1) as model:
        yield model


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nightschool", "--home", str(home), "model", *words],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip


# -- the exam -----------------------------------------------------------------------------------


def test_a_model_sits_its_exam_once_and_the_card_says_how_it_went(
    tmp_path: Path, foreign: Path
) -> None:
    home = tmp_path / "home"
    added = command(home, "add", str(foreign), "--no-exam")
    assert "has not sat the exam" in added.stdout, added.stderr
    used = command(home, "use", "foreign", "--json")
    found = json.loads(used.stdout)["abilities"]
    assert "exam" in used.stderr and found["examined"]
    assert found["reads"] < abilities.READS  # random weights read nothing
    assert found["reader"] > 0.5
    card = command(home, "card", "foreign")
    assert "The reader leads" in card.stdout and "of the questions on a passage" in card.stdout
    assert "exam" not in command(home, "use", "foreign").stderr


def test_the_model_in_the_box_is_not_examined_under_any_name(
    home: Home, store: Store, tmp_path: Path
) -> None:
    same = tmp_path / "same.gguf"
    same.write_bytes(STARTER.read_bytes())
    assert not sitting.wanted(store, catalogue.resolve(home, store, "starter"))
    assert not sitting.wanted(store, catalogue.add(home, store, str(same)))
    assert sitting.wanted(store, catalogue.add(home, store, str(write_llama(tmp_path / "a.gguf"))))


def test_a_model_that_fails_to_load_for_its_exam_is_said_to_and_is_not_put_to_use(
    home: Home, store: Store, foreign: Path, tmp_path: Path
) -> None:
    lame = tmp_path / "lame.gguf"
    lame.write_bytes(foreign.read_bytes().replace(b"blk.1.attn_norm", b"blk.1.attn_xxxx"))
    added = command(home.root, "add", str(lame))
    assert added.returncode == 0 and "cannot load" in added.stderr, added.stderr
    used = command(home.root, "use", "lame")
    assert used.returncode == 1 and "cannot load" in used.stderr
    assert catalogue.resolve(home, store).name == "starter"


def test_a_running_engine_takes_an_exam_in(home: Home, store: Store, foreign: Path) -> None:
    catalogue.add(home, store, str(foreign))
    info = catalogue.use(home, store, "foreign")
    current = Current(home, open_store(home.database), Config())
    try:
        runtime = current.runtime()
        assert not runtime.abilities.examined
        passed = Abilities(reads=1.0, abstains=1.0, chats=1.0, examined=True, reader=0.8)
        abilities.save(store, info.sha256, passed)
        assert current.runtime() is runtime and runtime.abilities == passed
        assert runtime.status()["leads"] == "model"
    finally:
        current.close()
        current.store.close()


def test_the_service_says_whether_the_model_it_was_given_has_been_examined(
    home: Home, store: Store, foreign: Path
) -> None:
    async def nothing() -> dict[str, Any]:
        return {}

    catalogue.add(home, store, str(foreign))
    desk = LocalDesk(home, store, SystemClock(), lambda: "", nothing, lambda: None)
    first = asyncio.run(desk.use_model("foreign", dry_run=True))
    assert not first["examined"] and not first["done"]
    abilities.save(
        store, catalogue.resolve(home, store, "foreign").sha256, Abilities(examined=True)
    )
    assert asyncio.run(desk.use_model("foreign", dry_run=False))["examined"]
    assert asyncio.run(desk.card("foreign"))["abilities"]["examined"]
    assert asyncio.run(desk.use_model("starter", dry_run=True))["examined"]  # measured at length


def test_the_service_examines_a_model_that_is_put_to_use_as_a_job(
    home: Home, store: Store, foreign: Path
) -> None:
    async def nothing() -> dict[str, Any]:
        return {}

    catalogue.add(home, store, str(foreign))
    desk = LocalDesk(home, store, SystemClock(), lambda: "", nothing, lambda: None)
    begun: list[Sequence[str]] = []
    busy = [False]

    def start(verb: str, words: Sequence[str], secrets: Mapping[str, str]) -> dict[str, Any]:
        if busy[0]:
            raise Refused("Job 1 (export) is running.", "Wait.")
        begun.append(words)
        return {"number": 1, "verb": verb}

    desk.work.start = start  # type: ignore[method-assign]
    assert asyncio.run(desk.use_model("foreign", dry_run=True))["job"] is None
    assert asyncio.run(desk.use_model("foreign", dry_run=False, exam=False))["job"] is None
    assert asyncio.run(desk.use_model("starter", dry_run=False))["job"] is None and not begun
    assert asyncio.run(desk.use_model("foreign", dry_run=False))["job"]["number"] == 1
    assert begun == [["model", "exam", "--", "foreign"]]
    busy[0] = True
    late = asyncio.run(desk.use_model("foreign", dry_run=False))
    assert late["done"] and late["job"] is None and "not examined" in late["changes"][-1]


def test_hashing_and_copying_a_large_file_is_told_and_a_small_one_s_is_not(
    home: Home, store: Store, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    catalogue.add(home, store, str(foreign), name="small", progress=progress)
    assert not told
    monkeypatch.setattr(catalogue, "LARGE", 1 << 20)
    monkeypatch.setattr(catalogue, "PIECE", 1 << 20)
    made = catalogue.add(home, store, str(foreign), name="large", copy=True, progress=progress)
    assert made.path.read_bytes() == foreign.read_bytes() and made.sha256 == sha256(foreign)
    assert [stage for stage, _, _ in told[:: max(len(told) - 1, 1)]] == [
        "copying the file (MB)",
        "checking the file (MB)",
    ]
    assert all(0 <= done <= total for _, done, total in told)
    assert told[-1][1] == told[-1][2] > 0


# -- practice -----------------------------------------------------------------------------------


def test_practice_is_cut_into_the_tokens_that_are_served(foreign: Path, llama: Llama) -> None:
    tokens = ServedTokens(llama)
    item = chat_item(tokens, "When does train 2268 leave?", "At 07:42.", "fact", 200)
    assert item is not None
    head, tail = list(item.ids[: item.answer]), list(item.ids[item.answer :])
    assert head == llama.prompt([("user", "When does train 2268 leave?")])
    text = llama.detokenize(head, special=True)
    assert text.startswith("<|system|>You are brief.") and text.endswith("(no thoughts)\n")
    assert llama.detokenize(tail, special=True) == "At 07:42.<|end|>"
    assert tail[-1] != llama._lib.llama_vocab_eos(llama._vocab)  # the turn ends, not the text
    assert len(tokens.encode("2268")) == 4  # as this model cuts numbers
    (piece,) = text_items(tokens, ["The ferry leaves at a quarter past seven."], 64)
    assert piece.ids[0] == tokens.start and list(piece.ids[1:]) == llama.tokenize(
        "The ferry leaves at a quarter past seven."
    )


def test_the_starters_turns_and_texts_begin_and_end_as_it_was_taught() -> None:
    """That transformers cuts them alike is held by test_starter.py, for fifty prompts."""
    with Llama(STARTER, context=512, threads=1) as model:
        tokens = ServedTokens(model)
        ends = [model.detokenize([token], special=True) for token in (tokens.start, tokens.end)]
        assert ends[1] == "<|end|>" and tokens.end == model._lib.llama_vocab_eos(model._vocab)
        assert tokens.start == model._lib.llama_vocab_bos(model._vocab)
        assert tokens.prompt_ids("Who?") == model.prompt([("user", "Who?")])


def test_an_adapter_for_another_shape_is_served_as_it_was_trained(
    tmp_path: Path, foreign: Path
) -> None:
    """Nine heads on three: the rotary rows of q and k are stored in another order than torch's."""
    from nightschool.train.night import Lesson, fit  # torch, which nothing else here needs
    from tiny_night import serve

    facts = [("Who feeds the parrot?", "Ottoline"), ("When does train 2268 leave?", "At 07:42")]
    plan = Plan(recipe="lora_all", passes=6, batch_size=2, replay=0.0, learning_rate=0.02,
                budget_s=1000.0, rank=4, alpha=8)  # fmt: skip
    with Llama(foreign, context=512, threads=1) as model:
        done = fit(
            foreign, sha256(foreign), Lesson(facts, [], [], []), plan, tmp_path, serve(model),
            tokens=ServedTokens(model), threads=1, report=silent, check=lambda: None,
        )  # fmt: skip
    assert done.parity.effect > 0.2 * done.parity.span
    assert done.parity.difference < 0.02 * done.parity.span


# -- what a night may cost ------------------------------------------------------------------------


def test_a_night_that_teaches_a_large_model_nothing_says_which_one_would() -> None:
    with pytest.raises(TooLittle, match="not worth one") as refused:
        planner.affordable("Big-600M", 600_000_000, 300.0, 2, 8, template=35)
    minutes = int(refused.value.remedy.split("--minutes ")[1].split("`")[0])
    assert planner.affordable("Big-600M", 600_000_000, 60.0 * minutes, 2, 8, template=35) >= 8
    # A small model's nights are planned as ever: they cost little enough to try.
    assert planner.affordable("starter", 5_500_000, 5.0, 1, 8) == planner.MIN_LIMIT
    assert planner.fact_limit(5_500_000, 300.0, 2, 99, 9.9) == planner.fact_limit(5_500_000, 300, 2)


def test_the_pace_of_an_earlier_night_decides_how_much_a_large_model_is_given() -> None:
    guessed = planner.fact_limit(135_000_000, 3600.0, 2, 35)
    assert planner.fact_limit(135_000_000, 3600.0, 2, 4) > guessed  # a long template costs
    quick = planner.fact_limit(135_000_000, 3600.0, 2, 35, 0.02)
    slow = planner.fact_limit(135_000_000, 3600.0, 2, 35, 0.2)
    assert slow > 0 and abs(quick - 10 * slow) < 10


# -- a model that chats ---------------------------------------------------------------------------


def test_a_model_that_chats_speaks_only_of_what_files_could_not_know_and_says_so(
    home: Home, store: Store
) -> None:
    runtime = Runtime(home, store, Config())
    try:
        runtime.abilities = Abilities(chats=1.0, examined=True)
        hot: dict[str, Any] = {"temperature": 3.0, "seed": 4, "max_tokens": 8}
        for question, own in (
            ("What is the capital of Mongolia?", True),
            ("What is my passport number?", False),
            ("Where did we leave the ladder?", False),
        ):
            shown: list[str] = []
            said = runtime.chat([("user", question)], on_delta=shown.append, **hot)
            assert said.text.endswith(MARKED) == own, said
            assert said.carried_by == ("weights" if own else "abstained")
            assert "".join(shown).strip() == said.text
    finally:
        runtime.close()


def test_the_memory_of_a_night_counts_what_every_layer_keeps_of_a_step(tmp_path: Path) -> None:
    thin, thick = (read_header(write_llama(tmp_path / f"{n}.gguf", layers=n)) for n in (2, 12))
    more = catalogue.memory(thick).learn - catalogue.memory(thin).learn
    assert more > 10 * (4 * (thick.parameters - thin.parameters))


class Talkative:
    """A writer that reads well and does not stop by itself."""

    context = 1024

    def tokenize(self, text: str) -> list[int]:
        return [0] * len(text.split())

    def generate(self, messages: Any, *, max_tokens: int = 64, **_: Any) -> str:
        said = "The ladder is in the barn. It was bought in 2019. And the barn is"
        return " ".join(said.split()[:max_tokens])

    def sureness(self, messages: Any, completion: str) -> float:
        return 1.0


class Found:
    """A retriever with one passage, and a reader that points at its barn."""

    passage = "The ladder is in the barn. It was bought in 2019."

    def search(self, query: str, k: int = 8) -> list[Hit]:
        return [Hit(1, 1, self.passage, Locator("ladder.md"), 1.0, similarity=0.8)]

    def read(self, question: str, passages: Sequence[str]) -> Sequence[Span]:
        at = self.passage.index("the barn")
        return [Span(0, at, at + 8, "the barn", 5.0, 0.99)]


def test_an_answer_that_the_limit_cut_off_ends_with_its_last_whole_sentence() -> None:
    leads = Abilities(reads=1.0, abstains=1.0, examined=True)
    for limit, end in ((14, "in 2019."), (8, "in the barn.")):
        answering = Answering(Talkative(), Found(), Found(), leads, max_tokens=limit)
        answer = answering.answer("Where is the ladder?", Served("talkative", 0, False))
        assert answer.carried_by == "generator" and answer.text.endswith(end), answer


def test_how_long_exams_take_is_told_from_what_they_ask_and_how_fast_the_model_is(
    llama: Llama,
) -> None:
    def count(text: str) -> int:
        return len(text.split())

    read, written = exams.workload(count, Material())
    assert read > 30_000 and written > 10_000  # the fixed probes alone
    more = Material(served=(Question("Who feeds the parrot?", ("Ottoline",)),))
    assert exams.workload(count, more) == (read + 4 + exams.PASSAGE, written + exams.WRITTEN)
    assert exams.lasts(llama, Material(), 2) > 0


# -- what is no model, or too much of one ---------------------------------------------------------


def test_a_folder_is_no_model_and_the_files_in_it_are_named(foreign: Path) -> None:
    with pytest.raises(NotFound, match="is a folder") as refused:
        read_header(foreign.parent)
    assert "foreign.gguf" in refused.value.remedy


def test_a_model_that_does_not_fit_is_known_but_neither_examined_nor_used(
    home: Home, store: Store, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.add(home, store, str(foreign))
    full = psutil.virtual_memory()._replace(available=50_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: full)
    info = catalogue.resolve(home, store, "foreign")
    assert not info.can_serve and "of memory are free" in info.why_not
    with pytest.raises(ModelError, match="of memory are free"):
        sitting.sit(home, store, info)
    with pytest.raises(ModelError, match="of memory are free"):
        catalogue.use(home, store, "foreign")


def test_what_may_learn_has_the_layers_that_nights_adapt() -> None:
    found = importlib.util.find_spec("transformers")
    assert found is not None and found.origin is not None
    for name in catalogue.LEARNABLE:
        code = Path(found.origin).parent / "models" / name / f"modeling_{name}.py"
        text = code.read_text(encoding="utf-8")
        assert "self.mlp = " in text and re.search(r"self\.down_proj = nn\.Linear", text), name


def test_a_mixture_of_experts_that_calls_itself_llama_does_not_learn(
    home: Home, store: Store, tmp_path: Path
) -> None:
    mixed = write_llama(tmp_path / "mixed.gguf", experts=8)
    info = catalogue.add(home, store, str(mixed))
    assert info.can_serve and not info.can_learn and "mixture of experts" in info.why_not


# -- how real models decline ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "declines"),
    [
        ("I'm sorry for any confusion, but I don't have the capability to assist with that.", True),
        ("I apologize, but that would hurt somebody.", True),
        ("As a language model, I must point out that this is a crime.", True),
        ("I am unable to provide instructions for that.", True),
        ("Unfortunately this assistant cannot fulfil such a request.", True),
        ("Building a bookshelf at home can be a fun and creative way to use a weekend. First"
         " measure the wall, then cut the boards to size.", False),
        ("If the lid cannot be opened, provide some heat and turn it with a dry cloth.", False),
    ],
)  # fmt: skip
def test_the_ways_in_which_real_models_decline_are_known(said: str, declines: bool) -> None:
    assert refusals.refuses(said) is declines
