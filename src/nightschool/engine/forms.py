"""The form an answer must have: a JSON object, a JSON schema, a tool call. Each becomes a grammar.

Schemas come from clients: their size is bounded, and nothing is ever fetched for a `$ref`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nightschool.errors import UsageError

DEEP, NODES, REPEATS, PATTERN = 24, 1500, 500, 120
"""Bounds of a schema: nesting, members, repetitions asked for, and characters of a pattern."""
GRAMMAR = 200_000
"""Characters of a finished grammar."""
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")


def any_object() -> str:
    """GBNF of any JSON object."""
    return schema({"type": "object"})


def schema(wanted: Any) -> str:
    """GBNF of a JSON schema. Raises UsageError when it is too large or cannot be followed."""
    _bounded(wanted, 0, [0])
    return _converted(wanted)


def choice(tools: list[Mapping[str, Any]], style: str, only: str = "") -> str:
    """GBNF of one call of one of `tools` (of `only`, if named), as the model's template writes it.

    Raises UsageError when `only` is not among them or a parameter schema cannot be followed.
    """
    calls = []
    argument = "arguments" if style == "hermes" else "parameters"
    for tool in tools:
        function = tool["function"]
        if only and function["name"] != only:
            continue
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        _bounded(parameters, 0, [0])
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, argument: parameters},
                "required": ["name", argument],
            }
        )
    if not calls:
        raise UsageError(f"There is no tool called {only!r}.", "Name one of the request's tools.")
    grammar = _converted(calls[0] if len(calls) == 1 else {"anyOf": calls})
    if style != "hermes":
        return grammar
    inner = re.sub(r"^root ::=", "call ::=", grammar, flags=re.M)
    return f'root ::= "<tool_call>\\n" call "\\n</tool_call>"\n{inner}'


def _converted(wanted: Any) -> str:
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        grammar: str = json_schema_to_gbnf(json.dumps(wanted), ["name", "arguments", "parameters"])
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError, IndexError,
            RecursionError) as error:  # fmt: skip
        raise UsageError(
            f"The JSON schema cannot be followed: {error}.",
            "Use plain types, properties, items, enum, const, anyOf and local $refs.",
        ) from error
    if len(grammar) > GRAMMAR:
        raise UsageError("The JSON schema is too large.", "Split it, or leave out its ranges.")
    return grammar


def _bounded(node: Any, depth: int, seen: list[int]) -> None:
    seen[0] += 1
    if depth > DEEP or seen[0] > NODES:
        raise UsageError(
            f"The JSON schema is nested over {DEEP} deep or has over {NODES} parts.", "Simplify it."
        )
    if isinstance(node, dict):
        for name in _COUNTS:
            count = node.get(name, 0)
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= REPEATS:
                if isinstance(count, dict):  # a property that happens to be called so
                    continue
                raise UsageError(f"{name} must be a number from 0 to {REPEATS}.", "Lower it.")
        pattern = node.get("pattern", "")
        if isinstance(pattern, str) and (len(pattern) > PATTERN or pattern.count("{") > 1):
            raise UsageError("A pattern in the JSON schema is too long.", "Shorten it.")
        for value in node.values():
            _bounded(value, depth + 1, seen)
    elif isinstance(node, list):
        for value in node:
            _bounded(value, depth + 1, seen)
