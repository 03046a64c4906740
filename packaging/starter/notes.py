"""Notes with questions: all ours; templates and names of the tests never train.

Four writers take turns: the notes of `packaging/reader` (about a hundred relations, ten shapes),
half "R" of `packaging/probes` (the other half are exam items), events and attributes; in training
two more, relations (`frames.py`) and layouts. What they tell ends up as `Told`: a statement and
what can be asked about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import notes as reader_notes
from facts import Fact, Writer
from shapes import FILLER, HEADS, TITLES
from subjects import Subjects

from probes.notes import Writer as ProbeWriter
from starter.attributes import Attribute, AttributeWriter
from starter.events import Event, EventWriter
from starter.frames import FrameWriter
from starter.layouts import LayoutWriter
from starter.lexicon import wordings

UNKNOWN = "I don't know."
LISTS = (
    ("For {s} bring {v}.", "What should I bring for {s}?"),
    ("{s} needs {v}.", "What does {s} need?"),
    ("To buy for {s}: {v}", "What do I buy for {s}?"),
    ("We packed {v} for {s}.", "What did we pack for {s}?"),
    ("The guests of {s} are {v}.", "Who are the guests of {s}?"),
    ("In the box for {s} are {v}.", "What is in the box for {s}?"),
    ("{s} consists of {v}.", "What does {s} consist of?"),
    ("On the list of {s} stand {v}.", "What stands on the list of {s}?"),
)
"""The last statement and question are for tests."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with its answer: literal text of the note, `Yes.`, `No.` or `UNKNOWN`."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Note:
    """A note, questions it answers, and questions it does not."""

    text: str
    asks: tuple[Ask, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A statement, the questions about it (one list a value), and near misses of them."""

    statement: str
    asks: tuple[Ask, ...]
    missing: tuple[str, ...]


class NoteWriter:
    """Writes notes of one split ("train" or "test") from one random source."""

    def __init__(self, rng: Random, split: str) -> None:
        self.rng, self.split, self.held = rng, split, split != "train"
        self.values = Subjects(rng, self.held)
        self.events = EventWriter(rng, self.values, self.held)
        self.attributes = AttributeWriter(rng, self.values, self.held)
        self.frames = FrameWriter(rng, self.values, self.attributes.subject)
        self.layouts = LayoutWriter(rng, self.values, self.attributes, self.events)
        self.reader = Writer(rng, split)
        self.probes = ProbeWriter("R", seed=0)
        self.probes.random = rng

    def note(self, low: int = 2, high: int = 5) -> Note:
        """A note with `low` to `high` facts; tests never draw from the probes' half "R"."""
        r = self.rng
        kinds: list[tuple[int, Callable[[int, int], Note]]] = [
            (36, self.from_reader), (24, self.from_events), (13, self.from_attributes),
            (14, self.mixed),
        ]  # fmt: skip
        if not self.held:
            kinds += [(12, self.from_reader), (16, self.from_probes), (40, self.from_frames),
                      (14, self.from_layouts)]  # fmt: skip
        return r.choices([k for _, k in kinds], [w for w, _ in kinds])[0](low, high)

    def from_reader(self, low: int, high: int) -> Note:
        """A note of `packaging/reader`, at most `high` facts where its shape allows."""
        for _ in range(6):
            text, facts = reader_notes.note(self.reader)
            if len(facts) <= high + 2 and len(text) < 130 * high:
                break
        same = [(f.subject, f.name) for f in facts]
        asks = [
            Ask(self.rng.choice(f.questions), _literal(text, f.value))
            for f in facts
            if same.count((f.subject, f.name)) == 1
        ]
        return _note(text, asks, [self.reader.missing(facts) for _ in range(3)])

    def from_probes(self, low: int, high: int) -> Note:
        r, w = self.rng, self.probes
        facts = w.facts(r.randint(max(2, low), max(2, min(high, 5))))
        text = w.write(facts)
        asks = [Ask(w.question(f.relation, f.subject), f.value) for f in facts]
        kind = r.choice(facts)
        said = {f.relation.name for f in facts if f.subject == kind.subject}
        missing = [w.question(kind.relation, w.subject(kind.relation.subject))]
        left = [x for x in w.by_subject[kind.relation.subject] if x.name not in said]
        if left:
            missing.append(w.question(r.choice(left), kind.subject))
        return _note(text, asks, missing)

    def from_frames(self, low: int, high: int) -> Note:
        """Relations that only training has."""
        return self.compose(self.tell_frames(self.rng.randint(low, high)))

    def from_layouts(self, low: int, high: int) -> Note:
        """Tables, mails, chats and the like, in training only."""
        laid = self.layouts.laid()
        asks = [
            Ask(q, _literal(laid.text, a)) for q, a in laid.asks if a.lower() in laid.text.lower()
        ]
        return _note(laid.text, [a for a in asks if a.answer in laid.text], laid.missing)

    def tell_frames(self, count: int) -> list[Told]:
        """Facts of a few subjects; a third is asked for in two wordings or backwards."""
        r, told = self.rng, self.frames.facts(count)
        out = []
        for fact in told:
            frame, statement = fact.frame, fact.fill(r.choice(fact.frame.statements))
            wanted = r.sample(frame.questions, min(len(frame.questions), r.choice([1, 1, 2])))
            asks = [Ask(fact.fill(q), _literal(statement, fact.value)) for q in wanted]
            twins = [f for f in told if f.value.lower() == fact.value.lower()]
            if frame.reversed and len(twins) == 1 and r.random() < 0.4:
                asks.append(Ask(fact.fill(r.choice(frame.reversed)),
                                _literal(statement, fact.subject)))  # fmt: skip
            missing = [q for q in (self.frames.missing(told) for _ in range(2)) if q]
            out.append(Told(statement, tuple(asks), tuple(missing)))
        return out

    def from_events(self, low: int, high: int) -> Note:
        return self.compose(self.tell_events(self.rng.randint(max(1, low - 1), max(2, high - 1))))

    def from_attributes(self, low: int, high: int) -> Note:
        return self.compose(self.tell_attributes(self.rng.randint(low, high)))

    def mixed(self, low: int, high: int) -> Note:
        """Facts of several writers in one note, and sometimes a list."""
        r, told = self.rng, list[Told]()
        if r.random() < 0.5:
            told += self.tell_events(r.randint(1, 2))
        if r.random() < 0.5:
            told += self.tell_attributes(r.randint(1, 2))
        if r.random() < 0.4 or not told:
            told.append(self.tell_list())
        if not self.held and r.random() < 0.5:
            told += self.tell_frames(r.randint(1, 3))
        facts = self.reader.facts(r.randint(1, 3))
        told += [self.tell(f, facts) for f in facts]
        r.shuffle(told)
        return self.compose(told[: max(low, high)])

    def tell(self, fact: Fact, among: list[Fact]) -> Told:
        ask = Ask(self.rng.choice(fact.questions), _literal(fact.statement, fact.value))
        return Told(fact.statement, (ask,), (self.reader.missing(among),))

    def tell_events(self, count: int) -> list[Told]:
        """Events that share agents, verbs or objects, so that one word alone never decides."""
        r, w, found = self.rng, self.events, list[Event]()
        agents = [self.values.person() for _ in range(r.choice([1, 2, 2, 3]))]
        while len(found) < count:
            event = w.event(agents)
            if found and r.random() < 0.5:
                old = r.choice(found)
                event = (
                    Event(old.verb, old.group, event.agent, w.object_of(old.verb.object),
                          old.roles if r.random() < 0.15 else event.roles, event.phrases)
                    if old.group == event.group
                    else event
                )  # fmt: skip
                if event.roles is old.roles:
                    event = Event(event.verb, event.group, event.agent, event.object, old.roles,
                                  old.phrases)  # fmt: skip
            clash = any(
                e.verb == event.verb and (e.agent == event.agent or e.object == event.object)
                for e in found
            )
            if not clash and event.agent != event.object:
                found.append(event)
        return [self._tell_event(e, found) for e in found]

    def _tell_event(self, event: Event, others: Sequence[Event]) -> Told:
        r, w = self.rng, self.events
        statement = w.statement(event)
        said = statement if self.held else statement.lower()
        low = (lambda v: v) if self.held else str.lower
        roles = [k for k, v in w.roles(event).items() if low(v) in said or k == "agent"]
        asks = [
            Ask(w.question(event, role, long=r.random() < 0.15),
                _literal(statement, w.roles(event)[role]))
            for role in roles
        ]  # fmt: skip
        missing = []
        untold = {"time", "place", "reason", "duration", "with", "price", "for"} - set(event.roles)
        untold -= {"place"} if "at" in event.roles else set()
        role = r.choice(sorted(untold))
        if role in ("time", "place", "reason", "with", "for") or event.group in ("work", "trade"):
            missing.append(w.question(event, role))
        stranger = w.event([])
        if all((stranger.verb, x.object) != (x.verb, stranger.object) for x in others):
            swap = r.random()
            near = Event(
                event.verb if swap < 0.66 else stranger.verb, event.group,
                stranger.agent if swap < 0.33 or swap > 0.9 else event.agent,
                w.object_of(event.verb.object) if 0.33 <= swap < 0.66 else event.object,
                event.roles, event.phrases,
            )  # fmt: skip
            # a question about the changed part would be answered by the note
            ask = {True: ["object", *event.roles], False: ["agent", *event.roles]}[swap < 0.33]
            if 0.33 <= swap < 0.66 or swap < 0.33:
                missing.append(w.question(near, r.choice(ask), long=False))
            elif stranger.group == event.group and stranger.verb.object == event.verb.object:
                missing.append(w.question(near, r.choice(["object", *event.roles])))
        return Told(statement, _unique(asks), tuple(missing))

    def tell_attributes(self, count: int) -> list[Told]:
        """Attributes that share their subject or their noun."""
        r, w = self.rng, self.attributes
        found = [w.attribute()]
        while len(found) < count:
            old, draw = r.choice(found), r.random()
            new = w.attribute(
                noun=old.noun if draw < 0.4 else "", subject=old.subject if draw > 0.55 else ""
            )
            if all((f.noun, f.subject) != (new.noun, new.subject) for f in found):
                found.append(new)
        out = []
        for fact in found:
            stranger = w.attribute(noun=fact.noun) if r.random() < 0.5 else w.attribute(
                subject=fact.subject
            )  # fmt: skip
            if not self.held and " " in fact.subject and r.random() < 0.4:
                near = self.frames.near("thing", fact.subject)  # another subject, same noun
                stranger = Attribute(fact.noun, near, "") if near != fact.subject else stranger
            known = any((f.noun, f.subject) == (stranger.noun, stranger.subject) for f in found)
            missing = () if known else (w.question(stranger),)
            statement = w.statement(fact)
            asks = [Ask(w.question(fact), _literal(statement, fact.value))]
            if not self.held and r.random() < 0.25:
                asks.append(Ask(w.question(fact), asks[0].answer))
            if (
                not self.held
                and r.random() < 0.25
                and [f.value for f in found].count(fact.value) == 1
            ):
                asks.append(Ask(w.reversed(fact), _literal(statement, fact.subject)))
            out.append(Told(statement, tuple(asks), missing))
        return out

    def tell_list(self) -> Told:
        r, e = self.rng, self.events
        statement, question = LISTS[-1] if self.held else r.choice(LISTS[:-1])
        subject = self.attributes.subject()
        make = self.values.person if "guests" in statement else lambda: e.pick(
            r.choice(["object", "food", "paper"])
        )  # fmt: skip
        items = list(dict.fromkeys(make() for _ in range(r.randint(2, 4))))
        if len(items) < 2:
            items.append(self.values.word().lower())
        value = ", ".join(items)
        if r.random() < 0.7:
            value = ", ".join(items[:-1]) + f" and {items[-1]}"
        fill = lambda t: _capital(t.replace("{s}", subject).replace("{v}", value))  # noqa: E731
        other = question.replace("{s}", self.attributes.subject())
        return Told(fill(statement), (Ask(fill(question), value),), (_capital(other),))

    def compose(self, told: Sequence[Told]) -> Note:
        """Statements as prose, lines or bullets, with filler and a heading now and then."""
        r = self.rng
        lines = [t.statement if t.statement[-1] in ".!?" else t.statement + "." for t in told]
        draw = r.random()
        filler = [f for i, f in enumerate(FILLER) if (i % 5 == 4) == self.held]
        titles = list(TITLES)
        if not self.held:
            filler += wordings("filler")
            titles += wordings("title")
        if draw < 0.6:
            for _ in range(r.choice([0, 0, 0, 1, 1, 2])):
                lines.insert(r.randint(0, len(lines)), r.choice(filler))
            text = r.choice([" ", " ", " ", "\n"]).join(lines)
        else:
            mark = r.choice(["- ", "- ", "* ", "", "- [ ] ", "1. "])
            text = "\n".join(mark + line for line in lines)
        if r.random() < 0.35:
            title = r.choice([*titles, self.values.make("date"), self.values.word()])
            text = r.choice(HEADS).format(_capital(title)) + "\n" + text
        return _note(text, [a for t in told for a in t.asks], [m for t in told for m in t.missing])


def _note(text: str, asks: Sequence[Ask], missing: Sequence[str]) -> Note:
    """Without questions that have two answers, or that the note answers after all."""
    asked = {ask.question for ask in asks}
    return Note(text, _unique(asks), tuple(q for q in missing if q not in asked))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _literal(text: str, value: str) -> str:
    """The value as it stands in the text (a sentence may begin with it)."""
    if value in text:
        return value
    at = text.lower().find(value.lower())
    return text[at : at + len(value)] if at >= 0 else value


def _unique(asks: Sequence[Ask]) -> tuple[Ask, ...]:
    """Without the questions that have two answers."""
    seen: dict[str, set[str]] = {}
    for ask in asks:
        seen.setdefault(ask.question, set()).add(ask.answer)
    return tuple(dict.fromkeys(a for a in asks if len(seen[a.question]) == 1))
