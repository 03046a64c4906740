"""What names a person as surely as a key opens a door: addresses, phone and identity numbers.

Only forms that can be checked, or that stand behind their own name, count: a bare row of digits
is a number like any other. Check digits are python-stdnum's, numbering plans phonenumbers'.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

EMAIL, PHONE, IDENTITY = "e-mail address", "phone number", "identity number"

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PHONE_WORDS = (
    r"(?:tele?(?:phone|fon)?|phone|mobile|cell|handy|fax|whatsapp|sms|call|ring|signal"
    r"|landline|hotline|extension|téléphone|teléfono|telefono|móvil|portable|cellulare)"
)
_DIGITS = r"\+?\(?\d(?:[ .\-/()]{0,2}\d){5,14}"
_LABELLED_PHONE = re.compile(
    rf"\b{_PHONE_WORDS}\b(?:[ .]?(?:no|nr|number|nummer|numéro)\b\.?)?"
    rf"[^\d\n+(]{{0,20}}({_DIGITS})(?!\d)",
    re.IGNORECASE,
)
_PLUS = re.compile(r"(?<![\w+])(?:\+|00)[1-9](?:[ .\-/()]{0,2}\d){6,13}(?![\d])")
_LOCAL = re.compile(
    r"(?<![\w.,+/-])(?:\(0?\d{2,5}\)|0\d{1,5})(?:[ .\-/]{1,2}\d{2,8}){1,5}(?![\w-])"
)
_AMERICAN = re.compile(
    r"(?<![\w.+-])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[.\- ])\d{3}[.\- ]\d{4}(?![\w-])"
)
_DATE = re.compile(r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})(?!\d)")
_REGIONS = ("GB", "DE", "FR", "IT", "NL", "ES", "AT", "CH", "BE", "SE", "PL", "AU", "IE", "IN")

_ID_WORDS = (
    r"(?:social security|national insurance|national id(?:entity)?|identity card|id card|passport"
    r"|tax(?:payer)?(?: id)?|ssn|nhs|nino|steuer-?id(?:entifikationsnummer)?|idnr|tin|sozial"
    r"versicherungs(?:nummer)?|svnr|reisepass|personalausweis|ausweis|driving licen[cs]e"
    r"|driver'?s licen[cs]e|residence permit|bsn|burgerservice(?:nummer)?|rijksregister(?:nummer)?"
    r"|(?-i:NIF|NIE|DNI|NIR|SIN|TFN|CNP|CPR)|cpf|pesel|personnummer|hetu|aadhaar|curp|medicare"
    r"|codice fiscale|numéro de sécurité sociale|health insurance|krankenversicherung(?:snummer)?)"
)
_LABELLED_ID = re.compile(
    rf"\b{_ID_WORDS}(?:[ -]?(?:card|number|nummer|no|nr|id|numero|número))*\.?[\"'*`)]{{0,3}}"
    r"[ \t]*(?:is|was|lautet|ist|[:=#|→-])?[ \t]*[\"'*`(]{0,3}"
    r"(?=[A-Z0-9 .\-/]*\d[A-Z0-9 .\-/]*\d[A-Z0-9 .\-/]*\d)"
    r"([A-Z0-9][A-Z0-9.\-/]{1,24}(?:[ ][A-Z0-9.\-/]{1,8}(?=[ \W]|$)){0,6})",
    re.IGNORECASE,
)
_CHECKED: tuple[tuple[str, str], ...] = (
    ("us.ssn", r"\d{3}-\d{2}-\d{4}"),
    ("es.dni", r"\d{8}-?[A-Z]"),
    ("es.nie", r"[XYZ]-?\d{7}-?[A-Z]"),
    ("it.codicefiscale", r"[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]"),
    ("fr.nir", r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}"),
    ("de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}"),
    ("pl.pesel", r"\d{11}"),
    ("se.personnummer", r"(?:19|20)?\d{6}[-+]\d{4}"),
    ("dk.cpr", r"\d{6}-\d{4}"),
    ("fi.hetu", r"\d{6}[-+A]\d{3}[0-9A-Y]"),
    ("cz.rc", r"\d{6}/\d{4}"),
    ("be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
    ("ch.ssn", r"756\.\d{4}\.\d{4}\.\d{2}"),
    ("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    ("in_.aadhaar", r"\d{4} \d{4} \d{4}"),
    ("in_.pan", r"[A-Z]{5}\d{4}[A-Z]"),
    ("ca.sin", r"\d{3}-\d{3}-\d{3}"),
    ("mx.curp", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d"),
    ("cn.ric", r"\d{17}[\dX]"),
    ("kr.rrn", r"\d{6}-\d{7}"),
    ("ro.cnp", r"[1-8]\d{12}"),
    ("ie.pps", r"\d{7}[A-W][A-IW]?"),
)
"""`stdnum` module and the form in which its numbers are written."""
_NINO = re.compile(
    r"\b(?![DFIQUV])(?!GB|NK|TN|ZZ)[A-Z](?![DFIOQUV])[A-Z] ?\d\d ?\d\d ?\d\d ?[A-D]\b"
)


def personal(text: str) -> Iterator[tuple[int, int, str]]:
    """`(start, end, kind)` of what names a person; may overlap."""
    for match in _EMAIL.finditer(text):
        yield match.start(), match.end(), EMAIL
    if not any(char.isdigit() for char in text):
        return
    yield from _phones(text)
    for match in _LABELLED_ID.finditer(text):
        start, end = match.span(1)
        value = text[start:end].rstrip(" .-/")
        if sum(char.isdigit() for char in value) >= 4:
            yield start, start + len(value), IDENTITY
    for match in _NINO.finditer(text):
        yield match.start(), match.end(), IDENTITY
    for pattern, valid in _identities():
        for match in pattern.finditer(text):
            if valid(match[0]):
                yield match.start(), match.end(), IDENTITY


def _phones(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _LABELLED_PHONE.finditer(text):
        if not _DATE.match(match[1]):
            yield match.start(1), match.end(1), PHONE
    for match in _PLUS.finditer(text):
        yield match.start(), match.end(), PHONE
    for match in _AMERICAN.finditer(text):
        if _dialled(match[0], "US"):
            yield match.start(), match.end(), PHONE
    for match in _LOCAL.finditer(text):
        if not _DATE.match(match[0]) and any(_dialled(match[0], one) for one in _REGIONS):
            yield match.start(), match.end(), PHONE


@lru_cache(maxsize=4096)
def _dialled(number: str, region: str) -> bool:
    """Whether a number can be dialled in a country, as its numbering plan says."""
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


@lru_cache(maxsize=1)
def _identities() -> tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]:
    return tuple(
        (re.compile(rf"(?<![\w.-]){form}(?![\w-])"),
         importlib.import_module(f"stdnum.{name}").is_valid)
        for name, form in _CHECKED
    )  # fmt: skip
