"""Security goals G2, G3, G4, G6 and G7 at the door: every mounted route, with case counts.

Each goal has its deliberate break at the end: without the defence, its test would fail.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from asgi import HOST, PORT, TOKEN, Answer, Door, Untouchable, bearer, good, play
from nightschool.errors import UsageError
from nightschool.serve import guard
from nightschool.serve.app import PUBLIC

HOSTS = [
    b"", b"evil.example", b"evil.example:7411", b"127.0.0.1", b"localhost", b"[::1]",
    b"127.0.0.1:7412", b"localhost:80", b"0.0.0.0:7411", b"[::]:7411", b"127.0.0.1:7411.evil.com",
    b"127.0.0.1:7411@evil.com", b"evil.com@127.0.0.1:7411", b"localhost.:7411", b"LOCALHOST:7411",
    b"LocalHost:7411", b"localhost:7411 ", b" localhost:7411", b"localhost:07411", b"127.1:7411",
    b"2130706433:7411", b"0x7f.1:7411", b"127.0.0.1:+7411", b"[::1]:7411x",
    b"[::ffff:127.0.0.1]:7411", b"::1:7411", b"localhost:99.evil.com",
    b"http://127.0.0.1:7411", b"127.0.0.1:7411,evil.com",
    b"127.0.0.1:7411\t", b"localhost:7411/", b"127.0.0.1:7411#", b"nightschool.local:7411",
]  # fmt: skip
ORIGINS = [
    b"", b"null", b"file://", b"http://evil.example", b"http://localhost:5173",
    b"https://127.0.0.1:7411", b"http://localhost:7411", b"http://127.0.0.1:7411.evil.com",
    b"http://127.0.0.1", b"http://127.0.0.1:7411/", b"HTTP://127.0.0.1:7411",
    b"chrome-extension://abcdef", b"http://[::1]:7411", b"app://obsidian.md",
]  # fmt: skip
TOKENS: dict[str, list[tuple[bytes, bytes]]] = {
    "none": [],
    "wrong": [bearer("x" * 43)],
    "short": [bearer(TOKEN[:20])],
    "longer": [bearer(TOKEN + "t")],
    "upper": [bearer(TOKEN.upper())],
    "basic": [(b"authorization", b"Basic " + TOKEN.encode())],
    "bare": [(b"authorization", TOKEN.encode())],
    "cookie": [(b"cookie", b"token=" + TOKEN.encode())],
    "header": [(b"x-api-key", TOKEN.encode())],
    "twice": [bearer(), bearer()],
}
KINDS = [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x",
         b"application/json5", b""]  # fmt: skip


def closed(door: Door, answer: Answer, statuses: tuple[int, ...]) -> None:
    assert answer.status in statuses, (answer.status, answer.body[:200])
    assert not [name for name in answer.names() if name.startswith("access-control")]
    assert TOKEN.encode() not in answer.body
    assert not door.service.touched


def test_g2_only_three_hosts_and_no_foreign_origin_on_any_route() -> None:
    async def walk() -> int:
        door, cases = Door(), 0
        for method, path in door.routes():
            for host in HOSTS:
                headers = [(b"host", host), *good()[1:]]
                closed(door, await door.ask(method, path, headers, b"{}"), (403,))
                cases += 1
            for origin in ORIGINS:
                closed(door, await door.ask(method, path, good((b"origin", origin))), (403,))
                cases += 1
            for headers in (good()[1:], [(b"host", HOST), *good()]):  # none, and two
                closed(door, await door.ask(method, path, headers), (403,))
                cases += 1
        return cases

    assert play(walk) >= 40 * 49


def test_g2_an_absolute_address_in_the_request_line_does_not_change_the_host() -> None:
    async def walk() -> None:
        door = Door()
        for path in ("http://127.0.0.1:7411/ns/status", "//ns/status/..", "ns/status", "*"):
            answer = await door.ask("GET", path, [(b"host", b"evil.example"), bearer()])
            closed(door, answer, (403,))
            answer = await door.ask("GET", path, good())
            closed(door, answer, (400, 404))

    play(walk)


def test_g2_an_origin_that_the_user_added_is_served_and_only_that_one() -> None:
    async def walk() -> None:
        page = b"http://localhost:3000"
        door = Door(_Plain(), origins=frozenset({page.decode()}))
        served = await door.ask("GET", "/v1/models", good((b"origin", page)))
        assert served.status == 200
        assert dict(served.headers)[b"access-control-allow-origin"] == page
        for origin in (b"http://localhost:3001", b"http://localhost:3000.evil", b"null", b"*"):
            refused = await door.ask("GET", "/v1/models", good((b"origin", origin)))
            assert refused.status == 403 and b"access-control" not in repr(refused.headers).encode()
        first = [(b"host", HOST), (b"origin", page), (b"access-control-request-method", b"POST")]
        asked = await door.ask("OPTIONS", "/v1/chat/completions", first)
        assert asked.status == 204 and not asked.body
        wrong = await door.ask("OPTIONS", "/v1/models", [(b"host", b"evil"), (b"origin", page)])
        assert wrong.status == 403
        bare = await door.ask("GET", "/v1/models", [(b"host", HOST), (b"origin", page)])
        assert bare.status == 401  # the origin is no key

    play(walk)


def test_g3_no_route_works_without_the_token_nor_with_a_form() -> None:
    async def walk() -> int:
        door, cases = Door(limit=10**9), 0
        for method, path in door.routes():
            public = method in ("GET", "HEAD") and path in PUBLIC
            for headers in TOKENS.values():
                for kind in (*KINDS, b"application/json"):
                    sent = [(b"host", HOST), (b"content-type", kind), *headers]
                    answer = await door.ask(method, path, sent, b'{"query": "x"}')
                    closed(door, answer, (200,) if public else (401, 403, 415))
                    cases += 1
            query = b"token=" + TOKEN.encode() + b"&access_token=" + TOKEN.encode()
            answer = await door.ask(method, path, [(b"host", HOST)], query=query)
            closed(door, answer, (200,) if public else (401,))
            if method == "POST":
                for kind in KINDS:
                    sent = [(b"host", HOST), bearer(), (b"content-type", kind)]
                    closed(door, await door.ask(method, path, sent, b"a=b"), (415,))
                    cases += 1
        return cases

    assert play(walk) >= 2000


def test_g3_preflights_and_strange_methods_open_nothing() -> None:
    async def walk() -> None:
        door = Door()
        for _, path in door.routes():
            for method in ("OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "FOO"):
                ask = (b"access-control-request-method", b"POST")
                closed(door, await door.ask(method, path, good(ask)), (405,))

    play(walk)


def test_g4_ten_thousand_guesses_get_twenty_tries_a_minute_and_the_owner_is_served() -> None:
    async def walk() -> dict[int, int]:
        door = Door()
        draw = random.Random(4)
        seen: dict[int, int] = {}
        peers = ("127.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.2")
        for number in range(10_000):
            guess = bearer(f"{draw.getrandbits(200):x}".ljust(43, "g"))
            headers = [(b"host", HOST), guess]
            client = (peers[number % 4], 1024 + number)
            answer = await door.ask("GET", "/v1/models", headers, client=client)
            seen[answer.status] = seen.get(answer.status, 0) + 1
            if number % 100 == 0:
                owner = await door.ask("GET", "/ns/openapi.json", good(), client=client)
                assert owner.status == 200
        door.now = 61.0
        again = await door.ask("GET", "/v1/models", [(b"host", HOST), bearer("y" * 43)])
        assert again.status == 401  # a new minute
        return seen

    assert play(walk) == {401: 20, 429: 9980}


def test_g6_a_hundred_hostile_query_strings_change_nothing_on_the_page() -> None:
    async def walk() -> None:
        door = Door()
        names = ("gatewayUrl", "url", "host", "api", "token", "redirect", "next", "code",
                 "__proto__", "base")  # fmt: skip
        values = ("http://evil.example", "//evil.example", "javascript:alert(1)",
                  "data:text/html,x", "<script>alert(1)</script>", "ws://evil.example",
                  "\r\nSet-Cookie: a=b", "%00",
                  "../../token", "x" * 500)  # fmt: skip
        plain = await door.ask("GET", "/", [(b"host", HOST)])
        for name, value in itertools.product(names, values):
            query = f"{name}={value}".encode()
            answer = await door.ask("GET", "/", [(b"host", HOST)], query=query)
            assert (answer.status, answer.body, answer.headers) == (
                200, plain.body, plain.headers)  # fmt: skip
        policy = dict(plain.headers)[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy and "connect-src" not in policy

    play(walk)


NASTY: list[Any] = [
    None, True, False, -1, 0, 1, 10**30, -(10**30), 1e308, 0.1, "", " ", "a" * 200_000, "\x00",
    "\ud800", [], [[]], {}, {"a": {}}, [1, 2], ["a"] * 500, "nightschool", "nightschool-raw:v9",
    {"type": "json_schema"}, [{"role": "user"}], [{"role": "user", "content": [{}]}], "../..",
]  # fmt: skip
FIELDS = ("model", "messages", "prompt", "input", "stream", "options", "max_tokens", "temperature",
          "stop", "tools", "tool_choice", "response_format", "format", "seed", "logprobs", "query",
          "k", "path", "text", "keep_alive", "stream_options", "encoding_format")  # fmt: skip


class _Plain(Untouchable):
    """Enough of a service for checks that look a model name up; nothing may go further."""

    async def versions(self) -> list[dict[str, Any]]:
        return [{"number": 0, "status": "base", "created_at": "", "sha256": ""}]

    async def keep(self, seconds: float | None) -> None:
        pass

    async def chat(self, params: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        json.dumps(params, allow_nan=False)  # it would cross a process border
        raise UsageError("The engine was reached.", "")
        yield {}

    async def ask(self, question: str, **more: Any) -> AsyncGenerator[dict[str, Any], None]:
        raise UsageError("The engine was reached.", "")
        yield {}

    async def embed(self, texts: list[str]) -> dict[str, Any]:
        json.dumps(texts).encode()
        raise UsageError("The engine was reached.", "")

    async def search(self, query: str, k: int, rerank: str = "") -> list[dict[str, Any]]:
        raise UsageError("The engine was reached.", "")


def test_g7_nonsense_in_any_field_is_a_400_and_never_a_500() -> None:
    said = [{"role": "user", "content": "x"}]
    raw_model = {"model": "nightschool-raw"}
    bases: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": raw_model | {"messages": said},
        "/v1/completions": raw_model | {"prompt": "x"},
        "/v1/responses": raw_model | {"input": "x"},
        "/v1/embeddings": raw_model | {"input": "x"},
        "/api/chat": raw_model | {"messages": said},
        "/api/generate": raw_model | {"prompt": "x"},
        "/api/embed": raw_model | {"input": "x"},
        "/ns/search": {"query": "x"},
        "/ns/ask": {"question": "x"},
    }

    async def walk() -> int:
        door, cases = Door(_Plain()), 0
        for path, base in bases.items():
            for name, value in itertools.product(FIELDS, NASTY):
                raw = json.dumps(base | {name: value}).encode("utf-8", "surrogatepass")
                answer = await door.ask("POST", path, good(), raw)
                # 200: an empty prompt of Ollama's only loads the model
                assert answer.status in (400, 404) or path == "/api/generate", (
                    path,
                    name,
                    value,
                    answer.body[:300],
                )
                assert answer.status < 500 and b"Traceback" not in answer.body
                cases += 1
            for raw in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 10_000, b'{"a":' * 5000,
                        b'{"k": NaN}', b'{"k": Infinity}', b'{"k": 1e99999}'):  # fmt: skip
                answer = await door.ask("POST", path, good(), raw)
                assert answer.status in (400, 404), (path, raw[:20], answer.status)
                cases += 1
        return cases

    assert play(walk) >= 5000


def test_g7_a_body_that_says_it_is_a_gigabyte_is_refused_at_once() -> None:
    async def walk() -> None:
        door = Door()
        for length in (b"1073741824", b"99999999999999999999", b"-1", b"1e3", b"0x10", b" 12"):
            answer = await door.ask("POST", "/ns/search", good((b"content-length", length)))
            closed(door, answer, (413,))

    play(walk)


# -- G0: each goal's test sees its defence removed -----------------------------------------------


def test_g0_a_guard_that_knows_more_hosts_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "hosts", lambda port: (f"127.0.0.1:{port}", "evil.example"))
    with pytest.raises(AssertionError):
        test_g2_only_three_hosts_and_no_foreign_origin_on_any_route()


@pytest.mark.parametrize("check", ["_authenticate", "_body"])
def test_g0_a_guard_without_one_of_its_checks_is_seen(
    monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    monkeypatch.setattr(guard.Guard, check, lambda *_: None)
    with pytest.raises(AssertionError):
        test_g3_no_route_works_without_the_token_nor_with_a_form()


def test_g0_a_throttle_that_never_bites_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightschool.serve.credentials.Throttle.fail", lambda _: 0.0)
    with pytest.raises(AssertionError):
        test_g4_ten_thousand_guesses_get_twenty_tries_a_minute_and_the_owner_is_served()


def test_the_port_of_these_tests_is_the_services_own() -> None:
    assert guard.hosts(PORT)[0].encode() == HOST
