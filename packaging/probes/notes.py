"""Short invented notes with questions, in two halves that share no name and no sentence.

Half "P" makes the probes (exam items, never trained on), half "R" the rehearsal prompts. Wording
comes from `relations.txt`, word lists and subjects from `shapes.txt`; invented names are dealt to
the halves by checksum, list entries by position. Everything follows from the seed.
"""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass, field

from wordings import Half, Relation, read_relations, read_shapes

UNKNOWN = "I don't know."


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ONSETS = _words("b br c d dr f fr g gl h j k kl l m n p pr qu r s sk st t th tr v w y z")
VOWELS = _words("a e i o u ai au ea ei ie oa ou")
CODAS = _words("b ck d l ld lm m n nd ng r rd rk rn s sk st t th v x")
ENDINGS = _words("a e el en er i in is o ock on or ul um us yn")
MONTHS = _words(
    "January February March April May June July August September October November December"
)
WEEKDAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation of one subject with its value and its statement in the note."""

    relation: Relation
    subject: str
    value: str
    statement: str


@dataclass(frozen=True, slots=True)
class Item:
    """A note (may be empty), a question about it, and the literal answer or `UNKNOWN`."""

    context: str
    question: str
    answer: str


def half_of(name: str) -> Half:
    """The half an invented name belongs to, whatever its case."""
    return "P" if zlib.crc32(name.lower().encode()) % 2 == 0 else "R"


def capital(text: str) -> str:
    """First letter upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


