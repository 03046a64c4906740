"""The word lists of `lexicon.txt`, split: an entry serves either training or tests, never both."""

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
    text = Path(__file__).with_name("lexicon.txt").read_text(encoding="utf-8")
    out: dict[str, list[str]] = {}
    for block in text.split("\n\n")[1:]:
        name, _, entries = block.partition(":\n")
        out[name] = [" ".join(entry.split()) for entry in entries.split("|")]
    return out


@cache
def words(name: str, held: bool) -> tuple[str, ...]:
    """The entries of a list that belong to training (`held` False) or to the tests."""
    return tuple(entry for entry in lists()[name] if held_out(entry) == held)


@cache
def verbs(group: str, held: bool) -> tuple[Verb, ...]:
    """The verbs of a group that belong to training or to the tests."""
    found = []
    for entry in lists()[group]:
        forms, _, kind = entry.partition("/")
        base, past, participle = forms.split()
        if held_out(base) == held:
            found.append(Verb(base, past, participle, kind))
    return tuple(found)
