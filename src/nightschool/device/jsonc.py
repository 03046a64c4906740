"""Change one member of a JSON settings file that belongs to another program, and nothing else.

Such files hold comments and trailing commas (VS Code, Zed), which a parser would lose; so the text
is scanned, and only the member's own characters are put in or taken out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from nightschool.errors import Refused

_GAP = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[^\s,\]}/]+")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object: where name and value begin and end in the text."""

    name: str
    start: int
    value: int
    end: int


def put(text: str, group: str, name: str, entry: dict[str, Any]) -> str:
    """`text` with `entry` as `group.name`, replacing one that is there. Raises Refused when the
    text is no JSON object."""
    text = take(text, group, name) if text.strip() else "{}\n"
    root = _begin(text)
    found = next((item for item in _members(text, root) if item.name == group), None)
    value = json.dumps(entry, indent=2, ensure_ascii=False)
    if found is None:
        inner = _indented(f'"{name}": {value}', 4)
        return _inserted(text, root, f'"{group}": {{\n{inner}\n  }}', 2)
    return _inserted(text, _object(text, found), f'"{name}": {value}', 4)


def take(text: str, group: str, name: str) -> str:
    """`text` without `group.name`; unchanged when it is not there. Raises Refused as `put`."""
    if not text.strip():
        return text
    for outer in _members(text, _begin(text)):
        if outer.name == group:
            inner = _members(text, _object(text, outer))
            for item in inner:
                if item.name == name:
                    return _without(text, item)
    return text


def get(text: str, group: str, name: str) -> str | None:
    """The text of `group.name`; None when it is not there."""
    if not text.strip():
        return None
    for outer in _members(text, _begin(text)):
        if outer.name == group:
            for item in _members(text, _object(text, outer)):
                if item.name == name:
                    return text[item.value : item.end]
    return None


def _inserted(text: str, brace: int, member: str, indent: int) -> str:
    """`member` as the first one of the object whose `{` stands at `brace`."""
    after = _skip(text, brace + 1)
    comma = "" if text[after] == "}" else ","
    body = _indented(member, indent)
    rest = text[brace + 1 :]
    if text[after] == "}" and not rest[: after - brace - 1].strip():
        rest = "\n" + " " * (indent - 2) + text[after:]
    return f"{text[: brace + 1]}\n{body}{comma}{rest}"


def _without(text: str, item: Member) -> str:
    start, end = item.start, item.end
    after = _skip(text, end)
    if text[after] == ",":
        end = after + 1
    else:  # the last one: the comma before it goes
        before = text[:start].rstrip()
        if before.endswith(","):
            start = len(before) - 1
    line = text.rfind("\n", 0, start)
    if line >= 0 and not text[line:start].strip():
        start = line
    return text[:start] + text[end:]


def _begin(text: str) -> int:
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    if start >= len(text) or text[start] != "{":
        raise _broken()
    return start


def _object(text: str, member: Member) -> int:
    if text[member.value] != "{":
        raise Refused(f"{member.name!r} in that file is no object.", "Mend the file by hand.")
    return member.value


def _members(text: str, brace: int) -> list[Member]:
    """The members of the object whose `{` stands at `brace`."""
    found = []
    at = _skip(text, brace + 1)
    while _at(text, at) != "}":
        key = _STRING.match(text, at)
        if key is None:
            raise _broken()
        colon = _skip(text, key.end())
        if _at(text, colon) != ":":
            raise _broken()
        value = _skip(text, colon + 1)
        end = _value_end(text, value)
        found.append(Member(json.loads(key.group()), at, value, end))
        at = _skip(text, end)
        if _at(text, at) == ",":
            at = _skip(text, at + 1)
        elif _at(text, at) != "}":
            raise _broken()
    return found


def _value_end(text: str, at: int) -> int:
    if (first := _at(text, at)) == '"':
        found = _STRING.match(text, at)
    elif first in "{[":
        depth, place = 0, at
        while True:
            sign = _at(text, place)
            if sign == '"':
                string = _STRING.match(text, place)
                if string is None:
                    raise _broken()
                place = string.end()
                continue
            gap = _skip(text, place)
            if gap > place:
                place = gap
                continue
            depth += (sign in "{[") - (sign in "}]")
            place += 1
            if not depth:
                return place
    else:
        found = _SCALAR.match(text, at)
    if found is None:
        raise _broken()
    return found.end()


def _skip(text: str, at: int) -> int:
    """Past white space and comments."""
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _at(text: str, at: int) -> str:
    if at >= len(text):
        raise _broken()
    return text[at]


def _broken() -> Refused:
    return Refused("The file is no JSON object, so nothing was changed.", "Mend it by hand.")


def _indented(text: str, indent: int) -> str:
    return "\n".join(" " * indent + line for line in text.splitlines())
