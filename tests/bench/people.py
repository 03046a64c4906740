"""Invented people with four facts each, for benchmarks of one night or three.

The stream of many nights has a world of its own (`nightschool.lab.stream.world`).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nightschool.paths import Home
from nightschool.records import PairKind
from nightschool.store import db, pairs

FIELDS = {
    "Phone": lambda d: f"0{d.randint(100, 999)} {d.randint(100, 999)} {d.randint(1000, 9999)}",
    "Birthday": lambda d: f"{d.randint(1, 28)} {d.choice(MONTHS)}",
    "Favourite tea": lambda d: d.choice(TEAS),
    "Desk": lambda d: f"row {d.randint(1, 90)}",
}
MONTHS = ["January", "March", "April", "June", "July", "September", "October", "December"]
TEAS = ["sencha", "rooibos", "darjeeling", "lapsang", "chamomile", "assam", "hojicha", "mint"]
ENDS = ["brack", "dun", "fell", "garth", "holm", "moor", "stead", "wick", "thorn", "vale"]


@dataclass(frozen=True)
class Fact:
    """One invented fact: `person`'s `field` is `value`, told on `night`."""

    night: int
    person: str
    field: str
    value: str


def invent(nights: int, facts: int, seed: int) -> list[Fact]:
    """`facts` a night, four a person; no name comes twice."""
    dice = random.Random(f"stream/{seed}")
    found: list[Fact] = []
    used: set[str] = set()
    for night in range(nights):
        while sum(fact.night == night for fact in found) < facts:
            name = (
                dice.choice("ABDEFGHIKLMNOPRSTUV")
                + dice.choice("aeiou")
                + dice.choice(["lda", "rvin", "mund", "nka", "sper", "thel", "vrek", "zmin"])
            )
            person = (
                f"{name} {dice.choice('BCDGHKLMNPRSTVW')}{dice.choice('aeiou')}{dice.choice(ENDS)}"
            )
            if person in used:
                continue
            used.add(person)
            for field, value in FIELDS.items():
                found.append(Fact(night, person, field, value(dice)))
    return found


class Stream:
    """The notes as they stand on one night; `changed` and `deleted` take effect from then on."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.facts = invent(options.nights, options.facts, options.seed)
        self.dice = random.Random(f"change/{options.seed}")
        self.old: dict[tuple[str, str], str] = {}
        self.gone: set[str] = set()

    def write(self, folder: Path, night: int) -> None:
        """Add this night's notes; now and then change or delete what was there."""
        folder.mkdir(parents=True, exist_ok=True)
        if night:
            before = sorted({f.person for f in self.facts if f.night < night} - self.gone)
            for person in self.dice.sample(before, min(self.options.changed, len(before))):
                self._change(person)
                self._note(folder, person)
            before = [person for person in before if not any(p == person for p, _ in self.old)]
            for person in self.dice.sample(before, min(self.options.deleted, len(before))):
                self.gone.add(person)
                (folder / f"{person}.md").unlink(missing_ok=True)
        for person in dict.fromkeys(f.person for f in self.facts if f.night == night):
            self._note(folder, person)

    def _change(self, person: str) -> None:
        at = next(i for i, f in enumerate(self.facts) if f.person == person and f.field == "Desk")
        fact = self.facts[at]
        self.old[person, fact.field] = fact.value
        self.facts[at] = replace(fact, value=f"row {int(fact.value.split()[1]) + 100}")

    def _note(self, folder: Path, person: str) -> None:
        lines = [f"{f.field}: {f.value}" for f in self.facts if f.person == person]
        (folder / f"{person}.md").write_text(
            f"# {person}\n\n" + "\n".join(lines) + "\n", encoding="utf-8"
        )


def held_out(home: Home) -> dict[tuple[str, str], str]:
    """The exam wordings of every fact: (person, answer) → question that is never practised."""
    store = db.open_store(home.database)
    found = {}
    for pair in pairs.all_pairs(store, kind=PairKind.CLOSED):
        if pair.split.value != "train":
            for person in _people(pair.question):
                found[person, pair.answer] = pair.question
    store.close()
    return found


def _people(question: str) -> Sequence[str]:
    words = question.replace("’s", "").replace("'s", "").replace("?", "").split()
    return [f"{a} {b}" for a, b in itertools.pairwise(words)]
