"""Kinds of places. A new one is a file with a `SOURCE` and a line in `SOURCES`.

A folder's kind is recognised by the names in it when it is added, and kept from then on.
"""

from __future__ import annotations

from pathlib import Path

from nightschool.sources.kinds import agenda, browser, chats, folder, git, mail, obsidian
from nightschool.sources.kinds.source import Source

SOURCES: tuple[Source, ...] = (
    browser.SOURCE,  # first: what lies beside a history must never be read as a plain folder
    obsidian.SOURCE,
    git.SOURCE,
    chats.SOURCE,
    mail.SOURCE,
    agenda.SOURCE,
    folder.SOURCE,
)
"""The first that recognises a folder is it."""


def recognise(place: Path) -> Source:
    """The kind of a folder; a plain one when it is none of the others."""
    return next((one for one in SOURCES if one.recognise(place)), folder.SOURCE)


def kind(name: str) -> Source:
    """The kind of this name; a plain folder for one that this Nightschool does not know."""
    return next((one for one in SOURCES if one.name == name), folder.SOURCE)
