"""Notes with a layout: tables, sheets of keys, mails, chats, diaries, plans, lists, change logs.

For training only. Every layout repeats its columns for several rows, so that a question has to
match both.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from subjects import Subjects

from starter.attributes import Attribute, AttributeWriter
from starter.events import Event, EventWriter
from starter.lexicon import wordings, words

KINDS = ("person", "date", "code", "money", "place", "time", "company", "first")
"""Kinds of values that a column of a table holds."""
LINES = (
    "{}: {}", "{}: {}", "- {}: {}", "{} = {}", "* {} - {}", "  {}: {}", "{}\t{}", "- **{}**: {}",
    "{} .... {}", "{}:\n  {}", "{} -> {}",
)  # fmt: skip
Asked = list[tuple[str, str]]
"""Questions with their answers."""


@dataclass(frozen=True, slots=True)
class Laid:
    """A text, what it answers, and questions that it does not."""

    text: str
    asks: Asked
    missing: list[str]


def _fill(text: str, **blanks: str) -> str:
    for name, value in blanks.items():
        text = text.replace("{" + name + "}", value)
    return text[:1].upper() + text[1:]


class LayoutWriter:
    """Draws a layout and what stands in it."""

    def __init__(
        self, rng: Random, values: Subjects, attributes: AttributeWriter, events: EventWriter
    ) -> None:
        self.rng, self.values, self.attributes, self.events = rng, values, attributes, events
        self.makers: list[Callable[[], Laid]] = [
            self.table, self.table, self.sheet, self.sheet, self.mail, self.chat, self.diary,
            self.plan, self.amounts, self.log,
        ]  # fmt: skip

    def laid(self) -> Laid:
        return self.rng.choice(self.makers)()

    def ask(self, name: str, **blanks: str) -> str:
        """A question of a list of `wordings.txt` whose other blanks are all known."""
        while "{" in (text := _fill(self.rng.choice(wordings(name)), **blanks)):
            pass
        return text

    def nouns(self, count: int) -> list[str]:
        return list(dict.fromkeys(self.attributes.noun() for _ in range(count)))

    def grid(self, rows: int, columns: int) -> tuple[list[str], list[str], list[list[str]]]:
        """Subjects, nouns and their values; a column mostly holds one kind of value."""
        r, w = self.rng, self.attributes
        subjects = list(dict.fromkeys(w.subject().removeprefix("the ") for _ in range(rows)))
        nouns = self.nouns(columns)
        makers = [r.choice(KINDS) for _ in nouns]
        cells = [
            [self.values.make(m) if r.random() < 0.85 else w.attribute().value for m in makers]
            for _ in subjects
        ]
        return subjects, nouns, cells

    def about(self, subjects: list[str], nouns: list[str], cells: list[list[str]]) -> Laid:
        """Questions for cells, and for cells that are not there."""
        r, w = self.rng, self.attributes
        asks: Asked = []
        for subject, row in zip(subjects, cells, strict=True):
            for noun, value in zip(nouns, row, strict=False):
                if value:
                    asks.append((w.question(Attribute(noun, self.the(subject), value)), value))
                    if r.random() < 0.25 and sum(value in line for line in cells) == 1:
                        asks.append((w.reversed(Attribute(noun, subject, value)), subject))
        strange = w.attribute(noun=r.choice(nouns))
        missing = (
            [w.question(strange)] if strange.subject.removeprefix("the ") not in subjects else []
        )
        other = w.attribute(subject=self.the(r.choice(subjects)))
        if other.noun not in nouns:
            missing.append(w.question(other))
        return Laid("", asks, missing)

    def the(self, subject: str) -> str:
        return f"the {subject}" if subject[:1].islower() and self.rng.random() < 0.6 else subject

    def table(self) -> Laid:
        """A table with bars, tabs, commas or wide gaps; now and then a cell is empty."""
        r = self.rng
        subjects, nouns, cells = self.grid(r.choice([2, 2, 3, 3, 4]), r.choice([1, 2, 2, 3]))
        if r.random() < 0.15:
            r.choice(cells)[r.randrange(len(nouns))] = ""
        laid = self.about(subjects, nouns, cells)
        head = [r.choice(["name", "what", "", "item", "who"]), *nouns]
        lines = [[s, *row] for s, row in zip(subjects, cells, strict=True)]
        style = r.random()
        if style < 0.45:
            text = "\n".join(
                "| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *lines]
            )
        else:
            gap = r.choice(["\t", ", ", "; ", "   ", " | ", ","])
            text = "\n".join(gap.join(row) for row in [head, *lines])
        empty = [
            self.attributes.question(Attribute(n, self.the(s), ""))
            for s, row in zip(subjects, cells, strict=True)
            for n, value in zip(nouns, row, strict=True) if not value
        ]  # fmt: skip
        return Laid(text, laid.asks, laid.missing + empty)

    def sheet(self) -> Laid:
        """`key: value` lines below the subject, as prose files, YAML, INI or JSON have them."""
        r = self.rng
        subjects, nouns, cells = self.grid(r.choice([1, 1, 2, 2, 3]), r.choice([2, 3, 3, 4]))
        laid = self.about(subjects, nouns, cells)
        style, blocks = r.random(), []
        if style < 0.12:
            made = {
                s: dict(zip(nouns, row, strict=True))
                for s, row in zip(subjects, cells, strict=True)
            }
            text = json.dumps(made, ensure_ascii=False, indent=r.choice([None, 1, 2]))
            return Laid(text, [a for a in laid.asks if a[1] in text], laid.missing)
        head = r.choice(["# {}", "## {}", "{}", "{}:", "[{}]", "**{}**", "== {} ==", "{}\n---"])
        line = r.choice(LINES)
        big = r.random() < 0.5
        for subject, row in zip(subjects, cells, strict=True):
            pairs = list(zip(nouns, row, strict=True))
            r.shuffle(pairs)
            lines = [line.format(n[:1].upper() + n[1:] if big else n, v) for n, v in pairs]
            blocks.append("\n".join([head.format(subject), *lines]))
        return Laid(r.choice(["\n\n", "\n"]).join(blocks), laid.asks, laid.missing)

    def told(self, count: int) -> tuple[list[str], Asked, list[str]]:
        """Statements of attributes and events with their questions."""
        r, w, e = self.rng, self.attributes, self.events
        lines: list[str] = []
        asks: Asked = []
        missing: list[str] = []
        for _ in range(count):
            if r.random() < 0.5:
                fact = w.attribute()
                lines.append(w.statement(fact))
                asks.append((w.question(fact), fact.value))
                missing.append(w.question(w.attribute(noun=fact.noun)))
            else:
                event = e.event([])
                lines.append(e.statement(event))
                roles = e.roles(event)
                role = r.choice([k for k in roles if roles[k].lower() in lines[-1].lower()])
                asks.append((e.question(event, role), roles[role]))
        return lines, asks, missing

    def mail(self) -> Laid:
        """A mail with its head; the mails of a thread have two senders."""
        r, v = self.rng, self.values
        sender, receiver, date = v.person(), v.person(), v.make("date")
        subject = r.choice(words("topic", False)).removeprefix("the ")
        lines, asks, missing = self.told(r.choice([1, 2, 2, 3]))
        head = [f"From: {sender}", f"To: {receiver}", f"Date: {date}", f"Subject: {subject}"]
        if r.random() < 0.5:
            r.shuffle(head)
        hello = r.choice([f"Hi {receiver},", f"Dear {receiver},", f"{receiver},", "Hello,", ""])
        bye = r.choice(
            [f"Best, {sender}", f"Yours, {sender}", f"/{sender}", "", f"Regards\n{sender}"]
        )
        text = "\n".join(part for part in ["\n".join(head), hello, " ".join(lines), bye] if part)
        known = {"a": sender, "r": receiver, "t": subject}
        for name, answer in (
            ("from", sender),
            ("to", receiver),
            ("date", date),
            ("subject", subject),
        ):
            if r.random() < 0.6:
                asks.append((self.ask(f"mail {name}", **known), answer))
        return Laid(text, asks, missing)

    def chat(self) -> Laid:
        """Lines of a few people; who said what, and what was said."""
        r, v = self.rng, self.values
        people = list(dict.fromkeys(v.person() for _ in range(3)))
        lines, asks, missing = self.told(r.choice([2, 3, 3]))
        hour, rows = r.randint(7, 20), []
        style = r.choice(["{p}: {x}", "{p}: {x}", "[{h}] {p}: {x}", "<{p}> {x}", "{p} ({h}): {x}"])
        for number, line in enumerate(lines):
            person = people[number % len(people)]
            rows.append(_fill(style, p=person, h=f"{hour}:{r.randint(10, 59)}", x=line))
            if r.random() < 0.5:
                asks.append((self.ask("said", x=line), person))
        return Laid("\n".join(rows), asks, missing)

    def diary(self) -> Laid:
        """A day as heading, an event below it."""
        r, v, e = self.rng, self.values, self.events
        days = list(dict.fromkeys(v.make("date") for _ in range(r.choice([2, 3, 3]))))
        asks: Asked = []
        blocks: list[str] = []
        seen: list[Event] = []
        for day in days:
            event = e.event([])
            for role in ("time", "duration"):
                event.roles.pop(role, None)
                event.phrases.pop(role, None)
            if any(old.verb == event.verb for old in seen):
                continue
            seen.append(event)
            line = e.statement(event)
            blocks.append(r.choice(["{}\n{}", "{}: {}", "## {}\n{}", "{} - {}"]).format(day, line))
            forms = {"a": event.agent, "o": event.object, "base": event.verb.base,
                     "past": event.verb.past, "part": event.verb.participle}  # fmt: skip
            asks.append((self.ask("diary date", **forms), day))
            roles = e.roles(event)
            role = r.choice([k for k in roles if roles[k].lower() in line.lower()])
            asks.append((e.question(event, role), roles[role]))
            if r.random() < 0.4:
                asks.append((self.ask("diary what", d=day), line))
        stranger = v.make("date")
        missing = (
            [self.ask("diary what", d=stranger)] if all(stranger not in d for d in days) else []
        )
        missing.append(e.question(e.event([]), "agent"))
        return Laid("\n".join(blocks), asks, missing)

    def plan(self) -> Laid:
        """What is when, and perhaps where and with whom, line by line."""
        r, v = self.rng, self.values
        many = r.choice([2, 3, 3, 4])
        times = list(dict.fromkeys(v.make("time") for _ in range(many)))
        names = r.sample(words("topic", False), len(times))
        with_room, with_who = r.random() < 0.5, r.random() < 0.5
        rooms = [v.make("room") for _ in names]
        people = [v.person() for _ in names]
        gap = r.choice([" ", " - ", ", ", " | ", "\t"])
        style = r.choice(["{t}{g}{x}", "{t}{g}{x}", "{x}{g}{t}", "- {t}: {x}"])
        asks: Asked = []
        lines = []
        for time, name, room, who in zip(times, names, rooms, people, strict=True):
            line = _fill(style, t=time, g=gap, x=name)
            asks += [(self.ask("slot time", x=name), time), (self.ask("slot what", t=time), name)]
            if with_room:
                line += f"{gap}{room}"
                if rooms.count(room) == 1:
                    asks.append((self.ask("slot where", x=name), room))
            if with_who:
                line += r.choice([" ({})", gap + "{}"]).format(who)
                asks.append((self.ask("slot who", x=name), who))
            lines.append(line)
        other = r.choice([n for n in words("topic", False) if n not in names])
        missing = [
            self.ask("slot time", x=other),
            self.ask("slot where" if with_room else "slot who", x=other),
        ]
        if not with_who:
            missing.append(self.ask("slot who", x=r.choice(names)))
        if not with_room:
            missing.append(self.ask("slot where", x=r.choice(names)))
        return Laid("\n".join(lines), asks, missing)

    def amounts(self) -> Laid:
        """A list with numbers and perhaps prices: shopping, stock, an invoice."""
        r, v = self.rng, self.values
        kind = r.choice(["object", "paper", "food"])
        names = r.sample(words(kind, False), r.choice([2, 3, 4, 5]))
        style = r.choice(["{n} x {x}", "{x}: {n}", "{n} {x}", "- {n} {x}", "{x} ({n})", "{x}\t{n}"])
        priced = r.random() < 0.5
        asks: Asked = []
        lines = []
        for name in names:
            number, money = str(r.randint(2, 99)), v.make("money")
            line = _fill(style, n=number, x=name)
            asks.append((self.ask("count", x=name), number))
            if priced:
                line += r.choice([" at {}", ", {}", " - {}", " ({})", "\t{}"]).format(money)
                asks.append((self.ask("item price", x=name), money))
            lines.append(line)
        other = r.choice([n for n in words(kind, False) if n not in names])
        missing = [self.ask("count", x=other)]
        if not priced:
            missing.append(self.ask("item price", x=r.choice(names)))
        return Laid("\n".join(lines), asks, missing)

    def log(self) -> Laid:
        """Versions with dates and what each brought."""
        r, v = self.rng, self.values
        major = r.randint(0, 9)
        names = [f"{r.choice(['v', ''])}{major}.{n}" for n in r.sample(range(20), r.choice([2, 3]))]
        asks: Asked = []
        lines = []
        style = r.choice(["{x} ({d}): {y}", "## {x} - {d}\n- {y}", "{d} {x}: {y}", "{x}, {d}\n{y}"])
        for name in names:
            date = v.make("date")
            noun, thing = r.choice(words("noun", False)), r.choice(words("object", False))
            change = r.choice([
                f"new {noun} for the {thing}", f"{noun} of the {thing} is {v.make('code')}",
                f"the {thing} has no {noun} any more", f"fixed the {noun} of the {thing}",
                f"removed the {thing}", f"faster {noun}", f"{noun} can be changed",
            ])  # fmt: skip
            lines.append(_fill(style, x=name, d=date, y=change))
            asks += [(self.ask("log what", x=name), change), (self.ask("log date", x=name), date),
                     (self.ask("log which", y=change), name)]  # fmt: skip
        other = f"v{major}.{r.randint(20, 40)}"
        return Laid(
            "\n".join(lines), asks, [self.ask("log what", x=other), self.ask("log date", x=other)]
        )
