"""The private channel between a parent and its child: one JSON object a line, UTF-8.

    parent → child   {"id": 7, "op": "ask", "params": {...}}   a request
                     {"cancel": 7}                             stop working on request 7
    child → parent   {"ready": {...}}                          once, after start-up
                     {"beat": n}                               heartbeat, n counts work done
                     {"id": 7, "event": {...}}                 progress or a piece of a stream
                     {"id": 7, "result": {...}}                the end of request 7
                     {"id": 7, "error": {"code", "message", "remedy"}}

End of file on stdin asks the child to finish and exit: a child never outlives its parent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

BEAT_S = 1.0
"""Seconds between two heartbeats."""


def encode(message: Mapping[str, Any]) -> bytes:
    """One line, newline included. Dataclasses become objects; `ensure_ascii` keeps U+2028 out."""
    return json.dumps(message, default=_plain, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object of one line. Raises ValueError when it is not a JSON object."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} cannot cross a process border")
