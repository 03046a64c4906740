"""Only who knows the token, by the right name, from no foreign page, comes in."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightschool.errors import Refused, StoreError
from nightschool.serve.credentials import Keyring, Throttle, token
from service_harness import Service, service


@pytest.fixture(scope="module")
def door() -> Iterator[Service]:
    with service() as running:
        yield running


ROUTES = [
    ("GET", "/ns/status"),
    ("GET", "/ns/files"),
    ("GET", "/ns/versions"),
    ("GET", "/ns/runs"),
    ("GET", "/ns/openapi.json"),
    ("GET", "/v1/models"),
    ("GET", "/mcp"),
    ("POST", "/mcp"),
    ("POST", "/ns/search"),
    ("POST", "/ns/rollback"),
    ("POST", "/ns/stop"),
    ("POST", "/ns/session"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/no/such/route"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_without_the_token(door: Service, method: str, path: str) -> None:
    reply = door.request(method, path, token=None)
    assert reply.status == 401
    assert reply.json["error"]["code"] == "no_token"


@pytest.mark.parametrize("path", ["/health", "/", "/page/app.js", "/page/style.css"])
def test_only_health_and_the_empty_page_need_no_token(door: Service, path: str) -> None:
    reply = door.request("GET", path, token=None)
    assert reply.status == 200
    assert door.token.encode() not in reply.body
    assert str(door.home.root).encode() not in reply.body


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:{p}@evil.example", "localhost:{p}.evil",
     "LOCALHOST:{p}", "localhost.:{p}", "0.0.0.0:{p}", "[::]:{p}", "127.0.0.1:1", ""],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/health", "/ns/status", "/mcp"])
def test_a_wrong_host_is_refused_even_with_the_token(door: Service, host: str, path: str) -> None:
    reply = door.request("GET", path, headers={"Host": host.format(p=door.port)})
    assert reply.status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1:{p}", "localhost:{p}", "[::1]:{p}"])
def test_the_three_exact_hosts_are_served(door: Service, host: str) -> None:
    assert (
        door.request("GET", "/ns/status", headers={"Host": host.format(p=door.port)}).status == 200
    )


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "file://", "http://localhost:5173", "https://127.0.0.1:{p}",
     "http://localhost:{p}", "http://127.0.0.1:{p}.evil", ""],
)  # fmt: skip
def test_a_foreign_origin_is_refused_even_with_the_token(door: Service, origin: str) -> None:
    reply = door.request("GET", "/ns/status", headers={"Origin": origin.format(p=door.port)})
    assert reply.status == 403
    assert reply.json["error"]["code"] == "foreign_origin"


def test_the_pages_own_origin_is_served_and_no_cors_header_is_ever_sent(door: Service) -> None:
    reply = door.request("GET", "/ns/status", headers={"Origin": door.url})
    assert reply.status == 200
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
def test_a_body_that_is_not_declared_as_json_is_refused(door: Service, kind: str) -> None:
    reply = door.request("POST", "/ns/search", {"query": "x"}, headers={"Content-Type": kind})
    assert reply.status == 415


def test_a_body_over_the_limit_is_refused_whether_declared_or_not(door: Service) -> None:
    declared = door.request("POST", "/ns/search", raw=b"x" * 1_100_000)
    assert declared.status == 413
    head = (
        f"POST /ns/search HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n"
        f"Authorization: Bearer {door.token}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", door.port), 10) as wire:
        wire.sendall(head.encode())
        for _ in range(20):
            try:
                wire.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            except OSError:
                break
        wire.settimeout(10)
        assert b" 413 " in wire.recv(4096)


def test_wrong_tokens_are_throttled_together_while_the_right_one_is_served() -> None:
    with service() as own:
        codes = [own.request("GET", "/ns/status", token=f"guess-{n}").status for n in range(40)]
        assert codes.count(401) == 20
        assert codes.count(429) == 20
        assert own.request("GET", "/ns/status").status == 200


def test_a_one_time_code_opens_one_session_and_the_token_stays_in_its_file(door: Service) -> None:
    code = door.post("/ns/open")["code"]
    first = door.request("POST", "/ns/session", token=code)
    assert first.status == 200
    session = first.json["session"]
    assert session != door.token
    assert door.request("GET", "/ns/status", token=session).status == 200
    assert door.request("POST", "/ns/session", token=code).status == 401
    assert door.request("GET", "/ns/status", token=code).status == 401


def test_the_token_is_in_no_log_and_no_process_line(door: Service) -> None:
    secret = door.token.encode()
    for log in door.home.logs.iterdir():
        assert secret not in log.read_bytes()
    assert door.process is not None
    assert secret not in Path(f"/proc/{door.process.pid}/cmdline").read_bytes()
    assert secret not in door.home.runtime.read_bytes()
    assert door.home.token.stat().st_mode & 0o777 == 0o600


# -- the token file ----------------------------------------------------------------------------


def test_a_token_is_made_once_private_and_long(tmp_path: Path) -> None:
    path = tmp_path / "token"
    first = token(path)
    assert len(first) >= 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert token(path) == first


def test_a_token_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "token"
    first = token(path)
    path.chmod(0o644)
    assert token(path) != first
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_token_file_never_lets_an_empty_token_in(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    assert len(token(path)) >= 43


def test_a_token_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("x" * 50)
    with pytest.raises(Refused, match="not a plain file"):
        token(path)


def test_a_token_file_that_cannot_be_read_is_a_clear_error() -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "token"
        path.write_text("x" * 43)
        path.chmod(0o000)
        root = os.geteuid() == 0  # whom no mode keeps out
        if root:
            Path(folder).chmod(0o755)
            os.chown(path, nobody, nobody)
            os.seteuid(nobody)
        try:
            with pytest.raises(StoreError, match=r"Cannot read .*Permission denied") as caught:
                token(path)
        finally:
            if root:
                os.seteuid(0)
    assert "chmod 600" in caught.value.remedy


def test_a_token_folder_that_is_missing_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot write the token file"):
        token(tmp_path / "gone" / "token")


def test_sessions_and_codes_end_with_time() -> None:
    now = 0.0
    keyring = Keyring("t" * 43, lambda: now)
    code, session = keyring.new_code(), keyring.new_session()
    now = 61.0
    assert not keyring.redeem(code)
    assert keyring.accepts(session)
    now = 12 * 3600.0 + 1
    assert not keyring.accepts(session)
    assert keyring.accepts("t" * 43)
    assert not keyring.accepts("")


def test_the_throttle_opens_again_after_its_window() -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    assert [throttle.fail() for _ in range(20)] == [0.0] * 20
    assert throttle.fail() > 0
    now = 61.0
    assert throttle.fail() == 0.0
