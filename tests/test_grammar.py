"""Answers that follow a client's own GBNF, through the real engine; hostile grammars end as 400."""

from __future__ import annotations

import re
from collections.abc import Iterator

import openai
import pytest

from nightschool.engine import forms
from nightschool.errors import UsageError
from service_harness import Service, service

COLOUR = 'root ::= "The colour is " ("red" | "green" | "blue") "."'
HOSTILE = (
    "root ::= ", "root", "::=", "toor ::= \"a\"", "root ::= root \"a\"", "root ::= a\na ::= root",
    "root ::= undefined", 'root ::= "unclosed', "root ::= [z-", "root ::= (", "root ::= )",
    'root ::= "a"{99999999}', 'root ::= ("a"{900}){900}', "root ::= " + "(" * 500 + '"a"',
    'root ::= ((("a"?)*)*)*', 'root ::= "a"{5,2}', 'root ::= "\\xZZ"', "root ::= [\\x00-\\xff]{2}",
    'root ::= "' + "x" * 30_000 + '"', "root ::= ε", 'root ::= "a" | ', "# only a comment",
    'root ::= a\na ::= b\nb ::= a | "x"', "root ::= .", "root ::= .*", "\x00", '"', "{}",
    "root ::= {3}",
)  # fmt: skip


@pytest.fixture(scope="module")
def door() -> Iterator[Service]:
    with service() as running:
        yield running


def test_an_answer_follows_the_grammar_whole_and_streamed(door: Service) -> None:
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, timeout=60) as client:

        def ask(stream: bool = False, **more: object) -> str:
            done = client.chat.completions.create(  # type: ignore[call-overload]
                model="nightschool-raw", messages=[{"role": "user", "content": "Which colour?"}],
                max_tokens=40, stream=stream, extra_body={"grammar": COLOUR, **more},
            )  # fmt: skip
            if not stream:
                return str(done.choices[0].message.content)
            return "".join(p.choices[0].delta.content or "" for p in done if p.choices)

        assert re.fullmatch(r"The colour is (red|green|blue)\.", ask())
        assert ask(stream=True) == ask()
        written = client.completions.create(
            model="nightschool-raw", prompt="x", max_tokens=9,
            extra_body={"grammar": "root ::= [0-9]+"},
        )  # fmt: skip
        assert written.choices[0].text.isdigit()
        with pytest.raises(openai.BadRequestError, match="exclude each other"):
            ask(response_format={"type": "json_object"})


def test_hostile_grammars_are_refused_or_followed_and_the_engine_lives(door: Service) -> None:
    door.post("/ns/ask", {"question": "x", "mode": "raw"})
    before = door.children()["engine"]
    for grammar in HOSTILE:
        body = {"model": "nightschool-raw", "prompt": "x", "max_tokens": 4, "grammar": grammar}
        assert door.request("POST", "/v1/completions", body).status in (200, 400), grammar
    after = door.children()["engine"]
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)


def test_a_grammar_that_multiplies_its_repetitions_is_refused_before_llama_sees_it() -> None:
    for grammar in (
        'root ::= ("a"{60}){60}',
        'root ::= "a"{0,5000}',
        "root ::= " + "(" * 40,
        "x" * 20_001,
    ):
        with pytest.raises(UsageError, match="over"):
            forms.given(grammar)
    quoted = 'root ::= "{5,2}((((((((((((((((((((((((((((((" [(] # {5,2}'
    assert (forms.given(COLOUR), forms.given(quoted)) == (COLOUR, quoted)


def test_a_grammar_whose_readings_explode_is_refused_before_llama_sees_it() -> None:
    """Each of these kept llama.cpp busy for longer than anybody waited."""
    doubling = "\n".join(f'a{i} ::= a{i + 1} a{i + 1} | ""' for i in range(22))
    for grammar in (
        f'root ::= a0\n{doubling}\na22 ::= "a" | ""',
        'root ::= (("a"?){40}){40}',
        "root ::= " + " ".join('("a" | "b" | "")' for _ in range(300)),
        'root ::= (("a"?)*)*',
    ):
        with pytest.raises(UsageError, match="several ways"):
            forms.given(grammar)
    with pytest.raises(UsageError, match="several ways"):
        forms.schema({"type": "string", "pattern": "^" + "((a?)?)" * 15 + "$"})
    plain = 'root ::= item ("," ws item)*\nitem ::= [a-z]+ ws ("!" | "?")?\nws ::= [ \\t]*'
    assert forms.given(plain) == plain
    assert forms.schema({"type": "string", "pattern": "^[a-z]{2,5}-[0-9]+(x|y)?$"})


def test_what_repeats_from_more_to_less_never_reaches_llama() -> None:
    """llama.cpp counts `{5,2}` for ever, so one such request would stop the engine."""
    with pytest.raises(UsageError, match="from more to less"):
        forms.given('root ::= "a"{5,2}')
    for schema in (
        {"type": "array", "items": {"type": "integer"}, "minItems": 5, "maxItems": 2},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 9, "maxLength": 1}}},
        {"type": "string", "pattern": "^a{5,2}$"},
    ):
        with pytest.raises(UsageError, match=r"more to less|above"):
            forms.schema(schema)
