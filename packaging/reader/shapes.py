"""The shapes of the generated notes. Each takes a writer and gives (text, facts in it)."""

from __future__ import annotations

from facts import Fact, Writer, capital, relations

FILLER = (
    "I should think about it again next week.", "More on this later.", "Nothing else to report.",
    "It was a long day.", "This took longer than I thought.", "Remember to check the details.",
    "The rest is still open.", "I will add to this note soon.", "We talked for a while.",
    "It could be better, but it is fine for now.", "Not sure if this will last.",
    "Everyone agreed in the end.", "I like how it turned out.", "There is still a lot to do.",
    "We need to be careful with this one.", "The neighbours were loud again.", "Coffee helped.",
    "Next time I will take photos.", "Somebody has to do the washing up.", "Ask again in spring.",
)  # fmt: skip
HEADS = ("# {}", "## {}", "{}:", "Note: {}", "**{}**", "{}")
TITLES = ("notes", "today", "to remember", "misc", "things to know", "inbox", "good to know")


def _filler(writer: Writer) -> str:
    own = [f for i, f in enumerate(FILLER) if (i % 5 == 4) == writer.held]
    return writer.rng.choice(own)


def _titled(writer: Writer, text: str, *about: str) -> str:
    rng = writer.rng
    if rng.random() < 0.5:
        return text
    title = rng.choice([*TITLES, writer.values.make("date"), *about])
    return rng.choice(HEADS).format(capital(title)) + "\n" + text


def _some(writer: Writer, low: int, high: int) -> list[Fact]:
    while not (facts := writer.facts(writer.rng.randint(low, high))):
        pass
    return facts


def prose(writer: Writer) -> tuple[str, list[Fact]]:
    rng, facts = writer.rng, _some(writer, 1, 8)
    sentences = [f.statement if f.statement[-1] in ".!?" else f.statement + "." for f in facts]
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        sentences.insert(rng.randint(0, len(sentences)), _filler(writer))
    text = rng.choice([" ", " ", " ", "\n"]).join(sentences)
    return _titled(writer, text, facts[0].subject, facts[0].name), facts


def bullets(writer: Writer) -> tuple[str, list[Fact]]:
    facts = _some(writer, 2, 8)
    mark = writer.rng.choice(["- ", "* ", "• ", "- [ ] ", ""])
    return _titled(writer, "\n".join(mark + f.statement for f in facts), facts[0].subject), facts


def key_values(writer: Writer) -> tuple[str, list[Fact]]:
    """`subject` as heading or in the line, then `name: value`."""
    rng, facts, lines = writer.rng, _some(writer, 2, 9), list[str]()
    sign = rng.choice([": ", ": ", " - ", " = "])
    facts = [f for f in facts if f.kind != "day"]  # their questions need the verb
    subjects = list(dict.fromkeys(f.subject for f in facts))
    style = rng.random()
    for subject in subjects:
        mine = [f for f in facts if f.subject == subject]
        if mine[0].kind == "me":
            lines += [f"{capital(f.name)}{sign}{f.value}" for f in mine]
        elif style < 0.3:
            lines += [f"{capital(subject)}, {f.name}{sign}{f.value}" for f in mine]
        else:
            mark = rng.choice(["- ", "", "* "])
            lines.append(rng.choice(["{}", "{}:", "# {}", "**{}**"]).format(capital(subject)))
            lines += [f"{mark}{f.name}{sign}{f.value}" for f in mine]
            lines += [""] if rng.random() < 0.4 else []
    return _titled(writer, "\n".join(lines).strip()), facts


def table(writer: Writer) -> tuple[str, list[Fact]]:
    """A Markdown or comma table: subjects down, relations across."""
    rng = writer.rng
    kind = rng.choice(["person", "project", "device", "dish", "event", "account", "trip", "book"])
    wanted = rng.sample(relations()[kind], rng.randint(2, 4))
    subjects = list(dict.fromkeys(writer.values.subject(kind) for _ in range(rng.randint(2, 5))))
    facts: list[Fact] = []
    rows = [[kind, *(r.name for r in wanted)]]
    for subject in subjects:
        mine = [writer.fact(kind, subject, relation) for relation in wanted]
        facts += mine
        rows.append([subject, *(f.value for f in mine)])
    if rng.random() < 0.6:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|" + "---|" * len(rows[0]))
    else:
        sign = rng.choice([", ", "; ", "\t", " - "])
        lines = [sign.join(row) for row in rows]
    return _titled(writer, "\n".join(lines)), facts


def contacts(writer: Writer) -> tuple[str, list[Fact]]:
    """`Anna Berg, 555-1234, anna@x.com` or with a line each: no names of fields."""
    rng = writer.rng
    pool = {r.name: r for r in relations()["person"]}
    names = rng.sample(["phone number", "email", "address", "profession", "birthday"], 2)
    sign = rng.choice([", ", " - ", "; ", "\n", " / "])
    facts: list[Fact] = []
    lines = list[str]()
    for _ in range(rng.randint(1, 5)):
        subject = writer.values.person()
        mine = [writer.fact("person", subject, pool[name]) for name in names]
        facts += mine
        lines.append(sign.join([subject, *(f.value for f in mine)]))
    return _titled(writer, ("\n\n" if sign == "\n" else "\n").join(lines), "contacts"), facts
