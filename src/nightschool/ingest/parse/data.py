"""JSON and JSON lines: records as `key: value` lines, lists of like records as a table.

Exports of chats are JSON too; `chats` knows their shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, Rows, block
from nightschool.ingest.encoding import decode
from nightschool.ingest.parse import chats
from nightschool.ingest.parse.tables import table

MAX_RECORDS = 50_000
MAX_VALUE = 20_000
"""Characters of one value that are kept: longer ones are data, not writing."""
_FEW = 12
"""Columns of a table that people can still read."""


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks located by their place in the tree (`$.items[3]`)."""
    text, note = decode(data)
    raw = loaded(text)
    if (found := chats.conversations(raw)) is not None:
        return found, "", note
    return list(_tree(raw)), "", note


def parse_lines(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks located by line; a note on the lines that are not JSON."""
    text, note = decode(data)
    blocks: list[Block] = []
    wrong = count = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        count += 1
        if count > MAX_RECORDS:
            return blocks, "", f"only the first {MAX_RECORDS} lines were read"
        try:
            raw = loaded(line)
        except ParseError:
            wrong += 1
            continue
        rows = [(number, f"{key}: {value}" if key else value) for key, value in _flat(raw, "")]
        if rows:
            blocks.append(block(BlockKind.LIST, rows))
    if count and wrong == count:
        raise ParseError("none of its lines is JSON")
    return blocks, "", f"{wrong} of {count} lines are not JSON" if wrong else note


def loaded(text: str) -> Any:
    """The value that a JSON text stands for. Raises ParseError with the line where it breaks."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ParseError(f"it is not JSON from line {error.lineno} on") from error
    except ValueError as error:  # a number of thousands of digits
        raise ParseError("it is not JSON that can be read (a number without end)") from error


def _tree(raw: Any) -> Iterator[Block]:
    if isinstance(raw, list):
        yield from _records(raw, "$")
        return
    if not isinstance(raw, dict):
        yield Block(BlockKind.PROSE, _value(raw), place="$")
        return
    plain = {key: value for key, value in raw.items() if not _is_records(value)}
    rows: Rows = [(0, f"{key}: {value}") for key, value in _flat(plain, "")]
    if rows:
        yield _placed(block(BlockKind.LIST, rows), "$")
    for key, value in raw.items():
        if _is_records(value):
            yield Block(BlockKind.SCOPE, str(key), level=1, place=f"$.{key}")
            yield from _records(value, f"$.{key}")


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict | list) for one in value)


def _records(raw: list[Any], place: str) -> Iterator[Block]:
    keys = list(dict.fromkeys(key for one in raw[:200] if isinstance(one, dict) for key in one))
    flat = all(
        isinstance(one, dict) and not any(isinstance(v, dict | list) for v in one.values())
        for one in raw
    )
    short = all(len(_value(v)) <= 80 for one in raw[:200] if flat for v in one.values())
    if flat and short and len(raw) > 1 and 1 < len(keys) <= _FEW:
        rows = [(0, [_value(one.get(key)) for key in keys]) for one in raw[:MAX_RECORDS]]
        made = table([(0, keys), *rows], place=place)
        if made is not None:
            yield made
        return
    for number, one in enumerate(raw[:MAX_RECORDS]):
        lines: Rows = [(0, f"{key}: {value}" if key else value) for key, value in _flat(one, "")]
        if lines:
            yield _placed(block(BlockKind.LIST, lines), f"{place}[{number}]")


def _placed(item: Block, place: str) -> Block:
    return Block(item.kind, item.text, item.marks, header=item.header, place=place)


def _flat(raw: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """`(path, value)` of all leaves that say something."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(raw, list) and any(isinstance(one, dict | list) for one in raw):
        for number, one in enumerate(raw):
            yield from _flat(one, f"{prefix}[{number}]")
    elif isinstance(raw, list):
        if raw:
            yield prefix, ", ".join(_value(one) for one in raw)
    elif raw is not None and raw != "":
        yield prefix, _value(raw)


def _value(raw: Any) -> str:
    if isinstance(raw, bool):
        return "yes" if raw else "no"
    return "" if raw is None else str(raw)[:MAX_VALUE]
