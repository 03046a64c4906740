"""Chats exported from ChatGPT or Claude (`conversations.json`): one scope for each conversation.

Who said what stays marked: what a model wrote is not the user's own word.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from nightschool.ingest.blocks import Block, BlockKind, block

_SPEAKERS = {"user": "Me", "human": "Me", "assistant": "Assistant"}


def conversations(raw: Any) -> list[Block] | None:
    """The conversations of an export, or None when the JSON is something else."""
    if isinstance(raw, dict) and ("mapping" in raw or "chat_messages" in raw):
        raw = [raw]
    if not isinstance(raw, list) or not raw:
        return None
    items = [one for one in raw if isinstance(one, dict)]
    if not items or not all("mapping" in one or "chat_messages" in one for one in items):
        return None
    blocks: list[Block] = []
    for number, item in enumerate(items, start=1):
        blocks += _conversation(item, number)
    return blocks


def _conversation(item: dict[str, Any], number: int) -> Iterator[Block]:
    title = " ".join(str(item.get("title") or item.get("name") or "").split())
    day = _day(item.get("create_time") or item.get("created_at"))
    place = f"conversation {number}" + (f" of {day}" if day else "")
    yield Block(BlockKind.SCOPE, title or place, level=1, place=place)
    if title:
        yield Block(BlockKind.PROSE, title + (f" ({day})" if day else ""), place=place)
    said = _claude(item) if "chat_messages" in item else _chatgpt(item)
    for who, text in said:
        lines = [line.rstrip() for line in text.strip().split("\n")]
        if any(lines):
            lines[0] = f"{who}: {lines[0]}"
            made = block(BlockKind.PROSE, [(0, line) for line in lines if line])
            yield Block(made.kind, made.text, place=place)


def _claude(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    messages = item.get("chat_messages")
    for one in messages if isinstance(messages, list) else []:
        if isinstance(one, dict):
            who = _SPEAKERS.get(str(one.get("sender")))
            if who:
                yield who, _text(one.get("content")) or str(one.get("text") or "")


def _chatgpt(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The branch that the user saw last: from the current node up to the root, turned round."""
    mapping = item.get("mapping")
    if not isinstance(mapping, dict):
        return
    at = item.get("current_node")
    if at not in mapping:
        at = next(reversed(mapping), None)
    seen: list[dict[str, Any]] = []
    passed: set[object] = set()
    while isinstance(at, str) and at in mapping and at not in passed:
        passed.add(at)
        node = mapping[at]
        if not isinstance(node, dict):
            break
        message = node.get("message")
        if isinstance(message, dict):
            seen.append(message)
        at = node.get("parent")
    for message in reversed(seen):
        author = message.get("author")
        role = author.get("role") if isinstance(author, dict) else None
        who = _SPEAKERS.get(str(role))
        content = message.get("content")
        if who and isinstance(content, dict):
            yield who, _text(content.get("parts")) or str(content.get("text") or "")


def _text(parts: Any) -> str:
    """The written parts of a message; pictures and tool calls have none."""
    found: list[str] = []
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            found.append(part["text"])
    return "\n".join(found)


def _day(value: Any) -> str:
    if isinstance(value, str):
        return value[:10]
    if isinstance(value, int | float) and 0 < value < 4e9:
        return datetime.fromtimestamp(value, UTC).date().isoformat()
    return ""
