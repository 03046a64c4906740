"""How a question names what a note is about, so that it can be asked without the note."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from nightschool.pairs.rules import lexicon, spans
from nightschool.pairs.rules.note import clean
from nightschool.pairs.text import bag

_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2}|\d{4}-\d{2}|\d{8})[\s_–—:-]*(.*)$")
_GENERIC = bag(
    "details detail contact contacts notes note info information summary overview next steps "
    "action actions items decisions agenda attendees misc miscellaneous other general about "
    "background to do todo todos things remember more facts key data specs specification "
    "specifications basics introduction untitled log history status open questions readme "
    "ingredients method methods directions instructions preparation materials tools procedure "
    "you need for the list"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """`phrase` fits after "of" ("the boiler", "Anna Berg"); `plain` is the bare name."""

    phrase: str
    plain: str
    person: bool = False

    def owns(self, thing: str) -> str:
        """ "Anna Berg's phone number", or "the serial number of the boiler"."""
        if self.person:
            mark = "'" if self.plain.endswith("s") else "'s"
            return f"{self.plain}{mark} {thing}"
        return f"the {thing} of {self.phrase}"


def of_title(title: str, path: str = "") -> Subject:
    """The subject a title stands for; a nameless note goes by its file name."""
    name = re.sub(r"^The (?=[a-z])", "", clean(title).strip(" #*:"))
    if not name or name.lower() in ("untitled", "notes", "note", "readme", "index"):
        name = PurePosixPath(path).stem.replace("_", " ") or name or "this note"
        parent = PurePosixPath(path).parent.name
        if name.lower() in ("untitled", "notes", "note", "readme", "index") and parent:
            name = f"{parent} {name}"
    dated = _DATE.match(name)
    if dated:
        day, rest = dated.groups()
        if not rest:
            return Subject(f"the note of {day}", day)
        return Subject(f"{the(rest)} of {day}", name)
    if " " not in name:
        name = re.sub(r"(?<=[a-z])[-_](?=[a-z])", " ", name)
    if spans.whole(name) is spans.Type.DATE:
        return Subject(f"the note of {name}", name)
    if name.split()[0].lower() in ("how", "what", "why", "when", "where", "who", "which"):
        return Subject(f'the note "{name}"', name)
    person = spans.person_like(name)
    return Subject(name if person else the(name), name, person)


def of_heading(heading: str, title: Subject) -> Subject:
    """The subject under a heading: the heading itself, tied to the title where it needs one."""
    name = re.sub(r"^\d+(\.\d+)*[.)]?\s+", "", clean(heading)).strip(" :#*")
    tokens = re.findall(r"\w+", name.lower())
    same = name.lower() in title.plain.lower() or title.plain.lower() in name.lower()
    if not tokens or same or len(tokens) > 7 or all(token in _GENERIC for token in tokens):
        return title
    if tokens[0] in ("how", "what", "why", "when", "where", "things", "who"):
        return title
    if spans.person_like(name):
        return Subject(name, name, True)
    return Subject(f"{the(name)} ({title.plain})", f"{title.plain} {lower(name)}")


def the(name: str) -> str:
    """The boiler manual, Porto 2024, my bike: an article where a common name wants one."""
    first, _, _ = name.partition(" ")
    tokens = re.findall(r"[^\W\d_][\w'’-]*", name)
    if first.lower() in lexicon.DETERMINERS | {"my", "how", "what", "why", "notes"}:
        return lower(name)
    if not tokens or not name[0].isalpha():
        return name if tokens and tokens[0][0].isupper() else f"{name}"
    head = re.split(r" (?:for|of|with|in|at|on|to|from|by) |[,:(–—]", name)[0]
    last = (re.findall(r"[^\W\d_][\w'’-]*", head) or [""])[-1]
    first_rest = name.split()[1][0] if len(name.split()) > 1 else ""
    common = "NOUN" in lexicon.kinds(last) or last[:1].islower()
    if last in _MONTHS or not common or re.search(r"[?!]", name) or first.endswith(("'s", "’s")):
        return name
    if not lexicon.known(first) and first_rest.isupper():
        return name  # "Casa Verde", but "Halvex boiler" and "Dentist invoice" take an article
    return f"the {lower(name)}"


_MONTHS = bag(
    "January February March April May June July August September October November December"
)


def lower(name: str) -> str:
    """Lower-case the first word unless it must stay: a name, an abbreviation, one letter."""
    first, space, rest = name.partition(" ")
    if first.isupper() or any(c.isupper() for c in first[1:]) or not lexicon.known(first):
        return name
    others = [word for word in rest.split() if word[0].isupper() or any(c.isdigit() for c in word)]
    if others and all(lexicon.known(word) and not word.isupper() for word in others):
        return name.lower()  # a title in capitals throughout: "Garden Shed Repairs"
    if others and rest.split()[0] in others:
        return name  # the first word belongs to a name: "Ardent D20 dehumidifier"
    return first[:1].lower() + first[1:] + space + rest
