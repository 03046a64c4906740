"""A passage as a person sees it: headings, `Key: value` lines, table rows, list items, sentences.

Every part keeps `raw`, a literal slice of the passage's safe text, as the evidence of whatever is
found in it, and `text`, the same without markup.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nightschool.pairs.rules import lexicon, parse
from nightschool.pairs.rules.spans import CALENDAR


@dataclass(frozen=True, slots=True)
class Field:
    """`key: value`, from a line, a list item or front matter."""

    raw: str
    key: str
    value: str
    heading: str
    front: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One table row with its header cells; both have the same length."""

    raw: str
    header: tuple[str, ...]
    cells: tuple[str, ...]
    heading: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; `before` are those in front of it in the same paragraph, `item` a list item."""

    raw: str
    text: str
    heading: str
    before: tuple[str, ...] = ()
    item: bool = False


Part = Field | Row | Sentence

_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^\s*(={3,}|-{3,}|_{3,}|\*{3,})\s*$")
_ITEM = re.compile(r"^\s*(?:[-*+•–]|\d{1,2}[.)])\s+(?:\[[ xX]\]\s+)?(.*\S)\s*$")
_FIELD = re.compile(
    r"^(?P<mark>\*\*|__|)(?P<key>[^\W\d_][^:|*\n]{0,47}?)(?P=mark)\s?:(?P=mark)?\s*(?P<close>\*\*|__|)"
    r"[ \t]+(?P<value>\S.*?)\s*$"
)
_DASHED = re.compile(r"^(?P<key>[^\W\d_][^:|*\n–—]{0,40}?)\s+(?:[–—=]|-)\s+(?P<value>\S.*?)\s*$")
_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)+\|?\s*$")
_REDACTED = re.compile(
    r"(?i)[\[<(⟨«{][^\]>)\n]{0,40}(redact|removed|hidden|secret)[^\]>)\n]{0,40}[\]>)⟩»}]|█|\bREDACTED\b|\*{4,}"
)


def redacted(text: str) -> bool:
    """Whether something was taken out of this text; nothing is asked about it then."""
    return bool(_REDACTED.search(text))


def clean(text: str) -> str:
    """Without Markdown marks, links shown by their words, white space folded."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)|!\[\[[^\]]*\]\]", "", text)
    text = re.sub(r"\[\[(?:[^\]|]*\|)?([^\]]*)\]\]", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__|~~|==)(.+?)\1", r"\2", text)
    text = re.sub(r"(?<![\w*])[*_](\S[^*_\n]*?)[*_](?![\w*])", r"\1", text)
    text = re.sub(r"`([^`\n]*)`", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def start_heading(safe: str, headings: Sequence[str]) -> str:
    """The heading that holds where a passage begins: the deepest that is no line of it."""
    lines = {line.strip(" #*") for line in safe.split("\n")}
    return next((h for h in reversed(headings) if h.strip(" #*") not in lines), "")


def parts(safe: str, heading: str = "", headings: Sequence[str] = ()) -> Iterator[Part]:
    """The parts of a passage in reading order.

    `heading` is the one it begins under; `headings` are lines known to be headings. Passages come
    without heading marks, so a short line that stands alone counts as one too.
    """
    titles = {h.strip(" #*") for h in headings}
    paragraph: list[str] = []
    header: tuple[str, ...] = ()
    previous = ""
    fenced = front = False
    lines = safe.split("\n")
    for number, line in enumerate(lines):
        stripped = line.strip()
        if _FENCE.match(line):
            fenced = not fenced
            yield from _sentences(paragraph, heading)
            continue
        if fenced:
            continue
        if number == 0 and stripped == "---":
            front = True
            continue
        if front:
            front = stripped != "---"
            field = _field(stripped, heading, line, front=True) if front else None
            if field:
                yield field
            continue
        if _RULE.match(line):
            header = _cells(previous)
            paragraph.clear()
            previous = ""
            continue
        if header and "|" in line:
            cells = _cells(line)
            if len(cells) == len(header):
                yield Row(stripped, header, cells, heading)
            continue
        header = () if not stripped or "|" not in line else header
        previous = line
        title = _HEADING.match(line)
        if not title and (stripped in titles or _alone(lines, number)):
            yield from _sentences(paragraph, heading)
            heading = clean(stripped).rstrip(":")
            continue
        if title or not stripped or _UNDERLINE.match(line):
            if paragraph and stripped and not title and len(paragraph) == 1 and stripped[0] in "=-":
                heading = clean(paragraph.pop())
            yield from _sentences(paragraph, heading)
            heading = clean(title.group(2)) if title else heading
            continue
        item = _ITEM.match(line) or _AMOUNT_LINE.match(line)
        text = item.group(1) if item else stripped.lstrip("> ")
        field = _field(text, heading, text) or (_dashed(text, heading) if item else None)
        if field:
            yield from _sentences(paragraph, heading)
            yield field
            continue
        if item:
            yield from _sentences(paragraph, heading)
            yield from _sentences([text], heading, item=True)
        else:
            paragraph.append(line)
    yield from _sentences(paragraph, heading)


_AMOUNT_LINE = re.compile(r"^\s*((?:\d[\d.,/–-]*|[½¼¾])\s?[^\W\d]+(?: [^\W\d]+){0,4})\s*$")


def _alone(lines: list[str], number: int) -> bool:
    """Whether this line looks like a heading: short, by itself, no sentence, something below."""
    line = lines[number].strip()
    before = lines[number - 1].strip() if number else ""
    after = lines[number + 1].strip() if number + 1 < len(lines) else ""
    below = any(other.strip() for other in lines[number + 1 :])
    return not before and not after and below and heading_like(line)


def heading_like(line: str) -> bool:
    """Short, begins with a capital or a figure, and is neither sentence, item nor field."""
    if not line or len(line) > 80 or len(line.split()) > 8 or "|" in line:
        return False
    if (
        (not line[:1].isupper() and not line[:1].isdigit())
        or line[-1] in ".!?,;"
        or _ITEM.match(line)
    ):
        return False
    return ": " not in line and parse.parse(line) is None


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _field(text: str, heading: str, raw: str, *, front: bool = False) -> Field | None:
    found = _FIELD.match(text)
    if not found:
        return None
    key, value = clean(found["key"]).strip(" *_"), found["value"]
    if len(key.split()) > 6 or key.lower().startswith(("http", "mailto")) or "." in key:
        return None
    tokens = key.lower().split()
    if len(tokens) > 2 and any(token in lexicon.AUXILIARIES for token in tokens[1:]):
        return None
    return Field(raw.strip(), key, clean(value.strip("\"' ") if front else value), heading, front)


def _dashed(text: str, heading: str) -> Field | None:
    found = _DASHED.match(text)
    if not found or len(found["key"].split()) > 5:
        return None
    return Field(text, clean(found["key"]), clean(found["value"]), heading)


_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|Nr|vs|etc|approx|ca|e\.g|i\.e|a\.m|p\.m|tel|ext|min|max|fig|Jan|Feb|"
    r"Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|\b[A-Z])\.$",
)
_STOP = re.compile(r"[.!?…][\"”')\]*_]*(?=\s+[\"“'(\[*_]*[A-ZÀ-Þ0-9£$€]|\s*$)")
_LONGEST = 400


