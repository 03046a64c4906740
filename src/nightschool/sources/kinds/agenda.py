"""Calendars and contacts, as address books and calendar programs keep or export them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nightschool.sources.kinds.source import Source, below

_READ = (".ics", ".ical", ".vcf", ".vcard")


def _recognise(folder: Path) -> bool:
    files = [name for name in below(folder) if PurePosixPath(name).suffix]
    cards = [name for name in files if name.lower().endswith(_READ)]
    return bool(cards) and len(cards) * 2 > len(files)


def _file(key: str) -> bool | None:
    return None if key.lower().endswith(_READ) else False


SOURCE = Source("agenda", "calendars and contacts", _recognise, file=_file)
