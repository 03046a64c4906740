"""One guard in front of everything, mounted apps included (security.md G2–G4, G6).

A browser tab can reach every local port, under any name that resolves to loopback. So: the exact
Host, no foreign Origin, a bearer token in the Authorization header (compared in constant time,
wrong ones throttled together), JSON bodies only, of bounded size, in bounded time. GET changes
nothing anywhere behind this guard. It sends no CORS header but to origins that the user added.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nightschool.serve.credentials import Keyring, Throttle
from nightschool.serve.problems import Problem
from nightschool.serve.turns import CLIENT, name_of

SESSION_PATH = "/ns/session"
"""Where a one-time code (as the bearer) is traded for a browser session."""
BODY_S = 15.0
"""Seconds a client may take to send its body."""

_LOG = logging.getLogger("nightschool.serve")
_METHODS = {"GET", "HEAD", "POST", "DELETE"}
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
     b"form-action 'self'; object-src 'none'"),
    (b"cache-control", b"no-store"),
)  # fmt: skip

_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-allow-headers": "authorization, content-type, mcp-protocol-version, "
    "mcp-method, mcp-name, mcp-session-id",
    "access-control-max-age": "600",
}


def hosts(port: int) -> tuple[str, ...]:
    """The only Host values that mean us."""
    return (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}")


@dataclass
class Guard:
    """The ASGI app that is served; `app` sees only what passed.

    `public` are the paths that GET and HEAD reach without a token: they hold no data.
    """

    app: ASGIApp
    port: int
    keyring: Keyring
    throttle: Throttle
    public: frozenset[str]
    body_limit: int
    body_s: float = BODY_S
    origins: frozenset[str] = frozenset()
    """Web pages that the user has added, by their exact origin."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        page = self._added_page(scope)

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                extra = [(name, value) for name, value in _HEADERS if name not in names]
                if page is not None:
                    extra += [(b"access-control-allow-origin", page), (b"vary", b"origin")]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        problem = self._judge(scope)
        if page is not None and scope["method"] == "OPTIONS":
            # The question that a browser asks before the real request: it holds no token yet.
            status = 403 if problem is not None and problem.status == 403 else 204
            await Response(status_code=status, headers=_PREFLIGHT)(scope, receive, hardened)
            return
        if problem is not None:
            await problem.response(str(scope["path"]))(scope, receive, hardened)
            return
        CLIENT.set(name_of(scope["headers"]))
        await self.app(scope, self._bounded(scope, receive), hardened)

    # -- the checks, in the order of their cost to an attacker --------------------------------

    def _judge(self, scope: Scope) -> Problem | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        host = _only(headers, b"host")
        if host not in hosts(self.port):
            return Problem(403, "wrong_host", "This Host is not served here.")
        origins = _all(headers, b"origin")
        if origins and origins != [f"http://{host}"] and self._added_page(scope) is None:
            return Problem(403, "foreign_origin", "Other web pages may not use this service.")
        if not str(scope["path"]).startswith("/"):
            return Problem(400, "bad_path", "The request path must start with a slash.")
        if scope["method"] not in _METHODS:
            return Problem(405, "bad_method", f"{scope['method']} is not supported.")
        if not (scope["method"] in ("GET", "HEAD") and scope["path"] in self.public):
            problem = self._authenticate(scope, headers)
            if problem is not None:
                return problem
        return self._body(scope, headers)

    def _added_page(self, scope: Scope) -> bytes | None:
        """The request's origin, when the user has added exactly this one."""
        origins = _all(scope["headers"], b"origin")
        return origins[0].encode() if len(origins) == 1 and origins[0] in self.origins else None

    def _authenticate(self, scope: Scope, headers: Iterable[tuple[bytes, bytes]]) -> Problem | None:
        presented = _all(headers, b"authorization")
        if not presented:
            return Problem(
                401,
                "no_token",
                "A bearer token is needed.",
                "It is in the file `token` of the home folder; see `nightschool token`.",
            )
        scheme, _, value = presented[0].partition(" ")
        if len(presented) == 1 and scheme.lower() == "bearer" and value:
            if self.keyring.accepts(value):
                return None
            if (
                scope["method"] == "POST"
                and scope["path"] == SESSION_PATH
                and self.keyring.redeem(value)
            ):
                return None
        wait = self.throttle.fail()
        if wait:
            _LOG.warning("Too many wrong tokens; refusing for %.0f s.", wait)
            return Problem(
                429, "throttled", "Too many wrong tokens.", "Wait a minute.", retry_s=int(wait) + 1
            )
        return Problem(401, "wrong_token", "This token is not valid here.")

    def _body(self, scope: Scope, headers: Iterable[tuple[bytes, bytes]]) -> Problem | None:
        if scope["method"] == "POST":
            kind = _only(headers, b"content-type") or ""
            if kind.partition(";")[0].strip().lower() != "application/json":
                return Problem(415, "not_json", "Content-Type must be application/json.")
        length = _only(headers, b"content-length")
        if length is not None and (not length.isdigit() or int(length) > self.body_limit):
            return _too_large(self.body_limit)
        return None

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` with the limits; raises HTTPException, which the app turns into an answer."""
        if scope["method"] in ("GET", "HEAD"):
            return receive
        seen = 0
        complete = False
        deadline = asyncio.get_running_loop().time() + self.body_s

        async def bounded() -> Message:
            nonlocal seen, complete
            if complete:
                return await receive()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    message = await receive()
                    seen += len(message.get("body", b""))
                    if seen > self.body_limit:
                        raise HTTPException(413, _too_large(self.body_limit).message)
                    complete = not message.get("more_body", False)
                    return message
            raise HTTPException(408, "The request body did not arrive in time.")

        return bounded


def _too_large(limit: int) -> Problem:
    return Problem(413, "too_large", f"The request body is over the limit of {limit} bytes.")


def _all(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def _only(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The value of a header that may appear once; None when missing or repeated."""
    values = _all(headers, name)
    return values[0] if len(values) == 1 else None
