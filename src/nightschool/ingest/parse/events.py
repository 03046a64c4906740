"""Calendars (.ics): each event, task or journal entry as people would write it down."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, block
from nightschool.ingest.encoding import decode

MAX_ENTRIES = 20_000
_KINDS = {"VEVENT": "event", "VTODO": "task", "VJOURNAL": "entry"}
_FREQUENCIES = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """A passage for each entry, the calendar's name, and a note on what was left out."""
    import icalendar

    text, note = decode(data)
    if "BEGIN:VCALENDAR" not in text[:2000].upper():
        raise ParseError("the content is not a calendar, whatever the name says")
    try:
        calendars = icalendar.Calendar.from_ical(text, multiple=True)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ParseError("the calendar is damaged or cut off") from error
    blocks: list[Block] = []
    count = damaged = 0
    for calendar in calendars:
        for entry in calendar.walk():
            if entry.name in _KINDS:
                count += 1
                if count <= MAX_ENTRIES:
                    try:
                        blocks += _entry(entry, _KINDS[entry.name], count)
                    except (ValueError, LookupError, TypeError, AttributeError):
                        damaged += 1
    if count and damaged == count:
        raise ParseError("the calendar is damaged or cut off")
    if damaged:
        note = f"{damaged} of {count} entries could not be read"
    if count > MAX_ENTRIES:
        note = f"only the first {MAX_ENTRIES} of {count} entries were read"
    name = next((_text(one, "X-WR-CALNAME") for one in calendars), "")
    return blocks, name, note


def _entry(entry: Any, kind: str, number: int) -> Iterator[Block]:
    summary = _text(entry, "SUMMARY") or f"({kind} without a name)"
    when = _when(entry)
    place = f"{kind} {when.partition(' to ')[0]}" if when else f"{kind} {number}"
    lines = [summary]
    for label, value in (
        ("When", when),
        ("Due", _day(entry, "DUE")),
        ("Repeats", _repeats(entry)),
        ("Where", _text(entry, "LOCATION")),
        ("With", ", ".join(_people(entry))),
        ("Status", _text(entry, "STATUS").lower()),
        ("Notes", _text(entry, "DESCRIPTION")),
    ):
        if value:
            lines.append(f"{label}: {value}")
    yield Block(BlockKind.SCOPE, summary, level=1, place=place)
    made = block(BlockKind.PROSE, [(0, line) for line in lines])
    yield Block(made.kind, made.text, place=place)


def _text(entry: Any, name: str) -> str:
    value = entry.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return " ".join(str(value or "").split())


def _day(entry: Any, name: str) -> str:
    value = getattr(entry.get(name), "dt", None)
    if isinstance(value, datetime.datetime):
        return f"{value:%A %Y-%m-%d %H:%M}"
    return f"{value:%A %Y-%m-%d}" if isinstance(value, datetime.date) else ""


def _when(entry: Any) -> str:
    begin, end = _day(entry, "DTSTART"), _day(entry, "DTEND")
    if not begin or not end or begin == end:
        return begin
    same_day = begin.split()[:2] == end.split()[:2]
    return f"{begin} to {end.split()[-1] if same_day else end}"


def _repeats(entry: Any) -> str:
    rule = entry.get("RRULE")
    if not rule or not hasattr(rule, "get"):
        return ""
    unit = _FREQUENCIES.get(str((rule.get("FREQ") or [""])[0]).upper(), "")
    every = str((rule.get("INTERVAL") or [1])[0])
    if not unit:
        return ""
    return f"every {unit}" if every == "1" else f"every {every} {unit}s"


def _people(entry: Any) -> Iterator[str]:
    found = entry.get("ATTENDEE") or []
    for person in found if isinstance(found, list) else [found]:
        name = getattr(person, "params", {}).get("CN") or ""
        yield " ".join(str(name or person).removeprefix("mailto:").split())
