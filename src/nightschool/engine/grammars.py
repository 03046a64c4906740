"""How much work a grammar makes for llama.cpp, before it gets it.

llama.cpp follows all readings of a grammar at once. Two things make that explode, each in a text of
a few lines: a rule that can be empty in two ways (the readings double with every use), and long
rows of parts that may all be left out. Both are counted here, on the GBNF itself; what is over the
bounds would keep the engine busy for minutes or for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from nightschool.errors import UsageError

WAYS = 1
"""Ways in which a part may be empty."""
READINGS = 150
"""Readings that may stand open at one place."""
DEEP = 24
_CAP = 1 << 40
_TOKEN = re.compile(
    r'(?P<text>"(?:\\.|[^"\\])*")|(?P<set>\[(?:\\.|[^\]\\])*\])|(?P<note>#[^\n]*)|(?P<is>::=)'
    r"|(?P<name>[A-Za-z][A-Za-z0-9_-]*|<\[?[^>\n]*>)|(?P<sign>[|()?*+.!])"
    r"|\{\s*(?P<low>\d*)\s*(?P<comma>,?)\s*(?P<high>\d*)\s*\}|(?P<space>\s+)",
    re.DOTALL,
)


@dataclass(slots=True)
class _Part:
    """One part of a sequence: a character (None), a rule's name, or a group; how often it comes."""

    what: str | list[list[_Part]] | None
    low: int = 1
    high: int | None = 1


@dataclass
class _Rules:
    rules: dict[str, list[list[_Part]]] = field(default_factory=dict)
    known: dict[str, tuple[int, int]] = field(default_factory=dict)

    def measure(self, choices: list[list[_Part]]) -> tuple[int, int]:
        """(ways to be empty, readings that open) of alternatives."""
        ways = readings = 0
        for sequence in choices:
            through = 1
            for part in sequence:
                empty, opened = self._part(part)
                readings += through * opened
                through *= empty
                if not through:
                    break
            ways += through
        return min(ways, _CAP), min(max(readings, 1), _CAP)

    def _part(self, part: _Part) -> tuple[int, int]:
        if part.what is None:
            empty, opened = 0, 1
        elif isinstance(part.what, str):
            empty, opened = self.rule(part.what)
        else:
            empty, opened = self.measure(part.what)
        if (part.low, part.high) == (1, 1):
            return empty, opened
        if part.high is None:
            return (1 + empty if part.low == 0 else empty), opened
        if empty:  # each copy may be left out: they all stand open at once
            return (1 if part.low else 2), opened * max(part.high, 1)
        return (0 if part.low else 1), opened

    def rule(self, name: str) -> tuple[int, int]:
        if name not in self.known:
            self.known[name] = (0, 1)  # a rule within itself comes after a character
            self.known[name] = self.measure(self.rules.get(name, [[_Part(None)]]))
        return self.known[name]


def check(grammar: str, deep: int = DEEP) -> None:
    """Refuse a grammar that explodes. Raises UsageError; a grammar that is no grammar may pass, as
    llama.cpp refuses it itself."""
    rules = _parsed(grammar, deep)
    for name in list(rules.rules):
        try:
            ways, readings = rules.rule(name)
        except RecursionError as error:
            raise UsageError("The grammar is nested too deeply.", "Simplify it.") from error
        for choices in _all(rules.rules[name]):
            for sequence in choices:
                for start in range(len(sequence)):  # after each part the rest stands open
                    readings = max(readings, rules.measure([sequence[start:]])[1])
                    ways = max(ways, rules.measure([sequence[start : start + 1]])[0])
        if ways > WAYS or readings > READINGS:
            raise UsageError(
                f"The grammar's rule {name!r} can be empty in several ways, or leaves over "
                f"{READINGS} readings open.",
                "Make its parts less optional.",
            )


def _all(choices: list[list[_Part]]) -> Iterator[list[list[_Part]]]:
    yield choices
    for sequence in choices:
        for part in sequence:
            if isinstance(part.what, list):
                yield from _all(part.what)


def _parsed(grammar: str, deep: int) -> _Rules:
    found = _Rules()
    stack: list[list[list[_Part]]] = []
    at, name, tokens = 0, "", []
    while at < len(grammar):
        match = _TOKEN.match(grammar, at)
        if match is None:
            raise UsageError(f"The grammar is not valid: {grammar[at : at + 20]!r}.", "Mend it.")
        at = match.end()
        if match.lastgroup not in ("space", "note"):
            tokens.append(match)
    for number, match in enumerate(tokens):
        kind, text = match.lastgroup, match.group()
        after = tokens[number + 1].lastgroup if number + 1 < len(tokens) else ""
        if kind == "name" and after == "is":
            name = text
            stack = [[[]]]
            found.rules[name] = stack[0]
        elif kind == "is" or not stack:
            continue
        elif kind == "name":
            stack[-1][-1].append(_Part(text))
        elif kind == "text":
            if len(text) > 2:
                stack[-1][-1].append(_Part(None))
        elif kind == "set" or text in ".!":
            stack[-1][-1].append(_Part(None))
        elif text == "|":
            stack[-1].append([])
        elif text == "(":
            inner: list[list[_Part]] = [[]]
            stack[-1][-1].append(_Part(inner))
            stack.append(inner)
            if len(stack) > deep:
                raise UsageError(f"The grammar is nested over {deep} deep.", "Simplify it.")
        elif text == ")":
            if len(stack) > 1:
                stack.pop()
        elif stack[-1][-1]:
            _repeat(stack[-1][-1], match)
    return found


def _repeat(sequence: list[_Part], match: re.Match[str]) -> None:
    """Apply `?`, `*`, `+` or `{…}` to the last part; a second one wraps the first."""
    last = sequence[-1]
    if (last.low, last.high) != (1, 1):
        last = sequence[-1] = _Part([[last]])
    signs: dict[str, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}
    if match.group() in signs:
        last.low, last.high = signs[match.group()]
        return
    last.low = int(match.group("low") or 0)
    if match.group("comma"):
        last.high = int(match.group("high")) if match.group("high") else None
    else:
        last.high = last.low
    if last.high is not None and last.high < last.low:
        raise UsageError(
            f"{match.group()} in the grammar repeats from more to less.", "Turn it round."
        )
