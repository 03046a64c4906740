"""Secrets out of what may be learned: `[redacted: kind]` in their place.

Known token formats come from detect-secrets' plugins (their patterns only; nothing is verified
over a network), the rest is what people write into notes: labelled passwords and codes, card
numbers with a right check digit, IBANs with a right checksum, private keys.

A secret that was found anywhere in a file is taken out everywhere in it, so a chunk border cannot
cut it in two. What this cannot see: a password without any label that looks like ordinary words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nightschool.ingest.tokens import token_patterns

PASSWORD, CODE, TOKEN, KEY, CARD, IBAN = (
    "password", "code", "token", "private key", "card number", "IBAN",
)  # fmt: skip

_PASSWORD_WORDS = (
    r"(?:pass(?:word|phrase|wd|code)|pwd|passwort|kennwort|mot de passe|contrase(?:ñ|n)a"
    r"|(?:secret|recovery|seed|backup)[ _-]?(?:phrase|words?|key)|login secret|client[ _-]?secret)"
)
_CODE_WORDS = (
    r"(?:pins?|puk|tan|cvv|cvc|(?:pin|puk|door|gate|alarm|safe|entry|lock|key ?safe|locker|unlock"
    r"|access|security|recovery|backup|voicemail|sim|bank|garage|padlock|bike lock|verification"
    r"|pass|2fa|otp)[ _-]?(?:code|combination|number|pin|kode)|combination)"
)
_TOKEN_WORDS = (
    r"(?:(?:api|access|auth|bearer|refresh|secret|private|session|deploy|account|encryption|"
    r"licen[cs]e|product|client)[ _-]?(?:key|token|secret)|token|secret|bearer|apikey)"
)
_BETWEEN = r"[\"'*`)\]]{0,3}(?:[ \t]+(?:for|of|to|on|at|in)[ \t]+[^\n:=|]{1,60}?)?"
_SAYS = r"[ \t]*(?::|=>?|→|->|–|—)[ \t]*\n?[ \t>*-]*[\"'`]?"
_IS = r"[ \t]+(?:is|was|are|lautet|ist)(?:[ \t]+(?:now|still|set to))?[ \t]*:?[ \t]*[\"'“‘`]?"

_LABELLED: tuple[tuple[str, re.Pattern[str]], ...] = (
    (PASSWORD, re.compile(rf"\b{_PASSWORD_WORDS}s?{_BETWEEN}{_SAYS}([^\n|]{{1,200}})", re.I)),
    (PASSWORD, re.compile(rf"\b{_PASSWORD_WORDS}s?{_BETWEEN}{_IS}([^\s|]{{3,120}})", re.I)),
    (PASSWORD, re.compile(r"(?im)^[ \t>*-]*(?:pass|pw|login)[ \t]*[:=][ \t]*(\S[^\n|]{0,199})")),
    (CODE, re.compile(rf"\b{_CODE_WORDS}{_BETWEEN}(?:{_SAYS}|{_IS})(\d[\d \-–.]{{1,18}}\d)", re.I)),
    (CODE, re.compile(r"\b(?:PIN|PUK|CVV|CVC|TAN)[ \t]+(\d{3,10})\b")),
    (TOKEN, re.compile(rf"(?i)\b{_TOKEN_WORDS}{_BETWEEN}(?:{_SAYS}|{_IS})([^\s|\"'`]{{12,400}})")),
)  # fmt: skip
_COLUMN = re.compile(rf"\b(?:{_PASSWORD_WORDS}|{_CODE_WORDS}|{_TOKEN_WORDS})\b", re.I)
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_KEY_LINE = re.compile(r"^[ \t>]*[A-Za-z0-9+/]{40,}={0,2}[ \t]*$", re.MULTILINE)
_CARD = re.compile(r"(?<![\d.,-])(?<![A-Z]{2}\d\d )[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d]|[.,]\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{2,4}){3,8}\b")
_WINDOW, _OVERLAP = 8000, 800
"""Foreign patterns see so many characters at once: some take quadratic time on hostile text."""
_PHRASE = re.compile(r"[a-z]+(?: [a-z]+)*", re.I)


@dataclass(frozen=True, slots=True)
class Secret:
    """Where one lies in a text (offsets in characters), and of which kind it is."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[Secret]:
    """All secrets of a text, in order, not overlapping."""
    found = sorted(_all(text), key=lambda item: (item.start, -item.end))
    kept: list[Secret] = []
    for item in found:
        if kept and item.start < kept[-1].end:
            if item.end > kept[-1].end:
                kept[-1] = Secret(kept[-1].start, item.end, kept[-1].kind)
            continue
        kept.append(item)
    return kept


