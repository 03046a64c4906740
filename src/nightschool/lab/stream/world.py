"""Invented people, places, projects and events, as the notes of a folder stand night by night.

A pure function of the seed: what a night's folder holds does not depend on what was there before,
so a run that was broken off finds its place again. A note has four facts, `Field: value`.

    changed        a note is edited: one fact has another value from that night on
    contradicted   another note gives another value; which of the two is right, nobody can know
    deleted        a note is gone
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

FACTS_A_NOTE = 4
DELETE_EVERY = 4
"""Notes are deleted on every fourth night: what has seen them starts from the base again."""

Dice = random.Random
_MONTHS = ["January", "March", "April", "June", "July", "September", "October", "December"]
_TEAS = [
    "sencha",
    "rooibos",
    "darjeeling",
    "lapsang",
    "chamomile",
    "assam",
    "hojicha",
    "peppermint",
    "jasmine",
    "oolong",
]
_FIRST = "ABDEFGHIKLMNOPRSTUV"
_MIDDLE = "aeiou"
_LAST = ["lda", "rvin", "mund", "nka", "sper", "thel", "vrek", "zmin"]
_ENDS = ["brack", "dun", "fell", "garth", "holm", "moor", "stead", "wick", "thorn", "vale"]


def _name(dice: Dice) -> str:
    return f"{dice.choice(_FIRST)}{dice.choice(_MIDDLE)}{dice.choice(_LAST)}"


def _surname(dice: Dice) -> str:
    return f"{dice.choice('BCDGHKLMNPRSTVW')}{dice.choice(_MIDDLE)}{dice.choice(_ENDS)}"


def _day(dice: Dice) -> str:
    return f"{dice.randint(1, 28)} {dice.choice(_MONTHS)}"


def _euros(dice: Dice) -> str:
    return f"{dice.randint(11, 989)} euros"


def _person(dice: Dice) -> str:
    return f"{_name(dice)} {_surname(dice)}"


Field = Callable[[Dice], str]
KINDS: dict[str, tuple[Callable[[Dice], str], dict[str, Field]]] = {
    "people": (
        _person,
        {
            "Locker": lambda d: str(d.randint(100, 999)),
            "Birthday": _day,
            "Favourite tea": lambda d: d.choice(_TEAS),
            "Desk": lambda d: f"row {d.randint(1, 90)}",
        },
    ),
    "places": (
        lambda d: f"{_surname(d)} Hall",
        {
            "Caretaker": _person,
            "Rent": _euros,
            "Seats": lambda d: str(d.randint(20, 480)),
            "Wifi name": lambda d: f"{_name(d).lower()}{d.randint(10, 99)}",
        },
    ),
    "projects": (
        lambda d: f"Project {_surname(d)}",
        {
            "Deadline": _day,
            "Budget": _euros,
            "Lead": _person,
            "Meeting room": lambda d: f"{d.choice('ABCDEF')} {d.randint(100, 499)}",
        },
    ),
    "events": (
        lambda d: f"{_surname(d)} Fair",
        {
            "Opening day": _day,
            "Ticket price": _euros,
            "Organiser": _person,
            "Stalls": lambda d: str(d.randint(12, 320)),
        },
    ),
}
"""How a note of each kind is called, and its fields: a new kind is one entry."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`title`'s `field` is `value`, told on `night` (from 0) by the note `path`; `old` is what it
    was before it changed, `other` what another note says."""

    night: int
    kind: str
    title: str
    field: str
    value: str
    old: str = ""
    other: str = ""

    @property
    def path(self) -> str:
        return f"{self.kind}/{self.title}.md"

    @property
    def key(self) -> str:
        """The same however the value changes."""
        return f"{self.title}/{self.field}"


@dataclass(frozen=True, slots=True)
class World:
    """`nights` of `facts` each; `changed` and `contradicted` facts a night, `deleted` notes on
    every fourth. `facts` is rounded up to whole notes."""

    seed: int
    nights: int
    facts: int
    changed: int = 1
    contradicted: int = 1
    deleted: int = 1

    def at(self, night: int) -> list[Fact]:
        """The facts of the notes that lie in the folder on `night` (from 0), as they are then."""
        facts = self._invented()
        gone: set[str] = set()
        for when in range(1, night + 1):
            dice = random.Random(f"stream/{self.seed}/later/{when}")
            before = [f for f in facts if f.night < when and f.title not in gone]
            still = [f for f in before if not f.old and not f.other]
            drawn = dice.sample(still, min(len(still), self.changed + self.contradicted))
            for number, fact in enumerate(drawn):
                value = _another(fact, dice)
                change = number < self.changed
                new = replace(fact, value=value, old=fact.value) if change else replace(
                    fact, other=value)  # fmt: skip
                facts[facts.index(fact)] = new
            if (when + 1) % DELETE_EVERY == 0:
                touched = {f.title for f in facts if f.old or f.other}
                plain = sorted({f.title for f in before} - touched)
                gone |= set(dice.sample(plain, min(len(plain), self.deleted)))
        return [f for f in facts if f.night <= night and f.title not in gone]

    def gone(self, night: int) -> list[Fact]:
        """The facts whose notes were there once and are deleted by `night`."""
        here = {fact.title for fact in self.at(night)}
        return [f for f in self._invented() if f.night < night and f.title not in here]

    def write(self, folder: Path, night: int) -> None:
        """Make `folder` what it is on `night`, whatever it was before."""
        wanted = notes(self.at(night))
        for path in sorted(folder.rglob("*.md")):
            if path.relative_to(folder).as_posix() not in wanted:
                path.unlink()
        for name, text in wanted.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")

    def _invented(self) -> list[Fact]:
        dice = random.Random(f"stream/{self.seed}")
        found: list[Fact] = []
        used: set[str] = set()
        kinds = list(KINDS)
        for night in range(self.nights):
            for number in range(-(-self.facts // FACTS_A_NOTE)):
                kind = kinds[(night + number) % len(kinds)]
                called, fields = KINDS[kind]
                title = called(dice)
                while title in used:
                    title = called(dice)
                used.add(title)
                found += [Fact(night, kind, title, f, make(dice)) for f, make in fields.items()]
        return found


def notes(facts: list[Fact]) -> dict[str, str]:
    """The notes that tell these facts, by path; what contradicts stands in a note of its own."""
    lines: dict[str, list[str]] = {}
    for fact in facts:
        lines.setdefault(fact.path, [f"# {fact.title}", ""]).append(f"{fact.field}: {fact.value}")
        if fact.other:
            again = f"heard/{fact.title}, {fact.field.lower()}.md"
            lines[again] = [f"# {fact.title}", "", f"{fact.field}: {fact.other}"]
    return {path: "\n".join(text) + "\n" for path, text in lines.items()}


def _another(fact: Fact, dice: Dice) -> str:
    make = KINDS[fact.kind][1][fact.field]
    value = make(dice)
    while value == fact.value:
        value = make(dice)
    return value