def split(text: str) -> list[str]:
    """Literal sentences of running text; their surrounding space is dropped."""
    found: list[str] = []
    start = 0
    for stop in _STOP.finditer(text):
        inside = text[stop.start()] == "." and stop.end() < len(text)
        if inside and _ABBREVIATION.search(text[start : stop.start() + 1]):
            continue
        found.append(text[start : stop.end()].strip())
        start = stop.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _sentences(lines: list[str], heading: str, *, item: bool = False) -> Iterator[Sentence]:
    """The sentences of the collected lines, which are emptied."""
    text = "\n".join(lines)
    lines.clear()
    before: tuple[str, ...] = ()
    for raw in split(text):
        sentence = clean(raw.lstrip("> "))
        if len(raw) <= _LONGEST and not redacted(raw):
            yield Sentence(raw, sentence, heading, before, item)
        before = (*before, sentence)


_CAPITAL = re.compile(r"(?<![.!?:;\n#*|>\-–—•“\"(\[])[ ]([A-ZÀ-Þ][\w-]*[a-zß-ÿ])\b")
_OPENS = re.compile(r"(?:^|[.!?]\s+)([A-ZÀ-Þ][\w-]*[a-zß-ÿ])(?:['’]s)?\s+([a-z]+)", re.MULTILINE)


def names(texts: list[str]) -> frozenset[str]:
    """Ordinary words that these texts use as names: capitalised inside a sentence, or opening one
    right before its verb ("Wren was born"), and never in lower case."""
    whole = "\n".join(texts)
    body = "\n".join(
        line for line in whole.split("\n") if not _HEADING.match(line) and len(line.split()) > 4
    )
    lower = set(re.findall(r"\b[a-zß-ÿ][\w-]*", whole))
    inside = Counter(_CAPITAL.findall(body))
    acts = Counter(
        word
        for word, verb in _OPENS.findall(body)
        if lexicon.verb_forms(verb) & {"past", "third"} and verb not in lexicon.BE
    )
    capital = Counter(re.findall(r"\b[A-ZÀ-Þ][\w-]*[a-zß-ÿ]\b", whole))
    title = texts[0].split()
    opens = {word for word, verb in _OPENS.findall(body) if verb in lexicon.AUXILIARIES | {"is"}}
    found = set()
    for word in inside.keys() | acts.keys() | (opens & set(title)):
        low = word.lower()
        if low in lexicon.FUNCTION or low in lower or low in CALENDAR or lexicon.plural(word):
            continue
        # One capital inside a sentence may be a matter of style; with another it is a name.
        if capital[word] > 1 and (
            inside[word] > 1 or acts[word] or (word in title and opens & {word})
        ):
            found.add(word)
    return frozenset(found)
