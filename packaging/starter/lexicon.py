"""The word lists, split: an entry of `lexicon.txt` serves either training or tests, never both.

`wider.txt` and `wordings.txt` serve training alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verb:
    """`lend, lent, lent` and the kind of object it takes (a list of `lexicon.txt`)."""

    base: str
    past: str
    participle: str
    object: str


def held_out(entry: str) -> bool:
    """Whether an entry belongs to the tests: its CRC-32 is 0 modulo 6."""
    return zlib.crc32(entry.lower().encode()) % 6 == 0


@cache
def lists() -> dict[str, list[str]]:
    """Every list by name, in the order of the file."""
    return _read("lexicon.txt")


@cache
def wider() -> dict[str, list[str]]:
    """The lists that only training uses, or that it has longer."""
    return _read("wider.txt")


def _read(name: str) -> dict[str, list[str]]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    out: dict[str, list[str]] = {}
    for block in text.split("\n\n")[1:]:
        name, _, entries = block.partition(":\n")
        out[name] = [" ".join(entry.split()) for entry in entries.split("|")]
    return out


def _entries(name: str, held: bool) -> list[str]:
    return lists().get(name, []) if held else [*lists().get(name, []), *wider().get(name, [])]


@cache
def words(name: str, held: bool) -> tuple[str, ...]:
    """The entries of a list that belong to training (`held` False) or to the tests."""
    found = (entry for entry in _entries(name, held) if held_out(entry) == held)
    return tuple(dict.fromkeys(found))


@cache
def verbs(group: str, held: bool) -> tuple[Verb, ...]:
    """The verbs of a group that belong to training or to the tests."""
    found = []
    for entry in dict.fromkeys(_entries(group, held)):
        forms, _, kind = entry.partition("/")
        base, past, participle = forms.split()
        if held_out(base) == held:
            found.append(Verb(base, past, participle, kind))
    return tuple(found)


@cache
def wordings(name: str) -> tuple[str, ...]:
    """The wordings of `wordings.txt` under a name: for training only."""
    return _wordings()[name]


def wording_names() -> tuple[str, ...]:
    """The names in `wordings.txt`."""
    return tuple(_wordings())


@cache
def _wordings() -> dict[str, tuple[str, ...]]:
    text = Path(__file__).with_name("wordings.txt").read_text(encoding="utf-8")
    blocks = [block.strip().split("\n") for block in text.split("\n\n")[1:]]
    return {head.rstrip(":"): tuple(lines) for head, *lines in blocks}
