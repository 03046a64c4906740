"""Evaluated prompts are kept and brought back: sooner, and equal to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lora_files import write_lora
from nightschool.engine.llama import BLOCK, Llama
from nightschool.engine.prefixes import Prefix, Prefixes
from nightschool.engine.room import LEAST, MOST, plan, token_bytes
from nightschool.engine.sampling import Sampling, looked_up
from nightschool.errors import ModelError, UsageError
from nightschool.models.catalogue import BOX, SERVE_EXTRA
from nightschool.models.header import read_header

STARTER = BOX / "starter.gguf"
BOILER = "The boiler in the cellar was serviced by Anna Brandt on 3 May 2024. " * 18
FERRY = "The ferry Marigold leaves the western pier at a quarter past seven. " * 18


@pytest.fixture(scope="module")
def shared() -> Iterator[Llama]:
    with Llama(STARTER, threads=1) as llama:
        yield llama


@pytest.fixture
def llama(shared: Llama) -> Llama:
    shared.activate(None)
    shared.forget()
    shared.lookup = None
    return shared


def ask(document: str, question: str) -> list[tuple[str, str]]:
    return [("user", f"Context:\n{document}\n\nQuestion: {question}")]


def scores(llama: Llama, chat: list[tuple[str, str]]) -> np.ndarray:
    assert llama._prefill(llama.prompt(chat), lambda: False)
    return llama._scores(-1).copy()


def test_a_document_is_read_once_although_others_are_asked_about_in_between(llama: Llama) -> None:
    asked = ask(BOILER, "When was it?")
    fresh = scores(llama, asked)
    llama.forget()
    llama.generate(ask(BOILER, "Who serviced it?"), max_tokens=8)
    assert llama.timing.cached == 0
    llama.generate(ask(FERRY, "When does it leave?"), max_tokens=8)
    assert llama.timing.cached == 0
    llama.generate(ask(BOILER, "Where is it?"), max_tokens=8)
    assert llama.timing.cached >= 2 * BLOCK
    llama.generate(ask(FERRY, "From where?"), max_tokens=8)
    assert llama.timing.cached >= 2 * BLOCK
    assert np.array_equal(scores(llama, asked), fresh)
    assert llama.reused >= 2 * BLOCK


def test_no_prefix_crosses_from_one_adapter_to_another(llama: Llama, tmp_path: Path) -> None:
    asked = ask(BOILER, "Who?")
    a = llama.adapter(write_lora(tmp_path / "a.gguf", STARTER, seed=1, strength=0.2))
    b = llama.adapter(write_lora(tmp_path / "b.gguf", STARTER, seed=2, strength=0.2))
    states = [(None, 1.0), (a, 1.0), (b, 1.0), (a, 0.5)]
    fresh = []
    for adapter, scale in states:
        llama.activate(adapter, scale)
        llama.forget()
        fresh.append(scores(llama, asked))
    llama.forget()
    for turn in range(3):
        for (adapter, scale), wanted in zip(states, fresh, strict=True):
            llama.activate(adapter, scale)
            llama.nll("Something else", " that takes the place")
            assert np.array_equal(scores(llama, asked), wanted)
            assert (llama.reused > 0) == (turn > 0)


def test_forgetting_keeps_nothing(llama: Llama) -> None:
    llama.generate(ask(BOILER, "Who?"), max_tokens=2)
    llama.generate(ask(FERRY, "Who?"), max_tokens=2)
    assert len(llama.prefixes) == 1
    llama.forget()
    assert len(llama.prefixes) == 0 and llama.prefixes.bytes == 0
    llama.generate(ask(BOILER, "Who?"), max_tokens=2)
    assert llama.timing.cached == 0


def test_the_store_of_prefixes_keeps_its_budget_and_the_longest() -> None:
    store = Prefixes(budget=100, block=2)
    one, two = ("", 1.0), ("adapter", 1.0)
    store.keep(Prefix(one, (1, 2, 3, 4), "a", 40))
    store.keep(Prefix(two, (1, 2, 3, 4), "b", 40))
    assert store.find(one, [1, 2, 3, 9])[1] == 2
    assert store.find(two, [1, 2, 3, 4, 5])[0].state == "b"  # type: ignore[union-attr]
    assert store.find(("other", 1.0), [1, 2]) == (None, 0)
    store.keep(Prefix(two, (1, 2, 3, 4, 5, 6), "c", 50))  # holds the shorter one
    assert len(store) == 2 and store.has(two, (1, 2, 3, 4))
    store.keep(Prefix(one, (7, 8), "d", 30))  # the oldest makes room
    assert not store.has(one, (1, 2)) and store.bytes <= 100
    store.keep(Prefix(one, (9, 9), "e", 1000))
    assert not store.has(one, (9, 9))


# -- guessing ------------------------------------------------------------------------------------


def test_guessing_from_the_prompt_changes_no_word(llama: Llama) -> None:
    chats = [ask(BOILER, "Who?"), ask(FERRY, "When?"), [("user", "1 2 3 4 5 1 2 3 4 5 1 2")]]
    for chat in chats:
        llama.lookup = 0
        plain = llama.generate(chat, max_tokens=60)
        for guesses in (2, 6):
            llama.lookup = guesses
            assert llama.generate(chat, max_tokens=60) == plain
    copying = "a b c d e f g h " * 12
    llama.lookup = 0
    plain = "".join(llama.stream(copying, max_tokens=40))
    llama.lookup = 6
    assert "".join(llama.stream(copying, max_tokens=40)) == plain
    assert llama.timing.tokens <= 40


def test_what_followed_the_last_words_before_is_guessed() -> None:
    assert looked_up([1, 2, 3, 4, 5, 1, 2, 3], 2) == [4, 5]
    assert looked_up([7, 1, 2, 9, 8, 1, 2], 3) == [9, 8, 1]
    assert looked_up([1, 2, 3], 4) == []
    assert looked_up([], 4) == []


# -- grammar, and what is refused ----------------------------------------------------------------


def test_a_grammar_is_followed_and_a_broken_one_refused(llama: Llama) -> None:
    def write(grammar: str, **more: object) -> str:
        wanted = Sampling(max_tokens=12, grammar=grammar, **more)  # type: ignore[arg-type]
        ids = llama.prompt([("user", "Yes or no?")])
        return "".join(text for text, _ in llama.write(ids, wanted))

    assert write('root ::= "yes" | "no"') in ("yes", "no")
    assert write('root ::= "ß" | "東"', temperature=3.0, seed=4) in ("ß", "東")
    for broken in ("root ::= (", "rot ::= x", 'root ::= missing "a"'):
        with pytest.raises(UsageError, match="grammar"):
            write(broken)
    assert llama.generate([("user", "Hi")], max_tokens=2) is not None


# -- room ----------------------------------------------------------------------------------------


def test_context_and_cache_follow_the_memory() -> None:
    header = read_header(STARTER)
    each = token_bytes(header)
    assert each == 2 * 2 * header.number("block_count") * header.number(
        "attention.head_count_kv"
    ) * (header.number("embedding_length") // header.number("attention.head_count"))
    weights = header.size + SERVE_EXTRA
    roomy = plan(header, wanted=0, trained=40_960, free=64 << 30)
    assert (roomy.context, roomy.cache) == (MOST, "f16")
    assert plan(header, wanted=0, trained=1024, free=64 << 30).context == 1024
    tight = plan(header, wanted=4096, trained=40_960, free=weights + int(4096 * each * 1.4))
    assert (tight.context, tight.cache) == (4096, "q8_0")
    small = plan(header, wanted=0, trained=40_960, free=weights + LEAST * each * 2)
    assert LEAST <= small.context < MOST and small.cache == "q8_0"
    with pytest.raises(ModelError, match="do not fit"):
        plan(header, wanted=0, trained=40_960, free=weights + 10)
    with pytest.raises(ModelError, match=r"Lower engine\.context|even in Q8_0"):
        plan(header, wanted=4096, trained=40_960, free=weights + 4096)


def test_a_quantised_cache_writes_nearly_the_same_scores(
    llama: Llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = ask(BOILER, "Who?")
    exact = scores(llama, chat)
    header = read_header(STARTER)
    import nightschool.engine.context as context

    free = header.size + SERVE_EXTRA + int(1024 * token_bytes(header) * 1.4)
    real = plan
    monkeypatch.setattr(context, "plan", lambda *a, **k: real(*a, **k | {"free": free}))
    with Llama(STARTER, threads=1) as small:
        assert small.room.cache == "q8_0"
        near = scores(small, chat)
    assert int(near.argmax()) == int(exact.argmax())
    assert np.abs(near - exact).max() < 0.5
