"""The form an answer must have: a JSON object, a JSON schema, a tool call. Each becomes a grammar.

Schemas come from clients: their size is bounded, and nothing is ever fetched for a `$ref`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nightschool.engine import grammars
from nightschool.errors import UsageError

DEEP, NODES, REPEATS, PATTERN = 24, 1500, 500, 120
"""Bounds of a schema: nesting, members, repetitions asked for, and characters of a pattern."""
OWN_GRAMMAR, OWN_REPEATS = 20_000, 2000
"""Characters of a client's grammar, and its counted repetitions multiplied with each other."""
_REPEATED = re.compile(r"\{\s*(\d+)\s*(?:,\s*(\d*)\s*)?\}")
_QUOTED = re.compile(r'"(?:\\.|[^"\\\n])*"')
PATTERN_DEEP = 400
"""Brackets that our own converter may nest; a client's own grammar has far fewer."""
GRAMMAR = 200_000
"""Characters of a finished grammar."""
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
_PAIRS = (("minItems", "maxItems"), ("minLength", "maxLength"))


def any_object() -> str:
    """GBNF of any JSON object."""
    return schema({"type": "object"})


def schema(wanted: Any) -> str:
    """GBNF of a JSON schema. Raises UsageError when it is too large or cannot be followed."""
    _bounded(wanted, 0, [0])
    return _converted(wanted)


def given(grammar: str) -> str:
    """A client's own GBNF. Raises UsageError when it could keep llama.cpp busy for long: it writes
    repetitions out, and follows all readings at once (see `grammars`)."""
    if len(grammar) > OWN_GRAMMAR or "\0" in grammar:
        raise UsageError(
            f"The grammar is over {OWN_GRAMMAR} characters or holds a zero.", "Simplify it."
        )
    grammars.check(grammar)
    times = 1
    for low, high in _REPEATED.findall(_QUOTED.sub('""', grammar)):
        times *= max(int(high or low or 1), 1)
    if times > OWN_REPEATS:
        raise UsageError(f"The grammar repeats over {OWN_REPEATS} times.", "Simplify it.")
    return grammar


def _rising(text: str) -> None:
    """Refuse `{5,2}`: llama.cpp counts from five to two for ever."""
    for low, high in _REPEATED.findall(text):
        if high and int(high) < int(low):
            raise UsageError(f"{{{low},{high}}} repeats from more to less.", "Turn it round.")


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
    if '"pattern"' in json.dumps(wanted):  # the one part of a schema that is a grammar itself
        grammars.check(grammar, PATTERN_DEEP)
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
        _rising(pattern if isinstance(pattern, str) else "")
        for low, high in _PAIRS:
            least, most = node.get(low, 0), node.get(high, REPEATS)
            if isinstance(least, int) and isinstance(most, int) and least > most:
                raise UsageError(f"{low} is above {high}.", "Turn them round.")
        for value in node.values():
            _bounded(value, depth + 1, seen)
    elif isinstance(node, list):
        for value in node:
            _bounded(value, depth + 1, seen)