@dataclass
class Writer:
    """Writes the notes and questions of one half, in an order fixed by the seed."""

    half: Half
    seed: int
    relations: list[Relation] = field(default_factory=read_relations)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}/{self.half}")
        self.shapes = read_shapes(self.half)
        self.taken: set[str] = set()
        self.by_subject: dict[str, list[Relation]] = {}
        for relation in self.relations:
            self.by_subject.setdefault(relation.subject, []).append(relation)

    def name(self) -> str:
        """An invented word of this half that neither holds nor is held by one of this note."""
        draw = self.random
        while True:
            word = draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(CODAS)
            if draw.random() < 0.7:
                word += draw.choice(ENDINGS)
            clash = any(word in other or other in word for other in self.taken)
            if len(word) >= 4 and half_of(word) == self.half and not clash:
                self.taken.add(word)
                return word.capitalize()

    def person(self) -> str:
        return self.name() if self.random.random() < 0.4 else f"{self.name()} {self.name()}"

    def shape(self, name: str) -> str:
        """An entry of a word list with its own blanks filled."""
        text = self.random.choice(self.shapes[name])
        text = re.sub(r"\{n\}", lambda _: self.name(), text)
        return re.sub(r"\{(\w+)\}", lambda blank: self.shape(blank[1]), text)

    def subject(self, kind: str) -> str:
        return self.person() if kind == "person" else self.shape(kind)

    def value(self, kind: str) -> str:
        """A value of a kind: a drawn number, date, code or name, or a word-list entry."""
        draw = self.random
        match kind:
            case "phone":
                lead = draw.choice(["0", "+", "55"])
                return f"{lead}{draw.randint(11, 98)} {draw.randint(200, 999)} {self.digits(3)}"
            case "day":
                day, month = draw.randint(1, 28), draw.choice(MONTHS)
                weekday = draw.choice(WEEKDAYS)
                return draw.choice([f"{day} {month}", f"{month} {day}", f"{weekday} {day} {month}"])
            case "time":
                return f"{draw.randint(6, 21)}:{draw.choice(['00', '10', '15', '30', '45', '50'])}"
            case "money":
                amount = draw.randint(3, 980)
                return draw.choice([f"£{amount}", f"€{amount}", f"${amount}", f"{amount} euros"])
            case "code":
                return draw.choice(
                    [
                        f"{self.letters(2)}{self.digits(3)}",
                        f"{self.letters(1)}-{self.digits(4)}",
                        f"{self.letters(3)}-{self.digits(2)}",
                        self.digits(5),
                    ]
                )
            case "number":
                return str(draw.randint(4, 98))
            case "reading":
                return f"{draw.randint(1000, 98000)} {draw.choice(['units', 'litres', 'kWh'])}"
            case "heat":
                return f"{draw.randint(14, 24) * 10} degrees"
            case "shoe":
                return str(draw.randint(34, 47))
            case "few":
                return str(draw.randint(2, 14))
            case "baking":
                return f"{draw.randint(3, 19) * 5} minutes"
            case "interval":
                return f"{draw.randint(2, 40)} {draw.choice(['days', 'weeks', 'months'])}"
            case "amount":
                unit = draw.choice(["g", "grams", self.shape("unit")])
                much = draw.randint(4, 90) * 10 if unit in ("g", "grams") else draw.randint(2, 9)
                return f"{much} {unit} of {self.shape('grain')}"
            case "first":
                return self.name()
            case "place":
                return self.name() + draw.choice(["", "", "ton" if self.half == "P" else "wick"])
            case "firm":
                return f"{self.name()} {self.shape('ending')}"
            case "lodging":
                return self.shape("inn")
            case "person":
                return self.person()
            case _:
                return self.shape(kind)

    def digits(self, count: int) -> str:
        return "".join(self.random.choice("0123456789") for _ in range(count))

    def letters(self, count: int) -> str:
        return "".join(self.random.choice(LETTERS) for _ in range(count))

    def facts(self, count: int) -> list[Fact]:
        """`count` facts about 1 to 3 subjects, often the same relation of different subjects."""
        draw = self.random
        self.taken = set()
        kind = draw.choice([*self.by_subject, "person", "person"])
        kinds = [kind]
        kinds += [
            kind if draw.random() < 0.7 else draw.choice(list(self.by_subject))
            for _ in range(min(count, draw.choice([1, 2, 2, 3])) - 1)
        ]
        subjects = [(one, self.subject(one)) for one in kinds]
        out: list[Fact] = []
        for index in range(count):
            one, subject = subjects[index % len(subjects)]
            used = {fact.relation.name for fact in out if fact.subject == subject}
            free = [relation for relation in self.by_subject[one] if relation.name not in used]
            again = [fact.relation for fact in out if fact.relation in free]
            if free:
                pool = again if again and draw.random() < 0.4 else free
                out.append(self.fact(draw.choice(pool), subject, out))
        return out if len(out) > 1 else self.facts(count)

    def fact(self, relation: Relation, subject: str, others: list[Fact]) -> Fact:
        """A fact whose value the note does not have yet and whose statement keeps it literal."""
        wording = relation.wording[self.half]
        while True:
            value = self.value(relation.kind)
            template = self.random.choice(wording.statements)
            statement = capital(template.replace("{s}", subject).replace("{v}", value))
            known = any(value in fact.statement or fact.value in statement for fact in others)
            if value in statement and not known:
                return Fact(relation, subject, value, statement)

    def write(self, facts: list[Fact]) -> str:
        """The note: prose, bullets, or labels with values below each subject."""
        draw = self.random
        form = draw.random()
        if form < 0.55:
            lines = [fact.statement for fact in facts]
            if draw.random() < 0.3:
                lines.insert(draw.randint(0, len(lines)), self.shape("filler"))
            text = draw.choice([" ", " ", "\n"]).join(lines)
        elif form < 0.75:
            text = "\n".join(f"- {fact.statement}" for fact in facts)
        else:
            groups: dict[str, list[str]] = {}
            for fact in facts:
                label = fact.relation.wording[self.half].label
                groups.setdefault(fact.subject, []).append(f"{label}: {fact.value}")
            if draw.random() < 0.5:
                parts = [f"{capital(s)}\n- " + "\n- ".join(rows) for s, rows in groups.items()]
            else:
                parts = [f"{capital(s)}, {row}" for s, rows in groups.items() for row in rows]
            text = "\n".join(parts)
        if draw.random() < 0.3:
            text = f"{draw.choice(['# ', '', '## '])}{self.shape('heading')}\n{text}"
        return text

    def question(self, relation: Relation, subject: str) -> str:
        template = self.random.choice(relation.wording[self.half].questions)
        return capital(template.replace("{s}", subject))

    def answerable(self) -> Item:
        """A note and a question that it answers literally."""
        facts = self.facts(self.random.randint(2, 5))
        asked = self.random.choice(facts)
        context = self.write(facts)
        return Item(context, self.question(asked.relation, asked.subject), asked.value)

    def unanswerable(self) -> Item:
        """A note and a question about another subject, or about what it does not say."""
        facts = self.facts(self.random.randint(2, 4))
        near = self.random.choice(facts)
        kind = near.relation.subject
        said = {fact.relation.name for fact in facts if fact.subject == near.subject}
        left = [relation for relation in self.by_subject[kind] if relation.name not in said]
        if left and self.random.random() < 0.5:
            question = self.question(self.random.choice(left), near.subject)
        else:
            question = self.question(near.relation, self.subject(kind))
        return Item(self.write(facts), question, UNKNOWN)

    def unknowable(self) -> Item:
        """A question about an invented person or thing, with no note at all."""
        self.taken = set()
        if self.random.random() < 0.25:
            return Item("", self.shape("closed"), UNKNOWN)
        relation = self.random.choice(self.relations)
        return Item("", self.question(relation, self.subject(relation.subject)), UNKNOWN)
