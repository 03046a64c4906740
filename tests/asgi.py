"""The whole door in this process, asked directly: thousands of requests in a second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import Route

from nightschool.serve import app
from nightschool.serve.credentials import Keyring, Throttle

PORT = 7411
TOKEN = "t" * 43
HOST = b"127.0.0.1:7411"


class Untouchable:
    """A service that nobody may reach: whoever does is remembered."""

    def __init__(self) -> None:
        self.touched: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.touched.append(name)
        raise AssertionError(f"the service was reached: {name}")


@dataclass
class Answer:
    """One reply, as it went out."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def names(self) -> set[str]:
        return {name.decode().lower() for name, _ in self.headers}


@dataclass
class Door:
    """`app.build` around a service, and a way to ask it."""

    service: Any = field(default_factory=Untouchable)
    limit: int = 20
    now: float = 0.0
    origins: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.throttle = Throttle(lambda: self.now, limit=self.limit)
        self.keyring = Keyring(TOKEN, lambda: self.now)
        self.built = app.build(
            lambda: self.service,
            port=PORT,
            keyring=self.keyring,
            throttle=self.throttle,
            health=lambda: {"status": "ready"},
            body_limit=1 << 20,
            origins=self.origins,
        )

    def routes(self) -> list[tuple[str, str]]:
        """Every method and path that is really mounted, found by walking the app."""
        found = []
        for route in self.built.routes.routes:
            assert isinstance(route, Route), route
            path = route.path.replace("{number:int}", "1").replace("{name}", "nightschool")
            assert "{" not in path, path
            found += [(method, path) for method in sorted(route.methods or ())]
        return found

    async def ask(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        client: tuple[str, int] = ("127.0.0.1", 50_000),
        query: bytes = b"",
    ) -> Answer:
        answer = Answer()
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = list(message["headers"])
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query,
            "root_path": "", "headers": list(headers), "client": client,
            "server": ("127.0.0.1", PORT),
        }  # fmt: skip
        await self.built.app(scope, receive, send)
        return answer


def bearer(token: str = TOKEN) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {token}".encode())


def good(*more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The headers of a rightful request."""
    return [(b"host", HOST), bearer(), (b"content-type", b"application/json"), *more]


def play(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())
