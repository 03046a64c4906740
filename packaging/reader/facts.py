"""Facts for the generated notes: relations and templates, and the writer that draws from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from subjects import Subjects


@dataclass(frozen=True)
class Relation:
    subject: str
    name: str
    value: str
    group: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    paired: bool


@dataclass(frozen=True)
class Fact:
    """Who or what, which relation, the value, and the questions that ask for it."""

    kind: str
    subject: str
    name: str
    group: str
    value: str
    statement: str
    questions: tuple[str, ...]


@cache
def relations() -> dict[str, list[Relation]]:
    """The table of `relations.txt` by subject type."""
    text = (Path(__file__).with_name("relations.txt")).read_text(encoding="utf-8")
    out: dict[str, list[Relation]] = {}
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith("#")]
        if not lines:
            continue
        subject, name, value, group = (part.strip() for part in lines[0].split("|"))
        statements, questions = (tuple(line[2:].split(" / ")) for line in lines[1:3])
        found = Relation(subject, name, value, group, statements, questions, len(lines) > 3)
        out.setdefault(subject, []).append(found)
    return out


WEIGHTS = {
    "person": 5, "project": 3, "meeting": 3, "trip": 3, "dish": 2, "device": 3, "account": 2,
    "event": 2, "book": 1, "me": 3, "day": 2, "thing": 4,
}  # fmt: skip
KINDS = list(WEIGHTS)
THING_S = (
    "The {a} of {x} is {v}.", "{x} has {v} as its {a}.", "For {x}, the {a} is {v}.",
    "{v} is the {a} of {x}.", "As {a} of {x} they chose {v}.",
)  # fmt: skip
THING_Q = (
    "What is the {a} of {x}?", "Tell me the {a} of {x}.", "Which {a} does {x} have?",
    "{a} of {x}?", "What was chosen as {a} of {x}?",
)  # fmt: skip


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class Writer:
    """Facts and notes of one split, from one random source."""

    def __init__(self, rng: Random, split: str) -> None:
        self.rng, self.held = rng, split != "train"
        self.values = Subjects(rng, self.held)

    def pick(self, templates: tuple[str, ...]) -> str:
        return templates[-1] if self.held else self.rng.choice(templates[:-1])

    def fact(self, kind: str, subject: str, relation: Relation) -> Fact:
        value = self.values.make(relation.value)
        for _ in range(5):
            if value.lower() not in subject.lower() and subject.lower() not in value.lower():
                break
            value = self.values.make(relation.value)
        place = self.rng.randrange(len(relation.statements) - 1)
        statement = relation.statements[-1 if self.held else place]
        questions = relation.questions[-1:] if self.held else relation.questions[:-1]
        if relation.paired and not self.held:
            questions = (relation.questions[place],)
        fill = {"{s}": subject, "{v}": value}
        return Fact(
            kind, subject, relation.name, relation.group, value,
            capital(_fill(statement, fill)),
            tuple(capital(_fill(q, fill)) for q in questions),
        )  # fmt: skip

    def thing(self) -> Fact:
        """A made-up attribute of a made-up thing: wide coverage of words and phrasing."""
        attribute, subject = self.values.attribute(), self.values.thing()
        value = self.values.anything()
        fill = {"{a}": attribute, "{x}": subject, "{v}": value}
        questions = THING_Q[-1:] if self.held else THING_Q[:-1]
        return Fact(
            "thing", subject, attribute, attribute, value,
            capital(_fill(self.pick(THING_S), fill)),
            tuple(capital(_fill(q, fill)) for q in questions),
        )  # fmt: skip

    def kind(self) -> str:
        return self.rng.choices(KINDS, list(WEIGHTS.values()))[0]

    def facts(self, count: int) -> list[Fact]:
        """Up to `count` facts of 1–4 subjects; half share their relation with another subject."""
        rng, out = self.rng, list[Fact]()
        kind = self.kind()
        subjects: list[tuple[str, str]] = []
        for _ in range(rng.choice([1, 1, 2, 2, 3, 4])):
            kind = self.kind() if rng.random() < 0.3 else kind
            subjects.append((kind, self.values.subject(kind)))
        used: list[Relation] = []
        for number in range(count):
            kind, subject = subjects[number % len(subjects)]
            if kind == "thing":
                fact = self.thing()
            else:
                pool = relations()[kind]
                same = [r for r in used if r.subject == kind]
                relation = rng.choice(same if same and rng.random() < 0.5 else pool)
                used.append(relation)
                fact = self.fact(kind, subject, relation)
            taken = any(
                f.subject == fact.subject and (f.group == fact.group != "-" or f.name == fact.name)
                for f in out
            )
            if not taken:
                out.append(fact)
        return out

    def missing(self, facts: list[Fact]) -> str:
        """A question that these facts do not answer: other relation, other subject, other note."""
        rng = self.rng
        for _ in range(20):
            about = rng.choice(facts)
            if about.kind == "thing" or rng.random() < 0.15:
                strange = self.facts(1)[0]
                if all(f.subject != strange.subject or f.kind == "me" for f in facts) and all(
                    strange.name != f.name or f.kind != "me" for f in facts
                ):
                    return rng.choice(strange.questions)
                continue
            if about.kind in relations() and (rng.random() < 0.6 or about.kind == "me"):
                relation = rng.choice(relations()[about.kind])
                mine = [f for f in facts if f.subject == about.subject]
                if any(
                    f.name == relation.name or f.group == relation.group != "-" for f in mine
                ) or any(f.kind == "me" and f.name == relation.name for f in facts):
                    continue
                return rng.choice(self.fact(about.kind, about.subject, relation).questions)
            subject = self.values.like(about.kind, about.subject)
            clash = {w for f in facts for w in f.subject.lower().split()}
            if subject.split()[0].lower() in clash and " " not in subject:
                continue
            if any(subject.lower() == f.subject.lower() for f in facts):
                continue
            asked = rng.choice(about.questions)
            if about.subject in asked:
                return asked.replace(about.subject, subject)
        return f"Who is {self.values.make('person')}?"


def _fill(template: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        template = template.replace(key, value)
    return template
