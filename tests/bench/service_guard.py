"""The guard: every route × 40 Host and Origin values × bad credentials; nothing on disk changes.

    python tests/bench/service_guard.py [--quick]

Requests are written by hand, because no library sends a missing or doubled Host. The routes are
those of the served app itself, walked, so that a new one is tried without being named here.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from starlette.routing import Route  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool.serve import app as door_app  # noqa: E402
from nightschool.serve.credentials import Keyring, Throttle  # noqa: E402
from service_harness import Service, service  # noqa: E402

EVIL_HOSTS = (
    ["evil.example"], ["evil.example:{p}"], ["127.0.0.1"], ["localhost"], ["[::1]"],
    ["127.0.0.1:1"], ["localhost:65535"], ["LOCALHOST:{p}"], ["localhost.:{p}"],
    ["127.0.0.1.:{p}"], ["127.0.0.1:{p}@evil.example"], ["user@127.0.0.1:{p}"],
    ["localhost:{p}.evil.example"], ["127.0.0.2:{p}"], ["0.0.0.0:{p}"], ["[::]:{p}"],
    ["[::ffff:127.0.0.1]:{p}"], ["2130706433:{p}"], ["0x7f000001:{p}"], ["127.1:{p}"],
    ["localhost:{p}/"], ["localhost:0{p}"], [" "], [], ["127.0.0.1:{p}", "127.0.0.1:{p}"],
    ["127.0.0.1:{p}", "evil.example"], ["evil.example", "127.0.0.1:{p}"],
)  # fmt: skip
EVIL_ORIGINS = (
    "http://evil.example", "null", "file://", "https://127.0.0.1:{p}", "http://localhost:{p}",
    "http://127.0.0.1", "http://127.0.0.1:5173", "http://127.0.0.1:{p}.evil.example",
    "http://127.0.0.1:{p}/", "HTTP://127.0.0.1:{p}", "app://obsidian.md", "",
    "chrome-extension://abcdefgh",
)  # fmt: skip
STRANGE = (
    ("GET", "/no/such/route"), ("POST", "/no/such/route"), ("OPTIONS", "/ns/status"),
    ("PUT", "/ns/status"), ("GET", "http://evil.example/ns/status"),
)  # fmt: skip
GOOD_HOSTS = ("127.0.0.1:{p}", "localhost:{p}", "[::1]:{p}")


def routes(door: Service) -> list[tuple[str, str]]:
    """Every method and path of the app."""
    made = door_app.build(
        lambda: None,  # type: ignore[arg-type,return-value]
        port=door.port,
        keyring=Keyring("x" * 43, time.monotonic),
        throttle=Throttle(time.monotonic),
        health=dict,
        body_limit=1,
    )
    found = []
    for route in made.routes.routes:
        assert isinstance(route, Route)
        path = route.path.replace("{number:int}", "1").replace("{name}", "nightschool")
        found += [(method, path) for method in sorted(route.methods or ())]
    return [*found, *STRANGE]


def send(
    door: Service, method: str, path: str, hosts: list[str], origin: str | None,
    credential: str | None, kind: str = "application/json", query: str = "", cookie: str = "",
) -> tuple[int, bytes]:  # fmt: skip
    """One request; its status (0: the connection was closed) and the whole answer."""
    body = b'{"nonsense": 1}' if method == "POST" else b""
    lines = [f"{method} {path}{query} HTTP/1.1", *(f"Host: {host}" for host in hosts)]
    if origin is not None:
        lines.append(f"Origin: {origin}")
    if credential is not None:
        lines.append(f"Authorization: {credential}")
    if cookie:
        lines.append(f"Cookie: {cookie}")
    if method == "POST":
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += ["Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", door.port), 20) as wire:
        wire.sendall("\r\n".join(lines).replace("{p}", str(door.port)).encode() + body)
        answer = b""
        while True:
            try:
                piece = wire.recv(65_536)
            except ConnectionResetError:
                break
            if not piece:
                break
            answer += piece
            if len(answer) > 2_000_000 or b"text/event-stream" in answer[:2000]:
                break
    head = answer.split(b" ", 2)
    return (int(head[1]) if len(head) > 2 else 0), answer


def disk(door: Service) -> dict[str, str]:
    """A hash of every file of the home but the logs."""
    return {
        str(path.relative_to(door.home.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(door.home.root.rglob("*"))
        if path.is_file() and door.home.logs not in path.parents and not path.name.endswith("-shm")
    }


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    with service() as door:
        token = door.token
        bad: list[tuple[str | None, str, str]] = [
            (None, "", ""),
            (f"Bearer {token[:-1]}", "", ""),
            (f"Bearer {token.lower()}", "", ""),
            (f"Basic {token}", "", ""),
            (None, f"?token={token}&access_token={token}", ""),
            (None, "", f"token={token}; Authorization=Bearer {token}"),
        ]
        walked = routes(door)
        # Every route's first request loads code (and MCP its sessions): before the snapshot.
        for method, path in walked:
            if path != "/ns/stop":
                send(door, method, path, ["127.0.0.1:{p}"], None, f"Bearer {token}", "text/plain")
        before = disk(door)
        tried = passed = leaked = cors = 0

        def refused(status: int, answer: bytes, public: bool) -> None:
            nonlocal tried, passed, leaked, cors
            tried += 1
            passed += not (status == 0 or status in (400, 401, 403, 405, 415, 429) or public)
            leaked += token.encode() in answer or (b"instance" in answer and not public)
            cors += b"access-control-" in answer.lower()

        step = 4 if options.quick else 1
        for at, (method, path) in enumerate(walked):
            for hosts in EVIL_HOSTS:
                for credential, query, cookie in [(f"Bearer {token}", "", ""), *bad][::step]:
                    refused(*send(door, method, path, hosts, None, credential, "application/json",
                                  query, cookie), False)  # fmt: skip
            for origin in EVIL_ORIGINS:
                for credential, query, cookie in [(f"Bearer {token}", "", ""), *bad][::step]:
                    refused(*send(door, method, path, ["127.0.0.1:{p}"], origin, credential,
                                  "application/json", query, cookie), False)  # fmt: skip
            public = method in ("GET", "HEAD") and path in door_app.PUBLIC
            for host in GOOD_HOSTS:
                for credential, query, cookie in bad:
                    refused(*send(door, method, path, [host], None, credential,
                                  "application/json", query, cookie), public)  # fmt: skip
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
                if method == "POST":
                    refused(*send(door, method, path, ["127.0.0.1:{p}"], None, f"Bearer {token}",
                                  kind), False)  # fmt: skip
            if at % 8 == 0:
                report.say(f"{at + 1} of {len(walked)} routes, {tried} requests, {passed} passed")
        after = disk(door)
        report.exactly("wrong_requests_that_passed", passed, 0, tried)
        report.exactly("answers_that_held_the_token", leaked, 0, tried)
        report.exactly("answers_with_a_cors_header", cors, 0, tried)
        changed = sum(before.get(name) != after.get(name) for name in {*before, *after})
        report.exactly("files_changed_on_disk", changed, 0, len(after))
        right = 0
        wanted = 0
        for method, path in walked[: -len(STRANGE)]:
            if method == "DELETE" or path in ("/ns/stop", "/mcp"):
                continue
            for host in GOOD_HOSTS:
                for origin in (None, f"http://{host}"):
                    wanted += 1
                    status, _ = send(door, method, path, [host], origin, f"Bearer {token}")
                    right += status not in (0, 401, 403, 405, 413, 415, 429)
        report.exactly("exact_requests_served_of_all", right / wanted, 1.0, wanted)
        guesses = 200 if options.quick else 10_000
        began = time.monotonic()
        codes = []
        served = 0
        for number in range(guesses):
            codes.append(send(door, "GET", "/ns/status", [GOOD_HOSTS[number % 3]], None,
                              f"Bearer guess{number}")[0])  # fmt: skip
            if number % 50 == 0:
                served += door.request("GET", "/ns/versions").status == 200
        minutes = (time.monotonic() - began) / 60
        report.at_most(
            "guesses_judged_a_minute", codes.count(401) / max(minutes, 1.0), 20.0, guesses
        )
        report.exactly("valid_client_served_meanwhile", served, len(range(0, guesses, 50)), served)
        report.at_least("token_bits", len(token) * 6, 128, 1)
    report.finish()


if __name__ == "__main__":
    main()
