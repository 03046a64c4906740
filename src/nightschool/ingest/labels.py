"""What people and programs write before a secret: `Wifi password:`, `API_KEY=`, `Bearer `.

The first group of each pattern is the secret.
"""

from __future__ import annotations

import re

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
_HERE = r"(?:(?<![A-Za-z])|(?-i:(?<=[a-z])(?=[A-Z])))"
"""A label may begin inside a name: `DB_PASSWORD`, `dbPassword`."""
_BETWEEN = r"[\"'*`)\]]{0,3}(?:[ \t]+(?:for|of|to|on|at|in)[ \t]+[^\n:=|]{1,60}?)?"
_SAYS = r"[ \t]*(?::|=>?|→|->|–|—)[ \t]*\n?[ \t>*-]*[\"'`]?"
_IS = r"[ \t]+(?:is|was|are|lautet|ist)(?:[ \t]+(?:now|still|set to))?[ \t]*:?[ \t]*[\"'“‘`]?"

LABELLED: tuple[tuple[str, re.Pattern[str]], ...] = (
    (PASSWORD, re.compile(rf"{_HERE}{_PASSWORD_WORDS}s?{_BETWEEN}{_SAYS}([^\n|]{{1,200}})", re.I)),
    (PASSWORD, re.compile(rf"{_HERE}{_PASSWORD_WORDS}s?{_BETWEEN}{_IS}([^\s|]{{3,120}})", re.I)),
    (PASSWORD, re.compile(rf"\b{_PASSWORD_WORDS}[ \t]+[\"'`“]?(?=\S*\d)([^\s|]{{6,120}})", re.I)),
    (PASSWORD, re.compile(
        rf"(?<!\S)[\"'`“]?(?=\S*\d)(?=\S*[A-Za-z])([^\s|\"'`”]{{6,80}})[\"'`”]?"
        rf"[ \t]+(?:as|is|was)[ \t]+"
        rf"(?:the|my|our|your|her|his|their)[ \t]+(?:[\w-]+[ \t]+){{0,2}}{_PASSWORD_WORDS}", re.I)),
    (PASSWORD, re.compile(r"(?<!\S)--?(?:password|passwd|pass|pw)[= ][\"']?([^\s\"']{3,120})")),
    (PASSWORD, re.compile(r"(?<!\S)(?:-u|--user)[= ]?[\"']?[^\s:\"']{1,60}:([^\s\"'@]{3,120})")),
    (PASSWORD, re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,60}:([^\s/@]{3,120})@")),
    (PASSWORD, re.compile(
        r"(?im)^[ \t>*-]*(?:[\w.$-]{1,40}: )?(?:pass|pw|login)[ \t]*[:=][ \t]*(\S[^\n|]{0,199})")),
    (CODE, re.compile(
        rf"{_HERE}{_CODE_WORDS}{_BETWEEN}(?:{_SAYS}|{_IS})(\d[\d \-–.]{{1,18}}\d)", re.I)),
    (CODE, re.compile(r"\b(?:PIN|PUK|CVV|CVC|TAN)[ \t]+(\d{3,10})\b")),
    (TOKEN, re.compile(
        rf"{_HERE}{_TOKEN_WORDS}{_BETWEEN}(?:{_SAYS}|{_IS})([^\s|\"'`]{{12,400}})", re.I)),
    (TOKEN, re.compile(r"\b(?:Bearer|Basic|Token)[ \t]+([A-Za-z0-9._~+/=-]{16,})")),
    (TOKEN, re.compile(
        r"(?m)\b[A-Z][A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASS|PWD|CREDENTIALS?|AUTH|SALT|DSN)"
        r"[ \t]*[=:][ \t]*[\"']?([^\s\"',;]{8,400})")),
    (TOKEN, re.compile(
        r"[?&](?:token|key|sig|signature|secret|password|auth|code)=([^\s&#\"']{8,400})")),
)  # fmt: skip
COLUMN = re.compile(rf"\b(?:{_PASSWORD_WORDS}|{_CODE_WORDS}|{_TOKEN_WORDS})\b", re.I)
