"""What the generated notes are about: people, projects, trips, things, and near misses of them."""

from __future__ import annotations

from collections.abc import Callable

from values import DAYS, MONTHS, VALUES, Values


class Subjects(Values):
    """Values, and subjects of every kind of `relations.txt`."""

    def attribute(self) -> str:
        a = self.rng.choice(
            [a for i, a in enumerate(VALUES["attribute"]) if (i % 6 == 5) == self.held]
        )
        return f"{self.rng.choice(VALUES['adjective'])} {a}" if self.rng.random() < 0.5 else a

    def thing(self) -> str:
        r = self.rng
        thing = r.choice([t for i, t in enumerate(VALUES["thing"]) if (i % 6 == 5) == self.held])
        color, place = self.make("color"), self.place()
        kinds = [thing, f"{color} {thing}", f"{thing} in {place}", f"{self.word()} {thing}"]
        return "the " + r.choice(kinds)

    def anything(self) -> str:
        kinds = "person place code people money date time company title color phone duration"
        return self.make(self.rng.choice([*kinds.split(), "address", "petname", "task", "item"]))

    def subject(self, kind: str) -> str:
        r = self.rng
        ends = ["", "", " app", " rewrite", " migration", " site", " report", " pilot", " campaign"]
        makers: dict[str, Callable[[], str]] = {
            "person": self.person,
            "project": lambda: r.choice(["Project ", "the ", "the ", ""]) + self.word()
            + r.choice(ends),
            "meeting": lambda: r.choice(
                [f"the {self.word()} meeting", f"the meeting with {self.person()}",
                 f"the {r.choice('budget|design|planning|sales|review|board'.split('|'))} meeting",
                 f"the call with {self.company()}", f"the {self.word()} workshop"]),
            "trip": lambda: f"the {r.choice('trip to|flight to|train to|ferry to'.split('|'))} "
            + self.place(),
            "dish": lambda: r.choice([f"{self.first()}'s ", f"{self.word()} ", "the lentil ",
                                      "the plum ", "the leek ", "grandma's "])
            + r.choice(VALUES["dish kind"]),
            "device": lambda: "the " + r.choice(["", "old ", "new ", f"{self.word()} ",
                                                 f"{self.word()} {self.code()} "])
            + r.choice(VALUES["device kind"]),
            "account": lambda: "the "
            + r.choice([*VALUES["account kind"], self.company(), self.word()]) + " "
            + r.choice("account|membership|subscription|contract|card".split("|")),
            "event": lambda: r.choice(
                [f"{self.first()}'s {r.choice('wedding|party|concert|farewell'.split('|'))}",
                 f"the {self.place()} {r.choice('festival|fair|marathon|market'.split('|'))}"]),
            "book": self.title,
            "me": lambda: "I",
            "day": lambda: r.choice([r.choice(DAYS), f"{r.choice(MONTHS)} {r.randint(1, 28)}"]),
            "thing": self.thing,
        }  # fmt: skip
        return makers[kind]()

    def like(self, kind: str, subject: str) -> str:
        """Another subject of a kind, often sharing a word with this one (a near miss)."""
        if kind == "person" and " " in subject and self.rng.random() < 0.4:
            return f"{self.first()} {subject.split()[-1]}"
        if kind == "manual" and len(subject) < 4:
            return f"E{self.rng.randint(1, 99)}"
        if kind == "task":
            return self.make("task") if subject in VALUES["task"] else self.person()
        if kind == "receipt":
            return self.make("item") if subject in VALUES["item"] else self.company()
        kind = "device" if kind == "manual" else kind
        return self.subject(kind)
