"""Secrets out of what may be learned: `[redacted: kind]` in their place.

Known token formats come from detect-secrets' plugins (their patterns only; nothing is verified
over a network), the rest is what people write into notes: labelled passwords and codes, card
numbers with a right check digit, IBANs with a right checksum, private keys. What names a person is
`personal`'s, and is taken out unless the user says otherwise.

A secret that was found anywhere in a file is taken out everywhere in it, so a chunk border cannot
cut it in two. What this cannot see: a password without any label that looks like ordinary words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from nightschool.ingest.labels import CARD, CODE, COLUMN, IBAN, KEY, LABELLED, PASSWORD, TOKEN
from nightschool.ingest.personal import EMAIL, IDENTITY, PHONE, personal
from nightschool.ingest.tokens import token_patterns

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_KEY_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_KEY_WORD = re.compile(r"[A-Za-z0-9+/=>]+")
_KEY_LINE = re.compile(r"^[ \t>]*[A-Za-z0-9+/]{40,}={0,2}[ \t]*$", re.MULTILINE)
_CARD = re.compile(r"(?<![\d.,-])(?<![A-Z]{2}\d\d )[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d]|[.,]\d)")
_GROUPS = ([4, 4, 4, 4], [4, 6, 5], [4, 4, 4, 4, 3], [4, 6, 4])
"""How the digits of a card are set apart, where they are."""
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,10}\b", re.I)
_WINDOW, _OVERLAP = 8000, 800
"""Foreign patterns see so many characters at once: some take quadratic time on hostile text."""
_WORD = re.compile(r"\w+")
SECRET_KINDS = frozenset({PASSWORD, CODE, TOKEN, KEY, CARD, IBAN})
PERSONAL_KINDS = frozenset({EMAIL, PHONE, IDENTITY})
_PHRASE = re.compile(r"[a-z]+(?: [a-z]+)*", re.I)
_MARK = re.compile(
    rf"\[redacted: (?:{'|'.join(map(re.escape, sorted(SECRET_KINDS | PERSONAL_KINDS)))})\]"
)
"""Our own marks alone: in one that names anything else, that may be the secret."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where one lies in a text (offsets in characters), and of which kind it is."""

    start: int
    end: int
    kind: str


def find(text: str, *, people: bool = False, kinds: Collection[str] = SECRET_KINDS) -> list[Secret]:
    """All secrets of a text, in order, not overlapping; with `people` what names a person, too.

    Only these `kinds` of secrets are looked for.
    """
    found = list(_all(text, kinds))
    if people:
        found += [Secret(*item) for item in personal(text)]
    # The kind that a mark names would read like a label: "… is [redacted: password]".
    marks = [mark.span() for mark in _MARK.finditer(text)]
    found = [_whole(item, marks) for item in found if not _inside(item.start, marks)]
    found.sort(key=lambda item: (item.start, -item.end))
    kept: list[Secret] = []
    for item in found:
        if kept and item.start < kept[-1].end:
            if item.end > kept[-1].end:
                kept[-1] = Secret(kept[-1].start, item.end, kept[-1].kind)
            continue
        kept.append(item)
    return kept


def _inside(at: int, marks: Iterable[tuple[int, int]]) -> bool:
    return any(start <= at < end for start, end in marks)


def _whole(item: Secret, marks: Iterable[tuple[int, int]]) -> Secret:
    """With the rest of a mark that it would cut in two."""
    end = max([item.end, *(end for start, end in marks if start < item.end < end)])
    return Secret(item.start, end, item.kind)


