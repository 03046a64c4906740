"""What a setting may be: each rule says in words what is wrong with a value, or nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

_SPAN = re.compile(r"\s*(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})\s*")

_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")


class Rule(Protocol):
    """`words` describes the allowed values; `wrong` is a sentence and its remedy, or None."""

    @property
    def words(self) -> str: ...

    def wrong(self, key: str, value: Any) -> tuple[str, str] | None: ...


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, both included."""

    low: float
    high: float

    @property
    def words(self) -> str:
        return f"{_number(self.low)} to {_number(self.high)}"

    def wrong(self, key: str, value: Any) -> tuple[str, str] | None:
        if self.low <= value <= self.high:  # not a number compares as false
            return None
        return f"{key} is {value}, out of its range.", f"It may be {self.words}."


class OneOf:
    """One of some words."""

    def __init__(self, *names: str) -> None:
        self.names = names

    @property
    def words(self) -> str:
        return ", ".join(name or '""' for name in self.names)

    def wrong(self, key: str, value: Any) -> tuple[str, str] | None:
        if value in self.names:
            return None
        return f"{key} is {value!r}.", f"One of: {self.words}."


@dataclass(frozen=True, slots=True)
class Like:
    """A text of a certain form, told by an example."""

    pattern: str
    example: str

    @property
    def words(self) -> str:
        return f'a text like "{self.example}"'

    def wrong(self, key: str, value: Any) -> tuple[str, str] | None:
        if re.fullmatch(self.pattern, value.strip()):
            return None
        return f"{key} is {value!r}.", f'Write it like "{self.example}".'


@dataclass(frozen=True, slots=True)
class Reranks:
    """What orders the passages of a search. Whether a model is there shows when it is asked."""

    words: str = "off, reader, a folder's absolute path, or a model's OWNER/NAME"

    def wrong(self, key: str, value: Any) -> tuple[str, str] | None:
        folder = value.startswith("~") or _ABSOLUTE.match(value)
        if value in ("off", "reader") or folder or re.fullmatch(r"[\w.-]+/[\w.-]+", value):
            return None
        return f"{key} is {value!r}.", f"It may be {self.words}."


@dataclass(frozen=True, slots=True)
class DaySpan:
    """A daily span of local time, possibly across midnight."""

    words: str = "a span of local time"

    def wrong(self, key: str, value: Any) -> tuple[str, str] | None:
        return None if minutes(value) is not None else self.refusal(key, value)

    def refusal(self, key: str, value: Any) -> tuple[str, str]:
        """The words of `wrong`."""
        return f"{key} is {value!r}, not a span of time.", 'Write it like "22:00-07:00".'


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port; 0 takes any free one."""

    words: str = "0 (any free one) to 65535"

    def wrong(self, key: str, value: Any) -> tuple[str, str] | None:
        if 0 <= value <= 65535:
            return None
        return f"There is no port {value}.", f"{key} is at most 65535."


def minutes(text: str) -> tuple[int, int] | None:
    """`"22:00-07:00"` as minutes of the day, `(1320, 420)`; None when it is no span of time."""
    found = _SPAN.fullmatch(text)
    if found:
        first_h, first_m, last_h, last_m = (int(part) for part in found.groups())
        last = last_h * 60 + last_m
        if first_h < 24 and last <= 1440 and first_m < 60 and last_m < 60:
            return first_h * 60 + first_m, last % 1440
    return None


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
