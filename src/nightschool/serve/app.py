"""Put the door together: routes, MCP, status page, and the guard in front of all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.errors import NightschoolError
from nightschool.serve import (
    completions,
    embeddings,
    native,
    ollama,
    openai,
    openapi,
    problems,
    responses,
)
from nightschool.serve.credentials import Keyring, Throttle
from nightschool.serve.guard import SESSION_PATH, Guard
from nightschool.serve.mount import McpMount
from nightschool.serve.problems import Problem
from nightschool.serve.service import Service
from nightschool.serve.streaming import STALL_S

PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
PUBLIC = frozenset({"/health", *PAGE})
"""What GET reaches without a token: nothing of the user's."""


@dataclass(frozen=True, slots=True)
class Door:
    """The served ASGI app, and the pieces that the daemon must close or ask."""

    app: Guard
    routes: Starlette
    mcp: McpMount


def build(
    service: Callable[[], Service],
    *,
    port: int,
    keyring: Keyring,
    throttle: Throttle,
    health: Callable[[], dict[str, Any]],
    body_limit: int,
    stall_s: float = STALL_S,
    origins: frozenset[str] = frozenset(),
) -> Door:
    """The whole door. `service` may raise ChildError until the daemon is ready."""
    mcp = McpMount(service, port, body_limit)

    async def say_health(request: Request) -> Response:
        found = health()
        return JSONResponse(found, 200 if found["status"] in ("ready", "starting") else 503)

    async def describe(request: Request) -> Response:
        return JSONResponse(openapi.document())

    async def new_code(request: Request) -> Response:
        return JSONResponse({"code": keyring.new_code()})

    async def new_session(request: Request) -> Response:
        return JSONResponse({"session": keyring.new_session()})

    async def page(request: Request) -> Response:
        name, kind = PAGE[request.url.path]
        data = resources.files("nightschool.serve").joinpath("page", name).read_bytes()
        return Response(data, media_type=kind)

    routes = Starlette(
        routes=[
            Route("/health", say_health, methods=["GET"]),
            *(Route(path, page, methods=["GET"]) for path in PAGE),
            Route("/ns/openapi.json", describe, methods=["GET"]),
            Route("/ns/open", new_code, methods=["POST"]),
            Route(SESSION_PATH, new_session, methods=["POST"]),
            *native.routes(service, stall_s=stall_s),
            *openai.routes(service, stall_s=stall_s),
            *completions.routes(service, stall_s=stall_s),
            *responses.routes(service, stall_s=stall_s),
            *embeddings.routes(service),
            *ollama.routes(service, stall_s=stall_s),
            Route("/mcp", mcp, methods=["GET", "POST", "DELETE"]),
        ],
        exception_handlers={
            NightschoolError: _failed,
            HTTPException: _http,
            ClientDisconnect: _left,
            Exception: _unexpected,
        },
    )
    guard = Guard(
        routes,
        port=port,
        keyring=keyring,
        throttle=throttle,
        public=PUBLIC,
        body_limit=body_limit,
        origins=origins,
    )
    return Door(guard, routes, mcp)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, NightschoolError)
    return problems.of(error).response(request.url.path)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "no_route", 405: "bad_method", 408: "too_slow", 413: "too_large"}.get(
        error.status_code, "failed"
    )
    return Problem(error.status_code, code, str(error.detail)).response(request.url.path)


async def _left(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it; the number is nginx's for the log


async def _unexpected(request: Request, error: Exception) -> Response:
    problem = Problem(500, "failed", "An unexpected failure; it is in the service's log.")
    return problem.response(request.url.path)
