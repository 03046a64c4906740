"""MCP servers of other programs that the user has added: which command, and which of its tools.

They stand in `mcp.json` beside the token (mode 0600, never on a stick: it holds commands), in the
shape that assistants use. A server's tools are offered to the model when they say that they only
read; others only when the user has named them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nightschool.errors import NotFound, StoreError, UsageError
from nightschool.paths import Home, private
from nightschool.store.atomic import write_bytes

MOST = 16
"""Servers at most."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,23}")


@dataclass(frozen=True, slots=True)
class OtherServer:
    """One added server, started over stdio. `allow` are the tools that may change something."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def load(home: Home) -> dict[str, OtherServer]:
    """The added servers by name. Raises StoreError when their file cannot be read."""
    try:
        table = json.loads(home.servers.read_text(encoding="utf-8"))["mcpServers"]
        return {name: _read(name, entry) for name, entry in table.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{home.servers} cannot be read: {error}.", "Mend it, or remove it and add them again."
        ) from error


def _read(name: str, entry: Any) -> OtherServer:
    args, allow, env = entry.get("args", []), entry.get("allow", []), entry.get("env", {})
    texts = [name, entry["command"], *args, *allow, *env, *env.values()]
    if not isinstance(args, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"the entry {name!r} holds something else than texts")
    return OtherServer(name, entry["command"], tuple(args), tuple(allow), env)


def find(home: Home, name: str) -> OtherServer:
    """One of them. Raises NotFound."""
    known = load(home)
    if name not in known:
        raise NotFound(
            f"No MCP server {name[:40]!r} was added.", "Add it: `nightschool mcp add NAME COMMAND`."
        )
    return known[name]


def add(home: Home, server: OtherServer) -> None:
    """Add a server, or change the one of that name. Raises UsageError."""
    if not _NAME.fullmatch(server.name):
        raise UsageError(
            f"{server.name!r} is no name: letters, digits, - and _, at most 24.", "Choose another."
        )
    known = load(home) | {server.name: server}
    if len(known) > MOST:
        raise UsageError(f"At most {MOST} servers.", "Remove one: `nightschool mcp remove NAME`.")
    _write(home, known)


def remove(home: Home, name: str) -> None:
    """Take one out again. Raises NotFound."""
    find(home, name)
    known = load(home)
    del known[name]
    _write(home, known)


def _write(home: Home, known: Mapping[str, OtherServer]) -> None:
    table = {}
    for name, server in known.items():
        entry = {key: value for key, value in asdict(server).items() if key != "name" and value}
        table[name] = entry
    write_bytes(home.servers, json.dumps({"mcpServers": table}, indent=1).encode())
    private(home.servers)