class Redactor:
    """Redacts the passages of one file, knowing every secret that stands anywhere in it.

    `people` takes out what names a person as well. `counts` are by kind, over the whole file.
    """

    def __init__(self, whole: Iterable[str], *, people: bool = False) -> None:
        self._people = people
        self.counts: Counter[str] = Counter()
        literals: dict[str, str] = {}
        for text in whole:
            for item in find(text, people=people):
                self.counts[item.kind] += 1
                whole_value = text[item.start : item.end]
                # A key's lines may have been joined, and a passage may end between any two.
                pieces = whole_value.split() if item.kind == KEY else whole_value.split("\n")
                for piece in pieces:
                    value = piece.strip()
                    if _telling(value) and "-----" not in value:
                        literals.setdefault(value, item.kind)
        self._literals = literals
        # By their first word: an address book has thousands, and a passage holds few of them.
        self._known: dict[str, list[str]] = {}
        for value in sorted(literals, key=len, reverse=True):
            first = _WORD.search(value)
            self._known.setdefault(first[0] if first else "", []).append(value)

    def safe(self, text: str) -> str:
        """A passage of the file, with `[redacted: kind]` for each secret."""
        if not self.counts:
            return text
        words = {"", *_WORD.findall(text)} & self._known.keys()
        values = [value for word in words for value in self._known[word] if value in text]
        if values:
            values.sort(key=len, reverse=True)
            known = re.compile("|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in values))
            text = known.sub(lambda hit: f"[redacted: {self._literals[hit[0]]}]", text)
        at = 0
        parts: list[str] = []
        # What the whole file does not hold, its passages do not.
        for item in find(text, people=self._people, kinds=self.counts):
            parts += [text[at : item.start], f"[redacted: {item.kind}]"]
            at = item.end
        return "".join([*parts, text[at:]])


def _telling(value: str) -> bool:
    """Whether a value is rare enough to be taken out wherever it stands in the file."""
    if value.startswith("[redacted"):
        return False
    if len(value) >= 4 and any(char.isdigit() for char in value):
        return True
    return len(value) >= 8 and (_PHRASE.fullmatch(value) is None or " " in value)


def _all(text: str, kinds: Collection[str]) -> Iterator[Secret]:
    if KEY in kinds:
        yield from _keys(text)
    if TOKEN in kinds:
        for start in range(0, max(1, len(text)), _WINDOW - _OVERLAP):
            window = text[start : start + _WINDOW]
            for pattern in token_patterns():
                for match in pattern.finditer(window):
                    yield Secret(start + match.start(), start + match.end(), TOKEN)
    for kind, pattern in LABELLED:
        if kind in kinds:
            yield from _values(text, kind, pattern)
    if PASSWORD in kinds:
        yield from _columns(text)
    for kind, pattern, right in _CHECKED:
        if kind in kinds:
            for match in pattern.finditer(text):
                if length := right(match[0]):
                    yield Secret(match.start(), match.start() + length, kind)


def _keys(text: str) -> Iterator[Secret]:
    for match in _KEY_BLOCK.finditer(text):
        yield Secret(match.start(), match.end(), KEY)
    for match in _KEY_END.finditer(text):
        yield Secret(_key_tail(text, match.start()), match.end(), KEY)
    for match in _KEY_LINE.finditer(text):
        if _mixed(match[0]):
            yield Secret(match.start(), match.end(), KEY)


def _key_tail(text: str, end: int) -> int:
    """Where the rest of a key begins whose end stands at `end`: a passage may hold only that."""
    window = text[max(0, end - _WINDOW) : end]
    at = len(window)
    for match in reversed(list(re.finditer(r"\S+", window))):
        if not _KEY_WORD.fullmatch(match[0]):
            break
        at = match.start()
    return end - len(window) + at


def _values(text: str, kind: str, pattern: re.Pattern[str]) -> Iterator[Secret]:
    for match in pattern.finditer(text):
        start, end = match.span(1)
        value = text[start:end].rstrip(" \t\"'`*_,;”’)>")
        if kind == PASSWORD:
            value = value.rstrip(".")
        if not value or (kind == TOKEN and not _made_up(value)):
            continue
        yield Secret(start, start + len(value), kind)


def _columns(text: str) -> Iterator[Secret]:
    """Cells of a table's column that is headed as a password, code or token."""
    columns: list[int] = []
    offset = 0
    inside = False
    for line in text.split("\n"):
        if line.count("|") < 2:
            inside = False
        else:
            cells = list(re.finditer(r"(?<=\|)[^|\n]*(?=\|)", line))
            if not inside:
                columns = [i for i, cell in enumerate(cells) if COLUMN.search(cell[0])]
                inside = True
            else:
                for index in columns:
                    value = cells[index][0].strip() if index < len(cells) else ""
                    if value.strip("-: ") and not _MARK.match(value):
                        start = offset + cells[index].start() + cells[index][0].index(value)
                        yield Secret(start, start + len(value), PASSWORD)
        offset += len(line) + 1


def _made_up(value: str) -> bool:
    """Whether a value looks drawn by a program: letters and digits, or long without a pause."""
    return _mixed(value) or (len(value) >= 20 and not re.search(r"[a-z]{3}[ ._/-][a-z]{3}", value))


def _mixed(value: str) -> bool:
    """Letters and digits together, as in made-up strings; not a word, not a number."""
    return any(char.isdigit() for char in value) and any(char.isalpha() for char in value)


def _luhn(text: str) -> int:
    """The length of a card number with a right check digit, else 0."""
    digits = [int(char) for char in text if char.isdigit()]
    groups = [len(group) for group in re.split(r"[ -]", text)]
    if len(groups) > 1 and groups not in _GROUPS:
        return 0
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return 0
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return len(text) if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else 0


def _iban(text: str) -> int:
    """The length of the IBAN that a text begins with: what follows may look like more of it."""
    for end in range(len(text), 14, -1):
        code = re.sub(r"[ -]", "", text[:end]).upper()
        if text[end - 1].isalnum() and 15 <= len(code) <= 34 and not text[end : end + 1].isalnum():
            rest = code[4:] + code[:4]
            if int("".join(str(int(char, 36)) for char in rest)) % 97 == 1:
                return end
    return 0


_CHECKED: tuple[tuple[str, re.Pattern[str], Callable[[str], int]], ...] = (
    (CARD, _CARD, _luhn),
    (IBAN, _IBAN, _iban),
)
