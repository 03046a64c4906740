"""The real door over real sockets, before a service whose answers take long, to cut its streams.

`Slow` counts what it does, so that a test can see whether the work behind a cut stream went on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any

from local_server import opened
from nightschool.serve import app
from nightschool.serve.credentials import Keyring, Throttle
from service_harness import free_port

TOKEN = "s" * 43
MODERN, LEGACY = "2026-07-28", "2025-11-25"
_META = "io.modelcontextprotocol"


@dataclass
class Call:
    """One question's work: steps done, and when it ended (finished or taken back)."""

    steps: int = 0
    finished: bool = False
    ended_at: float = 0.0


@dataclass
class Slow:
    """A service that answers in `steps` pieces, `pause_s` apart."""

    steps: int = 60
    pause_s: float = 0.02
    calls: list[Call] = field(default_factory=list)

    async def ask(self, question: str, **_: Any) -> AsyncGenerator[dict[str, Any], None]:
        call = Call()
        self.calls.append(call)
        try:
            for _number in range(self.steps):
                call.steps += 1
                yield {"delta": "word "}
                await asyncio.sleep(self.pause_s)
            call.finished = True
            result = {"text": "a", "carried_by": "quote", "supported": True, "version": 0,
                      "note": "", "id": "", "citations": []}  # fmt: skip
            yield {"result": result}
        finally:
            call.ended_at = time.monotonic()


@contextlib.contextmanager
def slow_door(slow: Slow) -> Iterator[int]:
    """The port of the door before `slow`."""
    port = free_port()
    door = app.build(
        lambda: slow,  # type: ignore[arg-type,return-value]
        port=port,
        keyring=Keyring(TOKEN, time.monotonic),
        throttle=Throttle(time.monotonic),
        health=lambda: {"status": "ready"},
        body_limit=1 << 20,
    )
    with opened(door.app, port):
        yield port


@dataclass
class Stream:
    """One MCP call as bytes on a socket, to be cut at any point."""

    port: int
    revision: str
    wire: socket.socket = field(init=False)
    session: str = ""
    buffer: bytes = b""

    def call(self, question: str) -> None:
        """Ask, with progress wanted; reads nothing yet."""
        if self.revision == LEGACY and not self.session:
            self._shake_hands()
        meta: dict[str, Any] = {"progressToken": 7}
        if self.revision == MODERN:
            meta |= {f"{_META}/protocolVersion": MODERN, f"{_META}/clientCapabilities": {}}
        params = {"name": "ask", "arguments": {"question": question}, "_meta": meta}
        self.wire = self._post("tools/call", params, "ask", 2)

    def _shake_hands(self) -> None:
        hello = {"protocolVersion": LEGACY, "capabilities": {},
                 "clientInfo": {"name": "test", "version": "1"}}  # fmt: skip
        with self._post("initialize", hello, "", 1) as wire:
            head = _until(wire, b"\r\n\r\n")
            names = dict(
                line.split(": ", 1) for line in head.decode().lower().split("\r\n") if ": " in line
            )
            self.session = names["mcp-session-id"]
        with self._post("notifications/initialized", {}, "", None) as wire:
            _until(wire, b"\r\n\r\n")

    def _post(self, method: str, params: Any, name: str, number: int | None) -> socket.socket:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(message if number is None else message | {"id": number}).encode()
        lines = [
            "POST /mcp HTTP/1.1", f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {TOKEN}", "Content-Type: application/json",
            "Accept: application/json, text/event-stream", f"Content-Length: {len(body)}",
            f"MCP-Protocol-Version: {self.revision}", "Connection: close",
        ]  # fmt: skip
        if self.revision == MODERN:
            lines += [f"Mcp-Method: {method}", *([f"Mcp-Name: {name}"] if name else [])]
        if self.session:
            lines.append(f"Mcp-Session-Id: {self.session}")
        wire = socket.create_connection(("127.0.0.1", self.port), 30)
        wire.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return wire

    def events(self) -> Iterator[dict[str, Any]]:
        """The messages of the stream, until it ends."""
        while True:
            head, mark, rest = self.buffer.partition(b"\n")
            if mark:
                self.buffer = rest
                line = head.strip()
                if line.startswith(b"data:") and line[5:].strip():
                    yield json.loads(line[5:])
                continue
            piece = self.wire.recv(65_536)
            if not piece:
                return
            self.buffer += piece

    def cut(self) -> float:
        """Close without a word; when that was."""
        with contextlib.suppress(OSError):
            self.wire.shutdown(socket.SHUT_RDWR)
        self.wire.close()
        return time.monotonic()


def _until(wire: socket.socket, mark: bytes) -> bytes:
    found = b""
    while mark not in found:
        piece = wire.recv(4096)
        assert piece, found
        found += piece
    return found
