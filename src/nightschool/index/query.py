"""What a person types: words, and filters among them (`in:work type:pdf after:2024-05`).

`in:` is a folder (a watched one by its name or path, or one inside it), `type:` a file ending or a
format's name, `after:` and `before:` a year, month or day of the file's last change (UTC):
`after:2024-05` is from the first of May on, `before:2024-05` ends with the last of April. Several
`in:` or `type:` mean any of them. What is not understood stays a word: no question is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_FILTER = re.compile(r'(?<!\S)(in|type|after|before):(?:"([^"\n]+)"|(\S+))', re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


@dataclass(frozen=True, slots=True)
class Query:
    """`text` without the filters; times are nanoseconds since 1970 (UTC), None = no bound."""

    text: str
    folders: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    after_ns: int | None = None
    before_ns: int | None = None

    @property
    def filtered(self) -> bool:
        return bool(self.folders or self.types) or (self.after_ns, self.before_ns) != (None, None)


def parse(typed: str) -> Query:
    """Words and filters. A query of filters alone keeps an empty text."""
    folders: list[str] = []
    types: list[str] = []
    bounds: dict[str, int] = {}

    def take(found: re.Match[str]) -> str:
        name, value = found[1].lower(), (found[2] or found[3]).strip()
        if name == "in":
            folders.append(value.strip("/") if value.strip("/") else value)
        elif name == "type":
            types.append(value.lower().lstrip("."))
        else:
            moment = _moment(value)
            if moment is None:
                return found[0]
            bounds[name] = moment
        return ""

    text = " ".join(_FILTER.sub(take, typed).split())
    return Query(text, tuple(folders), tuple(types), bounds.get("after"), bounds.get("before"))


def _moment(text: str) -> int | None:
    """The beginning of a year, month or day, in nanoseconds; None when it is no date."""
    found = _DATE.fullmatch(text)
    if not found:
        return None
    try:
        day = datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1), tzinfo=UTC)
    except ValueError:
        return None
    return int(day.timestamp()) * 1_000_000_000