class Redactor:
    """Redacts the passages of one file, knowing every secret that stands anywhere in it."""

    def __init__(self, whole: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        literals: dict[str, str] = {}
        for text in whole:
            for item in find(text):
                self.counts[item.kind] += 1
                for line in text[item.start : item.end].split("\n"):
                    value = line.strip()
                    if _telling(value):
                        literals.setdefault(value, item.kind)
        self._literals = literals
        longest = sorted(literals, key=len, reverse=True)
        self._known = (
            re.compile("|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in longest))
            if longest
            else None
        )

    def safe(self, text: str) -> str:
        """A passage of the file, with `[redacted: kind]` for each secret."""
        if not self.counts:
            return text
        if self._known is not None:
            text = self._known.sub(lambda hit: f"[redacted: {self._literals[hit[0]]}]", text)
        at = 0
        parts: list[str] = []
        for item in find(text):
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


def _all(text: str) -> Iterator[Secret]:
    for match in _KEY_BLOCK.finditer(text):
        yield Secret(match.start(), match.end(), KEY)
    for match in _KEY_LINE.finditer(text):
        if _mixed(match[0]):
            yield Secret(match.start(), match.end(), KEY)
    for start in range(0, max(1, len(text)), _WINDOW - _OVERLAP):
        window = text[start : start + _WINDOW]
        for pattern in token_patterns():
            for match in pattern.finditer(window):
                yield Secret(start + match.start(), start + match.end(), TOKEN)
    for kind, pattern in _LABELLED:
        yield from _values(text, kind, pattern)
    yield from _columns(text)
    for kind, pattern, right in _CHECKED:
        for match in pattern.finditer(text):
            if right(match[0]):
                yield Secret(match.start(), match.end(), kind)


def _values(text: str, kind: str, pattern: re.Pattern[str]) -> Iterator[Secret]:
    for match in pattern.finditer(text):
        start, end = match.span(1)
        value = text[start:end].rstrip(" \t\"'`*_,;”’)>")
        if kind == PASSWORD:
            value = value.rstrip(".")
        if not value or value.startswith("[redacted") or (kind == TOKEN and not _mixed(value)):
            continue
        yield Secret(start, start + len(value), kind)


def _columns(text: str) -> Iterator[Secret]:
    """Cells of a table's column that is headed as a password, code or token."""
    columns: list[int] = []
    offset = 0
    inside = False
    for line in text.split("\n"):
        if not line.lstrip().startswith("|"):
            inside = False
        else:
            cells = list(re.finditer(r"(?<=\|)[^|\n]*(?=\|)", line))
            if not inside:
                columns = [i for i, cell in enumerate(cells) if _COLUMN.search(cell[0])]
                inside = True
            else:
                for index in columns:
                    value = cells[index][0].strip() if index < len(cells) else ""
                    if value.strip("-: ") and not value.startswith("[redacted"):
                        start = offset + cells[index].start() + cells[index][0].index(value)
                        yield Secret(start, start + len(value), PASSWORD)
        offset += len(line) + 1


def _mixed(value: str) -> bool:
    """Letters and digits together, as in made-up strings; not a word, not a number."""
    return any(char.isdigit() for char in value) and any(char.isalpha() for char in value)


def _luhn(text: str) -> bool:
    digits = [int(char) for char in text if char.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    code = text.replace(" ", "")
    if not 15 <= len(code) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


_CHECKED: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (CARD, _CARD, _luhn),
    (IBAN, _IBAN, _iban),
)
