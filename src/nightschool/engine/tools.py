"""Tool calls: how they stand in a conversation, and how they are read from what a model wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightschool.engine.template import HERMES, JSON

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call: the tool's name and its arguments as an object."""

    name: str
    arguments: dict[str, Any]


def written(calls: Sequence[Mapping[str, Any]], style: str) -> str:
    """An assistant's earlier calls as the text that the model would have written."""
    key = "arguments" if style == HERMES else "parameters"
    texts = [
        json.dumps({"name": call["name"], key: call["arguments"]}, ensure_ascii=False)
        for call in calls
    ]
    if style == HERMES:
        texts = [f"<tool_call>\n{text}\n</tool_call>" for text in texts]
    return "\n".join(texts)


def read(text: str, style: str, names: Sequence[str]) -> tuple[str, list[ToolCall]]:
    """What a model wrote, split into plain text and calls of tools it was offered.

    A call of an unknown tool or one that is no JSON stays text: nothing is guessed.
    """
    if style == HERMES:
        calls = [_call(body, "arguments", names) for body in _CALL.findall(text)]
        if calls and all(call is not None for call in calls):
            return _CALL.sub("", text).strip(), [call for call in calls if call is not None]
        return text, []
    if style == JSON and text.lstrip().startswith("{"):
        call = _call(text.strip(), "parameters", names)
        if call is not None:
            return "", [call]
    return text, []


def _call(body: str, key: str, names: Sequence[str]) -> ToolCall | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("name") not in names:
        return None
    arguments = found.get(key, {})
    return ToolCall(found["name"], arguments) if isinstance(arguments, dict) else None
