"""Typed answer candidates in a sentence: dates, times, money, quantities, names, codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from nightschool.pairs.rules import lexicon
from nightschool.pairs.text import bag


class Type(StrEnum):
    """What an answer is, which decides how to ask for it."""

    DATE = "date"
    TIME = "time"
    MONEY = "money"
    DURATION = "duration"
    QUANTITY = "quantity"
    PHONE = "phone"
    EMAIL = "email"
    CODE = "code"
    NAME = "name"
    QUOTED = "quoted"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start..end` of a text, with their type."""

    type: Type
    start: int
    end: int
    text: str


_MONTH_NAME = (
    r"January|February|March|April|May|June|July|August|September|October|November|December"
)
_MONTH = rf"(?:{_MONTH_NAME}|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?"
_DAY = r"(?:Mondays?|Tuesdays?|Wednesdays?|Thursdays?|Fridays?|Saturdays?|Sundays?)"
_AT = r"(?: (?:at|from) \d{1,2}:\d{2}(?: (?:to|until) \d{1,2}:\d{2})?\b)?"
_WORDNUM = "(?:" + "|".join(sorted(lexicon.NUMBER_WORDS, key=len, reverse=True)) + ")"
_NUM = rf"(?:\d[\d,]*(?:\.\d+)?(?:\s?[½¼¾⅓⅔])?|[½¼¾⅓⅔]|{_WORDNUM}(?:-{_WORDNUM})?|half an?|an?)"
_DIGITS = r"\d[\d,]*(?:[.,]\d+)?"
_TIME_UNIT = (
    r"(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|nights?|weeks?|months?|years?|decades?)"
)
_UNIT = (
    r"(?:°\s?[CF]?|degrees?(?: Celsius| Fahrenheit)?|%|per ?cent|percent|kg|g|mg|grams?|kilos?"
    r"|kilograms?|lbs?"
    r"|oz|ounces?|tonnes?|tons?|ml|cl|dl|l|litres?|liters?|pints?|gallons?|cups?|tbsp|tsp"
    r"|tablespoons?|teaspoons?|km|m|cm|mm|metres?|meters?|kilomet(?:re|er)s?|centimet(?:re|er)s?"
    r"|millimet(?:re|er)s?|miles?|feet|foot|ft|inch(?:es)?|yards?|m²|m2|square met(?:re|er)s?"
    r"|km/h|mph"
    r"|W|kW|kWh|watts?|volts?|V|A|amps?|Hz|kHz|MHz|GHz|GB|MB|TB|kB|bytes?|Mbps|Mbit/s|dB|ppm"
    r"|bar|psi|rpm|lumens?|pixels?|px|calories|kcal|mAh)"
)

