"""The MCP app behind our guard: imported and started at the first request to /mcp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from nightschool.serve.guard import hosts
from nightschool.serve.service import Service

MAX_SESSIONS = 64
SESSION_IDLE_S = 900.0


@dataclass
class McpMount:
    """An ASGI app that becomes the SDK's on first use, and ends with `close`."""

    service: Callable[[], Service]
    port: int
    body_limit: int
    _app: ASGIApp | None = None
    _task: asyncio.Task[None] | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lock:
            app = self._app or await self._open()
        await app(scope, receive, send)

    async def _open(self) -> ASGIApp:
        server, app = await asyncio.to_thread(self._build)
        started: asyncio.Event = asyncio.Event()

        async def run() -> None:
            # The SDK's task group must be entered and left in one task: this one.
            async with server.session_manager.run():
                started.set()
                await self._stop.wait()

        self._task = asyncio.create_task(run())
        await started.wait()
        self._app = app
        return app

    def _build(self) -> tuple[Any, ASGIApp]:
        from mcp.server.transport_security import TransportSecuritySettings

        from nightschool.serve import mcp

        server = mcp.build(self.service)
        exact = hosts(self.port)
        app = server.streamable_http_app(
            streamable_http_path="/mcp",
            max_request_body_size=self.body_limit,
            session_idle_timeout=SESSION_IDLE_S,
            max_sessions=MAX_SESSIONS,
            transport_security=TransportSecuritySettings(
                allowed_hosts=list(exact), allowed_origins=[f"http://{host}" for host in exact]
            ),
        )
        return server, app

    async def close(self) -> None:
        """End all sessions."""
        self._stop.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
