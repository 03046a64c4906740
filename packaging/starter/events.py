"""Who did what to what, for whom, where, when, with what, why: sentences put together from parts.

The tables of `packaging/reader` know about a hundred relations; a small model learns them by heart
and reads nothing else. Here verb, parts told, their order and the question vary independently, so
that only matching the question with the sentence helps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from subjects import Subjects

from starter.lexicon import Verb, verbs, wordings, words

GROUPS = {"transfer": 3, "work": 5, "people": 3, "talk": 3, "trade": 3}
NO_PLACE = ("transfer",)
WIDE = 0.65
"""Share of the wordings of `wordings.txt` in training; tests have none of them."""
HELD_OPENERS = ("So", "In short,", "For the record:")
OPENERS = ("Today", "Then", "Good news:", "Note:", "Again", "Later", "PS:", "Diary:", "FYI:")

LEADS = {
    "recipient": ("To whom", "To which person"),
    "time": ("When", "At what time or on what day"), "place": ("Where", "In which place"),
    "reason": ("Why", "For what reason"), "duration": ("How long", "For how long"),
    "for": ("For whom", "For which person"), "price": ("For how much", "At what price"),
    "at": ("Where", "In which shop"), "tool": ("With what", "Using what"),
    "with": ("With whom", "Together with whom"),
}  # fmt: skip
"""How a question for a part begins: in training, and in tests."""


@dataclass(frozen=True, slots=True)
class Event:
    """`roles` maps role → the literal value in the statement; `phrases` the role with its word."""

    verb: Verb
    group: str
    agent: str
    object: str
    roles: dict[str, str] = field(hash=False)
    phrases: dict[str, str] = field(hash=False)


class EventWriter:
    """Draws events and words them; `held` chooses the words and wordings of the tests."""

    def __init__(self, rng: Random, values: Subjects, held: bool) -> None:
        self.rng, self.values, self.held = rng, values, held

    def pick(self, name: str) -> str:
        return self.rng.choice(words(name, self.held))

    def thing(self) -> str:
        """An object: `the rusty kettle`, `a letter`, `Mara's boat`, `two boats`."""
        r, noun = self.rng, self.pick("object")
        draw = r.random()
        if draw < 0.35:
            return f"the {self.pick('adjective')} {noun}"
        if draw < 0.55:
            return f"the {noun}"
        if draw < 0.7:
            return f"{self.values.first()}'s {noun}"
        if draw < 0.85:
            return f"the {self.values.word()} {noun}"
        return f"the {self.pick('adjective')} {self.pick('adjective')} {noun}"

    def object_of(self, kind: str) -> str:
        r = self.rng
        if kind == "item":
            return self.thing()
        if kind == "paper":
            noun = self.pick("paper")
            return r.choice([f"the {noun}", f"the {self.pick('adjective')} {noun}",
                             f"the {noun} for {self.values.company()}",
                             f"the {self.values.word()} {noun}"])  # fmt: skip
        if kind == "food":
            noun = self.pick("food")
            return r.choice([f"the {noun}", f"the {self.values.word()} {noun}",
                             f"{self.values.first()}'s {noun}"])  # fmt: skip
        return self.values.person() if kind == "person" else self.pick(kind)

    def event(self, agents: list[str]) -> Event:
        """An event of a drawn or given agent, told with one to three further parts."""
        r = self.rng
        group = r.choices(list(GROUPS), list(GROUPS.values()))[0]
        verb = r.choice(verbs(group, self.held))
        agent = r.choice(agents) if agents else self.values.person()
        what = self.object_of(verb.object)
        while what == agent:
            what = self.object_of(verb.object)
        roles: dict[str, str] = {}
        phrases: dict[str, str] = {}
        kinds = ["time", "place", "reason", "duration"]
        if group == "transfer":
            roles["recipient"] = self.values.person()
            phrases["recipient"] = f"to {roles['recipient']}"
            kinds = ["time", "place", "reason"]
        if group in ("work", "trade"):
            kinds += ["for", "tool", "with"] if group == "work" else ["for", "price", "price", "at"]
        if group in ("people", "talk"):
            kinds += ["with"]
        for kind in r.sample(kinds, r.choice([0, 1, 1, 2, 2, 3])):
            if kind not in roles:
                value, phrase = self.part(kind)
                if value not in (agent, what, *roles.values()):
                    roles[kind], phrases[kind] = value, phrase
        return Event(verb, group, agent, what, roles, phrases)

    def part(self, kind: str) -> tuple[str, str]:
        """(value, phrase) of a part: `("12 May", "on 12 May")`."""
        r, v = self.rng, self.values
        if kind == "time":
            draw = r.random()
            if draw < 0.55:
                date = v.make("date")
                return date, f"on {date}"
            if draw < 0.8:
                time = v.make("time")
                return time, f"at {time}"
            month = v.make("dayofyear").strip("0123456789 ")
            return month, f"in {month}"
        if kind == "place":
            if r.random() < 0.5:
                spot = self.pick("spot")
                return spot, spot
            town = v.place()
            return town, f"in {town}"
        if kind == "at":
            firm = v.company()
            return firm, f"{r.choice(['at', 'from'])} {firm}"
        if kind == "price":
            money = v.make("money")
            return money, f"for {money}"
        if kind == "duration":
            span = v.make("duration")
            return span, f"for {span}"
        if kind == "reason":
            why = self.pick("reason")
            return why, f"because {why}"
        if kind == "tool":
            tool = self.pick("tool")
            return tool, f"with {tool}"
        person = v.person()
        return person, f"for {person}" if kind == "for" else f"together with {person}"

    def statement(self, event: Event) -> str:
        """One sentence (or note line) that tells the whole event."""
        r, e = self.rng, event
        if not self.held and r.random() < WIDE:
            return self._statement_of_many(event)
        order = list(e.phrases)
        r.shuffle(order)
        if "reason" in order:  # "because ..." swallows what follows
            order.remove("reason")
            order.append("reason")
        front = ""
        free = [k for k in order if k in ("time", "place", "at")]
        if free and r.random() < 0.3:
            front = r.choice(free)
            order.remove(front)
        tail = " ".join(e.phrases[k] for k in order)
        draw = r.random()
        if draw < 0.55:
            core = f"{e.agent} {e.verb.past} {e.object} {tail}"
        elif draw < 0.8:
            by = r.random() < 0.5
            core = f"{e.object} was {e.verb.participle} by {e.agent} {tail}"
            if not by and "reason" not in order:
                core = f"{e.object} was {e.verb.participle} {tail} by {e.agent}"
        elif draw < 0.9:
            core = f"{e.agent} has {e.verb.participle} {e.object} {tail}"
        else:
            core = f"it was {e.agent} who {e.verb.past} {e.object} {tail}"
        core = " ".join(core.split())
        if front:
            phrase = e.phrases[front]
            text = f"{phrase[:1].upper()}{phrase[1:]}{r.choice([', ', ' '])}{core}."
        elif r.random() < 0.08:
            text = f"{r.choice(HELD_OPENERS if self.held else OPENERS)} {core}."
        else:
            text = f"{core[:1].upper()}{core[1:]}."
        return text

    def _statement_of_many(self, event: Event) -> str:
        """One of the wordings that only training has."""
        r, order = self.rng, list(event.phrases)
        r.shuffle(order)
        order.sort(key=lambda role: role == "reason")  # "because ..." swallows what follows
        front = ""
        if order and order[0] in ("time", "place", "at") and r.random() < 0.25:
            front = event.phrases[order.pop(0)]
        told = wordings("event told")
        while "reason" in order and not (text := r.choice(told)).endswith("{t}"):
            pass
        text = text if "reason" in order else r.choice(told)
        if front and text[0] == "{":
            text = f"{front}{r.choice([', ', ' ', ': '])}{text}"
        elif front:
            order.insert(0, next(k for k, v in event.phrases.items() if v == front))
        text = self._fill(text, event, " ".join(event.phrases[k] for k in order)).strip(" |-,")
        text = f"{text[:1].upper()}{text[1:]}"
        return text if text[-1] in ".?!" or r.random() < 0.15 else f"{text}."

    def _fill(self, text: str, event: Event, tail: str) -> str:
        verb = event.verb
        for name, part in (
            ("a", event.agent), ("o", event.object), ("base", verb.base), ("past", verb.past),
            ("part", verb.participle), ("t", tail),
        ):  # fmt: skip
            text = text.replace("{" + name + "}", part)
        for mark in "?.;":
            text = text.replace(f" {mark}", mark)
        return " ".join(text.replace(" )", ")").split())

    def _question_of_many(self, event: Event, role: str, long: bool) -> str:
        r, e = self.rng, event
        hints = [k for k in e.phrases if k != role and (long or r.random() < 0.35)]
        name = "person object" if role == "object" and e.verb.object == "person" else role
        many = wordings(name)
        if long and role not in ("agent", "object"):
            many = tuple(text for text in many if "{a}" in text and "{o}" in text)
        if role in ("place", "at") and {"place", "at"} <= set(e.phrases):  # two wheres
            many = tuple(text for text in many if "here " not in text)
        text = self._fill(r.choice(many), e, " ".join(e.phrases[k] for k in hints))
        return f"{text[:1].upper()}{text[1:]}"

    def question(self, event: Event, role: str, *, long: bool = False) -> str:
        """A question for one part; `long` gives away every other part, so that it is unique."""
        r, e = self.rng, event
        if not self.held and r.random() < WIDE:
            return self._question_of_many(event, role, long)
        hints = [k for k in e.phrases if k != role and (long or r.random() < 0.35)]
        tail = " ".join(e.phrases[k] for k in hints)
        to = f" to {e.roles['recipient']}" if e.group == "transfer" else ""
        verb, what, who = e.verb, e.object, e.agent
        if role == "agent":
            ask = [
                f"Who {verb.past} {what}",
                f"By whom was {what} {verb.participle}",
                f"Who has {verb.participle} {what}",
                f"Which person {verb.past} {what}",
            ]
        elif role == "object":
            word = "Whom" if verb.object == "person" else "What"
            ask = [
                f"{word} did {who} {verb.base}",
                f"{word} has {who} {verb.participle}",
                f"{word} was {verb.participle} by {who}",
                f"{word} did {who} {verb.base} again",
            ]
        else:
            lead = LEADS[role][self.held]
            ask = [
                f"{lead} did {who} {verb.base} {what}",
                f"{lead} was {what} {verb.participle}" + (f" by {who}" if long else ""),
                f"{lead} has {who} {verb.participle} {what}",
            ]
            if role == "price":
                ask += [f"How much did {who} pay for {what}"]
            if role == "recipient":
                ask += [f"Who was {what} {verb.participle} to"]
        start = ask[-1] if self.held and r.random() < 0.5 else r.choice(ask[:-1] or ask)
        if role != "recipient" and to and "recipient" in hints:
            tail = " ".join(e.phrases[k] for k in hints if k != "recipient")
            start += to
        text = " ".join(f"{start} {tail}".split())
        return f"{text}?"

    def roles(self, event: Event) -> dict[str, str]:
        """Every part one can ask for, with its answer."""
        return {"agent": event.agent, "object": event.object, **event.roles}
