"""The HTTP door as real clients use it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from service_harness import Service, service, until

LONG = 5
"""With this seed the starter talks on until the limit of 900 tokens."""
NOTE = "# Boiler\n\nThe boiler was last serviced on 6 March 2025 by Oskar Brandreth.\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "Boiler.md").write_text(NOTE, encoding="utf-8")
    (folder / "Garden.md").write_text("# Garden\n\nThe pear tree stands by the east wall.\n")
    with service(environment={"NIGHTSCHOOL_FILES_SETTLE_S": "0.3"}) as running:
        running.watch(folder)
        yield running


@pytest.fixture
def client(door: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, timeout=120) as made:
        yield made


def test_the_openai_client_lists_the_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[:3] == ["nightschool", "nightschool:base", "nightschool-raw"]
    assert client.models.retrieve("nightschool:base").id == "nightschool:base"


def test_the_openai_client_gets_an_answer_with_citations(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(
        model="nightschool",
        messages=[{"role": "user", "content": "Who serviced the boiler?"}],
    )
    assert "Oskar Brandreth" in (done.choices[0].message.content or "")
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    extra = done.model_extra or {}
    assert extra["nightschool"]["citations"][0]["locator"].startswith("Boiler.md")


def test_a_stream_says_the_same_as_the_whole_answer(client: openai.OpenAI) -> None:
    asked = {"model": "nightschool-raw", "messages": [{"role": "user", "content": "Hello there"}]}
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    pieces = list(
        client.chat.completions.create(  # type: ignore[call-overload]
            **asked, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert text.strip() == whole.choices[0].message.content
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert [p.choices[0].finish_reason for p in pieces if p.choices][-1] in ("stop", "length")


def test_the_openai_client_gets_unit_vectors(client: openai.OpenAI) -> None:
    made = client.embeddings.create(model="nightschool", input=["boiler", "heating"])
    assert len(made.data) == 2
    for item in made.data:
        assert len(item.embedding) == 384
        assert abs(sum(x * x for x in item.embedding) - 1.0) < 1e-3
    plain = client.embeddings.create(model="nightschool", input="boiler", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(made.data[0].embedding, abs=1e-3)


def test_without_the_token_the_openai_client_is_told_so(door: Service) -> None:
    with (
        openai.OpenAI(base_url=f"{door.url}/v1", api_key="wrong", max_retries=0) as wrong,
        pytest.raises(openai.AuthenticationError),
    ):
        wrong.models.list()


@pytest.mark.parametrize("name", ["gpt-4", "nightschool:v99", "nightschool:", "nightschool:vx"])
def test_an_unknown_model_is_a_404_in_the_openai_shape(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model=name, messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"


def test_a_prompt_over_the_context_is_refused_with_the_limit(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="nightschool-raw", messages=[{"role": "user", "content": "word " * 4000}]
        )
    assert "the limit is 1023" in caught.value.message  # one of 1,024 is left for the answer


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"nonsense", b'{"query": NaN}', b'{"query": 1e999}', b"[" * 20_000, b"\xff\xfe",
     b'{"query": "a", "k": 0}', b'{"query": "a", "k": true}', b'{"query": ""}', b"{}",
     b'{"query": "a", "more": 1}', b'{"query": "\\ud800"}', b'{"query": null}'],
)  # fmt: skip
def test_a_malformed_body_is_a_400_in_words(door: Service, body: bytes) -> None:
    reply = door.request("POST", "/ns/search", raw=body)
    assert reply.status == 400
    assert reply.json["error"]["message"]


@pytest.mark.parametrize(
    "change",
    [{"messages": []}, {"messages": "hi"}, {"messages": [{"role": "x", "content": "y"}]},
     {"messages": [{"role": "user", "content": ""}]}, {"temperature": 3}, {"max_tokens": 0},
     {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, {"n": 2},
     {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
     {"stop": ["a"] * 5}, {"model": 3}, {"stream": "yes"}, {"tools": [{"type": "function"}]}],
)  # fmt: skip
def test_a_chat_request_that_makes_no_sense_is_a_400(
    door: Service, change: dict[str, object]
) -> None:
    good = {"model": "nightschool-raw", "messages": [{"role": "user", "content": "x"}]}
    assert door.request("POST", "/v1/chat/completions", {**good, **change}).status == 400


def test_get_with_a_wrong_query_is_a_400(door: Service) -> None:
    for query in ("limit=0", "limit=x", "limit=99999999999999999999", "status=no", "foo=1"):
        assert door.request("GET", f"/ns/files?{query}").status == 400
    assert door.request("GET", "/ns/runs/99999999999999").status == 404


def test_a_saved_file_is_found_changed_and_forgotten(door: Service, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    door.watch(folder)
    note = folder / "tide.md"
    note.write_text("The ferry Marigold leaves at a quarter past seven.\n")
    until(lambda: any("Marigold" in h["text"] for h in door.find("Marigold")), 30, "found")
    note.write_text("The ferry Hesperus leaves at a quarter past seven.\n")
    until(lambda: any("Hesperus" in h["text"] for h in door.find("Hesperus")), 30, "changed")
    assert not any("Marigold" in hit["text"] for hit in door.find("Marigold"))
    note.unlink()
    until(lambda: not any("Hesperus" in h["text"] for h in door.find("Hesperus")), 30, "gone")
    door.post("/ns/unwatch", {"path": str(folder)})
    assert str(folder) not in [root["path"] for root in door.get("/ns/watch")["roots"]]


def test_the_file_table_says_where_each_file_stands(door: Service) -> None:
    page = door.get("/ns/files?limit=1")
    assert page["total"] >= 2
    assert len(page["files"]) == 1
    assert {"path", "status", "reason", "chunks", "pairs", "root"} <= set(page["files"][0])


def test_openapi_describes_every_native_route_and_each_of_them_answers(door: Service) -> None:
    document = door.get("/ns/openapi.json")
    for path, methods in document["paths"].items():
        for method in methods:
            if path in ("/ns/stop", "/ns/learn"):
                continue
            reply = door.request(method.upper(), path.replace("{number}", "1"))
            assert reply.status not in (405, 500), (method, path)


def _ask_for_a_long_story(door: Service, wire: socket.socket) -> None:
    body = json.dumps(
        {"model": "nightschool-raw", "max_tokens": 900, "temperature": 2.0, "seed": LONG,
         "stream": True, "messages": [{"role": "user", "content": "Tell a long story"}]}
    ).encode()  # fmt: skip
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n"
        f"Authorization: Bearer {door.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    wire.sendall(head + body)
    assert b" 200 " in wire.recv(256)


def test_a_client_that_leaves_is_taken_out_of_the_engine(door: Service) -> None:
    answered = door.children()["engine"]["served"]
    with socket.create_connection(("127.0.0.1", door.port), 60) as wire:
        _ask_for_a_long_story(door, wire)
    until(lambda: door.children()["engine"]["state"] == "ready", 10, "the engine is free again")
    assert door.children()["engine"]["served"] == answered  # it never came to its end


def test_a_client_that_stops_reading_is_taken_out_of_the_engine(tmp_path: Path) -> None:
    program = (
        "from nightschool import config, paths\n"
        "from nightschool.daemon.app import Daemon\n"
        "home = paths.home().create()\n"
        "Daemon(home, config.load(home.config), stall_s=0.2).run()\n"
    )
    with service(arguments=("-c", program)) as own:
        own.post("/ns/ask", {"question": "Hi", "mode": "raw"})
        answered = own.children()["engine"]["served"]
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            wire.settimeout(60)
            wire.connect(("127.0.0.1", own.port))
            _ask_for_a_long_story(own, wire)
            until(lambda: own.children()["engine"]["state"] == "ready", 60, "it is free again")
            assert own.children()["engine"]["served"] == answered


def test_rollback_with_nothing_to_go_back_to_is_refused_in_words(door: Service) -> None:
    reply = door.request("POST", "/ns/rollback")
    assert reply.status == 409
    assert "base model" in reply.json["error"]["message"]


def test_the_page_asks_nobody_outside(door: Service) -> None:
    reply = door.request("GET", "/", token=None)
    assert "default-src 'self'" in reply.headers["content-security-policy"]
    for path in ("/", "/page/app.js", "/page/style.css"):
        text = door.request("GET", path, token=None).body.decode()
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
        assert "innerHTML" not in text
