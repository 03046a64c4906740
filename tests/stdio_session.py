"""One MCP session over stdio, line by line, with every line that comes out checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from service_harness import Service

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
READ_S, EXIT_S = 60.0, 2.0


@dataclass
class Session:
    """`nightschool mcp` as an assistant starts it. `modern` is the newer revision."""

    door: Service
    modern: bool
    noisy: bool = False
    """Let every library warn about everything, as loudly as Python can."""
    program: tuple[str, ...] = ("-m", "nightschool", "mcp")
    sent: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        extra = ["-X", "dev", "-W", "always"] if self.noisy else []
        self.process = subprocess.Popen(
            [sys.executable, *extra, *self.program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE if not self.noisy
            else subprocess.DEVNULL, env={**os.environ, **self.door.settings},
        )  # fmt: skip
        if not self.modern:
            hello = {"protocolVersion": "2025-11-25", "capabilities": {},
                     "clientInfo": {"name": "test", "version": "1"}}  # fmt: skip
            self.ask("initialize", hello)
            self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def write(self, message: Any) -> None:
        raw = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def request(self, method: str, params: dict[str, Any]) -> bytes:
        """The line of a request, with what the revision wants in it."""
        self.sent += 1
        if self.modern:
            params = {**params, "_meta": {**META, **params.get("_meta", {})}}
        message = {"jsonrpc": "2.0", "id": self.sent, "method": method, "params": params}
        return json.dumps(message, ensure_ascii=False).encode() + b"\n"

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; notifications before it are checked too."""
        self.write(self.request(method, params))
        while True:
            found = self.read()
            assert found is not None, f"stdout ended before the answer to {method}"
            if found.get("id") == self.sent:
                return found

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def read(self) -> dict[str, Any] | None:
        """The next line, which must be one message of JSON-RPC; None at the end."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return None
        found: dict[str, Any] = json.loads(line)
        assert isinstance(found, dict) and found["jsonrpc"] == "2.0", line
        assert "method" in found or (("result" in found) != ("error" in found)), line
        self.lines.append(found)
        return found

    def tools(self) -> list[dict[str, Any]]:
        """The tools, each with its title and hints."""
        found: list[dict[str, Any]] = self.ask("tools/list", {})["result"]["tools"]
        for tool in found:
            hints = tool["annotations"]
            assert tool["title"], tool["name"]
            assert isinstance(hints["readOnlyHint"], bool), tool["name"]
            assert isinstance(hints["destructiveHint"], bool), tool["name"]
        return found

    def fits(self, tool: dict[str, Any], answer: dict[str, Any]) -> None:
        """The structured content is what the tool's schema says, and stands in the text too."""
        result = answer["result"]
        if result.get("isError"):
            return
        Draft202012Validator(tool["outputSchema"]).validate(result["structuredContent"])
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]

    def close(self) -> float:
        """Close stdin; the seconds until it is gone, with the rest of its lines checked."""
        assert self.process.stdin is not None
        began = time.monotonic()
        self.process.stdin.close()
        try:
            while self.read() is not None:
                pass
            self.process.wait(READ_S)
        finally:
            self.process.kill()
            self.process.wait(5)
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    stream.close()
        return time.monotonic() - began