_PATTERNS: tuple[tuple[Type, re.Pattern[str]], ...] = (
    (Type.EMAIL, re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    (Type.QUOTED, re.compile(r"[\"“]([^\"“”\n]{2,60})[\"”]")),
    (
        Type.DATE,
        re.compile(
            rf"\b(?:the )?(?:first|second|third|fourth|last) {_DAY} (?:of|in) (?:the|each|every) "
            rf"month\b|\bevery (?:other |second )?(?:day|night|morning|evening|week|weekend|month"
            rf"|year|spring|summer|autumn|winter|{_MONTH_NAME})\b(?: at \d{{1,2}}[:.]\d{{2}})?"
            rf"|\b(?:{_DAY},? )?(?:the )?\d{{1,2}}(?:st|nd|rd|th)?"
            rf"(?:\s?(?:to|and|[-–])\s?\d{{1,2}}(?:st|nd|rd|th)?)? (?:of )?{_MONTH}"
            rf"(?:,? \d{{4}})?\b{_AT}"
            rf"|\b(?:{_DAY},? )?{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?!\d)"
            rf"(?:\s?[-–]\s?\d{{1,2}})?(?:,? \d{{4}})?\b{_AT}"
            rf"|\b{_MONTH} \d{{4}}\b|\b\d{{4}}-\d{{2}}-\d{{2}}\b"
            rf"|\b\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}\b"
            rf"|\b(?:early |late |mid-)?(?:spring|summer|autumn|winter) (?:of )?\d{{4}}\b"
        ),
    ),
    (
        Type.MONEY,
        re.compile(
            rf"(?:[£$€¥]|(?:EUR|USD|GBP|CHF)\s)\s?{_DIGITS}(?:\s?(?:k|m|million|thousand)\b)?"
            rf"|\b{_DIGITS}\s?(?:€|euros?\b|EUR\b|dollars?\b|USD\b|pounds?\b|GBP\b|CHF\b|francs?\b"
            r"|kr\b|kroner\b|SEK\b|NOK\b|DKK\b|yen\b|pence\b|cents?\b|zł\b|p\b)"
        ),
    ),
    (
        Type.TIME,
        re.compile(
            r"\b\d{1,2}:\d{2}(?:\s?(?:[-–]|to|until)\s?\d{1,2}:\d{2})?"
            r"(?:\s?(?:am|pm|a\.m\.|p\.m\.))?(?!\d)|(?<=\b[Aa]t )\d{1,2}\.\d{2}(?!\d| ?%)"
            r"|\b\d{1,2}(?:\.\d{2})?\s?(?:am|pm|a\.m\.|p\.m\.|o'clock)(?!\w)"
            r"|\b(?:half past|quarter to|quarter past) \w+|\b(?:noon|midnight)\b"
        ),
    ),
    (
        Type.PHONE,
        re.compile(r"(?<![\w.])(?:\+\d{1,3}[ -]?)?\(?\d{2,5}\)?(?:[ /-]?\d{2,4}){2,5}(?![\w.]\d)"),
    ),
    (
        Type.DURATION,
        re.compile(
            rf"\b(?:about |around |at least |up to )?{_NUM}(?:\s?(?:to|or|[-–])\s?{_NUM})?"
            rf"(?: and a half)?[ -]?(?:(?:working|full|whole|more) )?{_TIME_UNIT}"
            rf"(?: and (?:a half|{_NUM} {_TIME_UNIT}))?\b",
            re.IGNORECASE,
        ),
    ),
    (
        Type.QUANTITY,
        re.compile(
            rf"(?<![\w.])(?:{_DIGITS}|{_WORDNUM}|half a|[½¼¾])(?:\s?(?:to|by|[-–x×])\s?{_DIGITS})?"
            rf"[ -]?{_UNIT}(?!\w)"
        ),
    ),
    (
        Type.DATE,
        re.compile(rf"\b(?:every )?{_DAY}(?: (?:morning|afternoon|evening|night)s?)?\b{_AT}"),
    ),
    (Type.DATE, re.compile(r"(?<=\b[Ii]n )(?:19|20)\d{2}\b|(?<=\b[Ss]ince )(?:19|20)\d{2}\b")),
    (
        Type.DATE,
        re.compile(
            rf"(?<=\b[Ii]n )(?:early |late |mid-)?(?:{_MONTH_NAME}|spring|summer|autumn|winter)\b"
        ),
    ),
    (
        Type.CODE,
        re.compile(
            r"\b0x[0-9A-Fa-f]+\b|\b[A-Z]{1,6}[-/]?\d[A-Za-z0-9/-]*\b"
            r"|\b\d+[A-Z]{1,3}(?:[-/][A-Z0-9]+)*\b|\b[A-Z]{2,}(?:-[A-Z0-9]+)+\b"
        ),
    ),
)

_URL = re.compile(r"(?:https?://|www\.)\S+")
_TITLE = r"(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|St|Sir|Uncle|Aunt|Auntie|Coach|Captain)\.? )?"
_CAP = r"[A-ZÀ-ÖØ-Þ][\w’'-]*[\w]|[A-ZÀ-ÖØ-Þ]\b"
_NAME = re.compile(
    rf"{_TITLE}(?:{_CAP})(?:(?: | (?:of|the|de|da|di|van|von|der|la|le|du|des|of the|&) )"
    rf"(?:{_CAP}|\d+))*"
)
_NUMBER = re.compile(rf"(?<![\w.,-]){_DIGITS}(?![\w%-])|\b{_WORDNUM}\b", re.IGNORECASE)


def find(text: str) -> list[Span]:
    """Non-overlapping candidates in order of appearance; links are never answers."""
    taken = [(hit.start(), hit.end()) for hit in _URL.finditer(text)]
    spans: list[Span] = []

    def add(kind: Type, start: int, end: int) -> None:
        if start < end and not any(start < stop and begin < end for begin, stop in taken):
            taken.append((start, end))
            spans.append(Span(kind, start, end, text[start:end]))

    for kind, pattern in _PATTERNS:
        for hit in pattern.finditer(text):
            if kind is Type.PHONE and sum(c.isdigit() for c in hit.group()) < 7:
                continue
            group = 1 if kind is Type.QUOTED else 0
            add(kind, *_trim(text, hit.start(group), hit.end(group)))
    for hit in _NAME.finditer(text):
        start, end = _name_edges(text, hit.start(), hit.end())
        if text[start:end].lower().rstrip("s") in CALENDAR:
            continue
        add(Type.NAME, start, end)
    for hit in _NUMBER.finditer(text):
        add(Type.NUMBER, hit.start(), hit.end())
    return sorted(spans, key=lambda span: span.start)


def whole(text: str) -> Type | None:
    """The type of a text that is nothing but one candidate (a value of `Key: value`)."""
    spans = find(text)
    if len(spans) == 1 and spans[0].end - spans[0].start >= len(text.strip()) - 1:
        return spans[0].type
    return None


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while end > start and text[end - 1] in " ,;:.":
        if text[end - 1] == "." and text[max(start, end - 4) : end].lower() in ("a.m.", "p.m."):
            break
        end -= 1
    return start, end


def _name_edges(text: str, start: int, end: int) -> tuple[int, int]:
    """Drop an ordinary word that is capitalised only because the sentence starts there."""
    if text[start:end] == "I" or text[start:end].startswith(("I'", "I’")):
        return start, start
    at_start = start == 0 or text[:start].rstrip()[-1:] in ".!?:"
    if at_start:
        first, _, rest = text[start:end].partition(" ")
        if lexicon.known(first):
            if not rest or not rest[0].isupper():
                return start, start
            return start + len(first) + 1, end
    if text[start:end].endswith(("'s", "’s")):
        end -= 2
    return start, end


CALENDAR = bag(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may "
    "june july august september october november december"
)
_PLACE = bag(
    "street st road rd lane avenue square hotel inn hostel café cafe restaurant bakery bank school "
    "college university hospital clinic surgery station airport harbour port beach park garden "
    "gardens museum library church cathedral hall theatre cinema centre center market shop store "
    "farm village island isle bay river lake mountain valley house cottage flat office room "
    "kitchen bridge pier quay mill gallery gym pool court gate terminal campus building barn works "
    "workshop studio club pub bar"
)
_NAME_PART = re.compile(r"[^\W\d_a-zß-ÿ][^\W\d_'’-]*(?:['’-][^\W\d_]+)*$")
_HONORIFIC = bag("mr mrs ms miss dr prof sir uncle aunt auntie coach captain")


def place_like(name: str) -> bool:
    """A name whose last word says that it is somewhere."""
    parts = [part.strip(".,'’").lower() for part in name.split()]
    return any(part in _PLACE for part in parts[-2:])


def person_like(name: str) -> bool:
    """One to three capitalised words, none of them ordinary, or an honorific in front."""
    parts = name.replace("’", "'").split()
    if not parts or place_like(name):
        return False
    if any(part.lower().rstrip("s") in CALENDAR for part in parts):
        return False
    if parts[0].rstrip(".").lower() in _HONORIFIC:
        return len(parts) > 1
    if len(parts) > 3 or not all(_NAME_PART.match(part) for part in parts):
        return False
    if any(part.isupper() and len(part) > 1 for part in parts):
        return False
    return not lexicon.kinds(parts[0])
