"""Facts from the hand-written relations of `frames.txt`: wide in wording, for training only.

Notes repeat a relation for several subjects and a subject in several relations, and what is not
told is asked as well, so a question differs from a sentence of its note in one element at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from subjects import Subjects

from starter.events import GROUPS
from starter.lexicon import lists, wider, words

SLOTS = ("object", "thing", "noun", "food", "other")
"""Blanks of a relation besides subject and value, filled once a fact."""
MEASURES = {
    "distance": (2, 900, ("metres", "yards", "feet", "km", "miles", "m")),
    "measure": (3, 260, ("cm", "inches", "metres", "feet", "centimetres", "mm")),
}
CODES = ("E{}", "error {}", "code {}", "F{}", "fault {}", "Err{}", "alarm {}")
DAYTIMES = ("", "", "", " morning", " evening", " afternoon")


@dataclass(frozen=True, slots=True)
class Frame:
    """A relation: kinds of subject and value, and wordings of which any go together."""

    subject: str
    value: str
    group: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    reversed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Framed:
    """A fact: the relation, its subject and value, and what its blanks hold."""

    frame: Frame
    subject: str
    value: str
    blanks: tuple[tuple[str, str], ...]

    def fill(self, template: str) -> str:
        for name, text in (("s", self.subject), ("v", self.value), *self.blanks):
            template = template.replace("{" + name + "}", text)
        template = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", template)
        return template[:1].upper() + template[1:]


@cache
def frames() -> dict[str, tuple[Frame, ...]]:
    """The relations by kind of subject."""
    text = Path(__file__).with_name("frames.txt").read_text(encoding="utf-8")
    found: dict[str, list[Frame]] = {}
    for block in text.split("\n\n")[1:]:
        head, *lines = block.strip().split("\n")
        subject, value, group = (part.strip() for part in head.replace(">", "|").split("|"))
        by_mark = {line[0]: tuple(part.strip() for part in line[2:].split(" / ")) for line in lines}
        frame = Frame(subject, value, group, by_mark["S"], by_mark["Q"], by_mark.get("R", ()))
        found.setdefault(subject, []).append(frame)
    return {kind: tuple(of_kind) for kind, of_kind in found.items()}


class FrameWriter:
    """Draws facts of a few subjects and relations, and near misses of them."""

    def __init__(self, rng: Random, values: Subjects, thing: Callable[[], str]) -> None:
        self.rng, self.values, self.thing = rng, values, thing
        self.kinds = list(frames())
        self.weights = [len(frames()[kind]) ** 0.7 for kind in self.kinds]

    def pick(self, name: str) -> str:
        return self.rng.choice(words(name, False))

    def subject(self, kind: str) -> str:
        """A subject: `the red Zorin tram`, `Latin`, `error 17`, `max_speed`."""
        r, v = self.rng, self.values
        if kind in ("class", "medicine"):
            return self.pick(kind)
        if kind in ("pet", "vehicle", "plant", "room"):
            noun = self.pick(f"{kind}type")
            if kind == "pet":
                return v.word() if r.random() < 0.4 else f"{noun} {v.word()}"
            return r.choice([
                f"the {v.word()} {noun}", f"the {self.pick('adjective')} {noun}",
                f"the {v.make('color')} {noun}", f"{v.first()}'s {noun}",
                f"the {noun} in {v.place()}",
            ])  # fmt: skip
        if kind == "error":
            return r.choice(CODES).format(r.randint(1, 999))
        if kind == "setting":
            parts = [v.word().lower(), *r.sample(words("noun", False), 2)][r.randint(0, 1) :][:2]
            name = r.choice("_._-").join(part.replace(" ", "_") for part in parts)
            return name.upper() if r.random() < 0.3 else name
        if kind == "command":
            return f"{v.word().lower()} {r.choice(['--', '-', ''])}{v.word().lower()}"
        if kind == "order":
            return r.choice([
                f"the parcel from {v.place()}", f"order {v.code()}",
                f"the {self.pick('adjective')} {self.pick('object')}", f"{v.first()}'s parcel",
                f"the box for {v.person()}", f"the {self.pick('object')}",
            ])  # fmt: skip
        if kind == "day":
            return v.subject("day") + r.choice(DAYTIMES)
        if kind in ("firm", "town", "me", "task", "thing"):
            return {
                "firm": v.company, "town": v.place, "me": lambda: "",
                "task": lambda: v.make("task"), "thing": self.thing,
            }[kind]()  # fmt: skip
        return v.subject(kind)

    def value(self, kind: str) -> str:
        if kind in MEASURES:
            low, high, units = MEASURES[kind]
            return f"{self.rng.randint(low, high)} {self.rng.choice(units)}"
        if kind not in GROUPS and (kind in lists() or kind in wider()):
            return self.pick(kind)
        return self.values.make(kind)

    def blank(self, name: str) -> str:
        if name == "other":
            return self.values.person()
        return self.pick(name)

    def fact(self, frame: Frame, subject: str) -> Framed:
        said = " ".join((*frame.statements, *frame.questions))
        blanks = tuple((name, self.blank(name)) for name in SLOTS if "{" + name + "}" in said)
        if frame.value == "word":  # the subject itself is asked for: `type {s}`
            return Framed(frame, subject, subject, blanks)
        value = self.value(frame.value)
        for _ in range(8):
            if value.lower() not in subject.lower() and subject.lower() not in value.lower():
                break
            value = self.value(frame.value)
        return Framed(frame, subject, value, blanks)

    def facts(self, count: int) -> list[Framed]:
        """`count` facts; three in four share a subject or a relation with another."""
        r = self.rng
        kind = r.choices(self.kinds, self.weights)[0]
        subjects: list[str] = []
        for _ in range(r.choice([1, 2, 2, 3])):
            near = bool(subjects) and r.random() < 0.3
            subjects.append(self.near(kind, subjects[0]) if near else self.subject(kind))
        pool = frames()[kind]
        chosen = r.sample(pool, min(len(pool), r.choice([1, 2, 2, 3, 4])))
        found: list[Framed] = []
        for _ in range(3 * count):
            if len(found) == count:
                break
            new = self.fact(r.choice(chosen), r.choice(subjects))
            if all(not self.clash(new, old) for old in found):
                found.append(new)
        return found

    def near(self, kind: str, subject: str) -> str:
        """Another subject that shares a word with this one."""
        if " " not in subject or kind in ("task", "day", "error", "medicine", "me"):
            return self.subject(kind)
        if " in " in subject:
            return f"{subject.split(' in ')[0]} in {self.values.place()}"
        head, *rest = subject.split(" ")
        if kind in ("person", "book", "command"):
            return " ".join([head, self.values.word()])
        if head == "the" and len(rest) > 1 and self.rng.random() < 0.6:
            return " ".join(["the", self.values.word(), *rest[1:]])
        other = self.subject(kind).split(" ")
        return " ".join([*other[:-1], rest[-1]])

    def clash(self, one: Framed, other: Framed) -> bool:
        """Whether a question for one might be answered by the other."""
        same = one.subject.lower() == other.subject.lower() and one.blanks == other.blanks
        return (same and one.frame.group == other.frame.group) or (
            one.frame is other.frame
            and (one.value.lower() == other.value.lower() or one.subject == other.subject != "")
            and one.blanks == other.blanks
        )

    def missing(self, told: list[Framed]) -> str:
        """A question one element away from what is told; empty when none was found."""
        r = self.rng
        for _ in range(6):
            old = r.choice(told)
            kind, draw = old.frame.subject, r.random()
            subjects = [f.subject for f in told]
            if draw < 0.3:  # a relation that is told of somebody else
                frame, subject = r.choice(told).frame, r.choice(subjects)
            elif draw < 0.55:  # a relation that is told of nobody
                frame, subject = r.choice(frames()[kind]), old.subject
            else:
                frame, subject = old.frame, self.near(kind, old.subject)
            new = self.fact(frame, subject)
            if frame.value == "word":
                continue
            if old.blanks and frame is old.frame and (subject != old.subject or r.random() < 0.7):
                new = Framed(frame, subject, new.value, old.blanks)
            if any(
                (f.frame is frame or f.frame.group == frame.group)
                and (_within(f.subject, subject) and f.blanks == new.blanks)
                for f in told
            ):
                continue
            if (
                r.random() < 0.15
                and frame.reversed
                and all(
                    new.value.lower() not in f.value.lower() or f.frame is not frame for f in told
                )
            ):
                return new.fill(r.choice(frame.reversed))
            return new.fill(r.choice(frame.questions))
        return ""


def _within(one: str, other: str) -> bool:
    """Whether one name is part of the other: `Ann` may be `Ann Lee`."""
    a, b = set(one.lower().split()), set(other.lower().split())
    return a <= b or b <= a
