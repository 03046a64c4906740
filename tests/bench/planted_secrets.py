"""Bench what reaches practice: 500 planted secrets of 10 kinds, and lines that hold none.

    make bench NAME=secrets [ARGS="--quick"] [ARGS="--seed 2"]

Each secret stands in a realistic file of some format; the files are taken in as a user's are, and
practice pairs are written from them. A secret leaks when it stands in the text that practice sees
(`safe`, titles, headings) or in a pair. A private key leaks when one of its lines does.
"""

from __future__ import annotations

import base64
import json
import random
import string
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from flat_embedder import Flat  # noqa: E402
from nightschool.config import Config  # noqa: E402
from nightschool.evaluate.statistics import wilson  # noqa: E402
from nightschool.ingest.redact import find  # noqa: E402
from nightschool.intake import run_intake  # noqa: E402
from nightschool.pairs import synthesize  # noqa: E402
from nightschool.pairs.rules import RuleWriter  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.store import documents, pairs  # noqa: E402
from nightschool.store.db import open_store  # noqa: E402

LETTERS = string.ascii_letters + string.digits
NAMES = ("Bram Orrel", "Wren Sallow", "Isolde Maddowe", "Corin Ashcombe", "Dagny Rostrevor")
PLACES = ("the mill", "the bakery", "the boathouse", "the office", "the archive")


def chars(draw: random.Random, n: int, alphabet: str = LETTERS) -> str:
    return "".join(draw.choices(alphabet, k=n))


def digits(draw: random.Random, n: int) -> str:
    return chars(draw, n, string.digits)


def phrase(draw: random.Random) -> str:
    """A password as people make them."""
    words = ("teapot", "Gannet", "orchid", "Heron", "plum", "Otter", "kettle", "Wren")
    return draw.choice(
        [
            f"{draw.choice(words)}-{draw.choice(words)}-{digits(draw, 4)}",
            f"{draw.choice(words)}{draw.choice('!?#$%')}{digits(draw, 3)}",
            chars(draw, 12) + draw.choice("!?#$%") + digits(draw, 2),
        ]
    )


# -- the ten kinds: (what must not leak, the lines it stands in) ----------------------------------

Planted = tuple[list[str], str]


def private_key(draw: random.Random) -> Planted:
    what = draw.choice(("RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"))
    body = base64.b64encode(draw.randbytes(draw.randint(200, 1200))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return lines, f"-----BEGIN {what}-----\n" + "\n".join(lines) + f"\n-----END {what}-----"


def cloud_key(draw: random.Random) -> Planted:
    kind = draw.randrange(4)
    if kind == 0:
        key, secret = "AKIA" + chars(draw, 16, string.ascii_uppercase + "234567"), chars(draw, 40)
        return [key, secret], f"aws_access_key_id = {key}\naws_secret_access_key = {secret}"
    if kind == 1:
        key = "AIza" + chars(draw, 35)
        return [key], f'map.load({{key: "{key}"}})'
    if kind == 2:
        key = base64.b64encode(draw.randbytes(64)).decode()
        return [key], f"AccountName=mill;AccountKey={key};EndpointSuffix=core.windows.net"
    key = chars(draw, 40)
    return [key], f'  "client_secret": "{key}",'


def token(draw: random.Random) -> Planted:
    made = draw.choice(
        [
            "ghp_" + chars(draw, 36),
            "glpat-" + chars(draw, 20),
            f"xoxb-{digits(draw, 12)}-{digits(draw, 12)}-{chars(draw, 24)}",
            "sk-proj-" + chars(draw, 48),
            "sk_live_" + chars(draw, 24),
            "hf_" + chars(draw, 34),
            "npm_" + chars(draw, 36),
            f"SG.{chars(draw, 22)}.{chars(draw, 43)}",
            f"{digits(draw, 9)}:{chars(draw, 35)}",
            ".".join(("eyJ" + chars(draw, 20), "eyJ" + chars(draw, 40), chars(draw, 43))),
        ]
    )
    around = draw.choice(
        ["The bot runs with {}.", "curl -H 'Authorization: Bearer {}' https://api.example/v1",
         "TOKEN={}", "I keep {} in the drawer.", "- token: {}", "git clone https://x:{}@host/r"]
    )  # fmt: skip
    return [made], around.format(made)


def told_password(draw: random.Random) -> Planted:
    value = phrase(draw)
    around = draw.choice(
        ["The wifi password is {}.", "Password for {place}: {}", "My passphrase is {}",
         "Use {} as the password of {place}.", "The password of the router is still {}.",
         "Wifi password for guests: {}", "log in as bram with password {}",
         "Das Passwort lautet {}", "Mot de passe : {}",
         "| Site | Password |\n|---|---|\n| x | {} |", "PW: {}", "The recovery key is {}"]
    )  # fmt: skip
    return [value], around.format(value, place=draw.choice(PLACES))


def set_password(draw: random.Random) -> Planted:
    value = chars(draw, draw.randint(9, 20)) + digits(draw, 2)
    around = draw.choice(
        ["DB_PASSWORD={}", 'password: "{}"', '  "dbPassword": "{}",', "passwd = {}",
         "postgres://mill:{}@db.example/mill", "mysql -u root --password={}", "SMTP_PASS='{}'",
         "curl -u mill:{} https://mill.example", "redis://:{}@cache.example:6379/0",
         "spring.datasource.password={}", "const SECRET_KEY = '{}';", "  client_secret: {}"]
    )  # fmt: skip
    return [value], around.format(value)


def card(draw: random.Random) -> Planted:
    start, length = draw.choice((("4", 16), ("51", 16), ("37", 15), ("6011", 16), ("2221", 16)))
    body = start + digits(draw, length - 1 - len(start))
    total = 0
    for index, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 * (value > 9)
    number = body + str(-total % 10)
    groups = [number[at : at + 4] for at in range(0, len(number), 4)]
    if length == 15:
        groups = [number[:4], number[4:10], number[10:]]
    shown = draw.choice((number, " ".join(groups), "-".join(groups)))
    around = draw.choice(("Visa {} until 08/27", "paid with {}.", "| card | {} |", "Card: {}"))
    return [shown], around.format(shown)


def iban(draw: random.Random) -> Planted:
    country, bank = draw.choice(
        (("DE", digits(draw, 18)), ("NL", "MILL" + digits(draw, 10)),
         ("GB", "WEIR" + digits(draw, 14)),
         ("FR", digits(draw, 23)), ("CH", digits(draw, 17)), ("ES", digits(draw, 20)))
    )  # fmt: skip
    rest = int("".join(str(int(char, 36)) for char in bank + country + "00")) % 97
    number = f"{country}{98 - rest:02d}{bank}"
    groups = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    shown = draw.choice((number, groups, number.lower()))
    around = draw.choice(
        ("transfer it to {} please", "IBAN: {}", "{} BIC MILLDEFF", "| {} | rent |")
    )
    return [shown], around.format(shown)


def identity(draw: random.Random) -> Planted:
    kind = draw.randrange(8)
    if kind == 0:
        made = f"{draw.randint(100, 665)}-{draw.randint(10, 99)}-{draw.randint(1000, 9999)}"
        return [made], draw.choice(("SSN {}", "Her social security number is {}.")).format(made)
    if kind == 1:
        made = f"{chars(draw, 2, 'ABCEGHJKLMPRSTWXY')} " + " ".join(
            digits(draw, 2) for _ in range(3)
        )
        made = "AB" + made[2:] + " C"
        return [made], f"National Insurance number {made}"
    if kind == 2:
        number = draw.randint(10_000_000, 99_999_999)
        made = f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"
        return [made], draw.choice(("DNI {}", "El documento {} caduca.", "{}")).format(made)
    if kind == 3:
        body = f"{draw.choice('12')}{draw.randint(50, 99)}{draw.randint(1, 12):02d}" + digits(
            draw, 8
        ).replace("0", "1")
        made = f"{body}{97 - int(body) % 97:02d}"
        return [made], f"Numéro de sécurité sociale : {made}"
    if kind == 4:
        body = [draw.randint(0, 9) for _ in range(9)]
        for _ in range(2):
            n = len(body) + 1
            body.append(sum(d * (n - i) for i, d in enumerate(body)) * 10 % 11 % 10)
        text = "".join(map(str, body))
        made = f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"
        return [made], draw.choice(("CPF {}", "o cliente {} pagou")).format(made)
    if kind == 5:
        made = f"{chars(draw, 2, string.ascii_uppercase)}{digits(draw, 7)}"
        return [made], draw.choice(("Passport number: {}", "passport no. {}")).format(made)
    if kind == 6:
        made = f"{digits(draw, 3)} {digits(draw, 3)} {digits(draw, 4)}"
        return [made], f"NHS number {made}"
    made = f"{digits(draw, 2)} {digits(draw, 3)} {digits(draw, 3)} {digits(draw, 3)}"
    return [made], f"Steuer-ID: {made}"


def phone(draw: random.Random) -> Planted:
    made = draw.choice(
        [
            f"+44 161 496 0{digits(draw, 3)}", f"0161 496 0{digits(draw, 3)}",
            f"07700 900{digits(draw, 3)}", f"(202) 555-01{digits(draw, 2)}",
            f"202-555-01{digits(draw, 2)}", f"+1 202 555 01{digits(draw, 2)}",
            f"+49 30 {draw.randint(2, 9)}{digits(draw, 6)}",
            f"030 {draw.randint(2, 9)}{digits(draw, 6)}",
            f"+33 6 {digits(draw, 2)} {digits(draw, 2)} {digits(draw, 2)} {digits(draw, 2)}",
            f"06 {draw.randint(10, 99)} {digits(draw, 2)} {digits(draw, 2)} {digits(draw, 2)}",
            f"0049-30-{draw.randint(2, 9)}{digits(draw, 6)}",
        ]
    )  # fmt: skip
    around = draw.choice(
        ["{who}: {}", "Call {who} on {}.", "Tel. {}", "{who} can be reached at {} after six.",
         "| {who} | {} |", "mobile {}", "Phone (home): {}"]
    )  # fmt: skip
    return [made], around.format(made, who=draw.choice(NAMES))


def address(draw: random.Random) -> Planted:
    who = draw.choice(NAMES).lower().split()
    made = draw.choice(
        [
            f"{who[0]}.{who[1]}@mail.example.org", f"{who[0]}{digits(draw, 2)}@example.com",
            f"{who[0]}+mill@{who[1]}.example.co.uk", f"{who[1].upper()}@EXAMPLE.NET",
        ]
    )  # fmt: skip
    around = draw.choice(
        ["write to {}", "<{}>", "E-mail: {}", "{}, or by post", "mailto:{}", "| {} |", "({})."]
    )
    return [made], around.format(made)


KEYS: tuple[Callable[[random.Random], Planted], ...] = (
    private_key, cloud_key, token, told_password, set_password,
)  # fmt: skip
PERSONAL: tuple[Callable[[random.Random], Planted], ...] = (card, iban, identity, phone, address)

FILLER = (
    "The mill stands on the left bank and was rebuilt in 1894.",
    "On Tuesday the wheel was oiled; it took three hours.",
    "Bram keeps the grain in the loft above the kitchen.",
    "The weir is 2.4 metres high and 31 metres long.",
)


def file_of(draw: random.Random, text: str, number: int) -> tuple[str, str]:
    """A realistic file around some lines: its name and its content."""
    before, after = draw.choice(FILLER), draw.choice(FILLER)
    kind = draw.choice(("md", "txt", "org", "yaml", "py", "json", "html", "eml", "ipynb"))
    note = f"{before}\n\n{text}\n\n{after}\n"
    if kind == "md":
        note = f"# Notes {number}\n\n{note}"
    elif kind == "py":
        note = f'"""{before}"""\n\nTEXT = """\n{text}\n"""\n\n\ndef turn():\n    return 9\n'
    elif kind == "json":
        note = json.dumps({"before": before, "note": text, "after": after})
    elif kind == "html":
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        note = f"<html><body><p>{before}</p><pre>{escaped}</pre><p>{after}</p></body></html>"
    elif kind == "eml":
        note = f"Subject: Note {number}\nMessage-ID: <{number}@mill>\n\n{note}"
    elif kind == "ipynb":
        cells = [{"cell_type": "markdown", "source": before}, {"cell_type": "code", "source": text}]
        note = json.dumps({"cells": cells})
    return f"{number:04d}.{kind}", note


def clean(draw: random.Random) -> str:
    """A line that holds no secret, but numbers of all sorts."""
    year, small, n = draw.randint(1890, 2030), draw.randint(2, 40), draw.randint(100, 99_999)
    return draw.choice(
        [
            f"The mill was rebuilt in {year} for {n:,}.00 pounds.",
            f"Version {small}.{small + 1}.{small * 3} came on {year}-05-{small % 28 + 1:02d}.",
            f"ISBN 978-3-16-14{n % 10000:04d}-0, page {small}, second edition.",
            f"Order {n}-{small} holds {small} cogs at {small}.50 each, {small * 3} belts.",
            f"The weir lies at 51.{n}, -0.{n}, {small} metres above the sea.",
            f"Commit {chars(draw, 40, '0123456789abcdef')} mended the wheel.",
            f"The train leaves at {small % 24:02d}:{small % 60:02d} from platform {small}.",
            f"Measured {small * 1000} {small * 1100} {small * 900} litres in three years.",
            f"Room {n}, floor {small}; the key hangs on a nail, the pin is bent.",
            f"He ran {small} km in {small}:{small:02d} and slept {small % 9} hours.",
            f"The secret of the bread is {small} hours of rest, and the token price is {small}.",
            f"Add {n} g flour, {small} g salt; bake at {small * 5 + 100} degrees.",
            f"Chapter {small} tells of the password that nobody knew.",
            f"Model WF{small}-{n}-K, serial {chars(draw, 3, 'ABCDEF')}{n}.",
            f"IP 192.168.{small}.{small + 1}, port {n}, mask 255.255.255.0.",
            f"{small:02d}.{small % 12 + 1:02d}.{year}: rain, {small} mm, wind from the west.",
        ]
    )


def spread(report: Report, title: str, kinds: Sequence[str], leaked: dict[str, int], n: int) -> int:
    total = 0
    for kind in kinds:
        total += leaked[kind]
        report.say(f"  {title} {kind}: {leaked[kind]} of {n} leaked")
    return total


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report(options.quick)
    each = 10 if options.quick else 50
    draw = random.Random(options.seed)
    planted: dict[str, tuple[str, list[str], str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").create()
        notes = Path(folder) / "notes"
        notes.mkdir()
        for number in range(each * 10):
            make = (*KEYS, *PERSONAL)[number % 10]
            values, text = make(draw)
            name, content = file_of(draw, text, number)
            (notes / name).write_text(content, encoding="utf-8")
            planted[name] = (make.__name__, values, text)
        store = open_store(home.database)
        documents.add_root(store, str(notes))
        taken = run_intake(home, store, Config(), embedder=Flat())
        for item in documents.documents(store):
            if not item.chunks:
                report.say(f"  not read: {item.path} ({item.reason})")
        report.exactly("files read", taken.added, len(planted), len(planted))
        made = synthesize.write_pairs(store, [RuleWriter()], None, None)
        report.say(f"{sum(made.pairs.values())} pairs written")
        seen = {
            item.path: "\n".join(
                [item.title]
                + [
                    "\n".join((chunk.safe, *chunk.locator.headings))
                    for chunk in documents.chunks_of(store, item.id)
                ]
            )
            for item in documents.documents(store)
        }
        practice = "\n".join(
            f"{pair.question}\n{pair.answer}\n{pair.evidence}" for pair in pairs.all_pairs(store)
        )
        leaked = {make.__name__: 0 for make in (*KEYS, *PERSONAL)}
        paired = 0
        for name, (kind, values, text) in planted.items():
            if any(value in seen[name] for value in values):
                leaked[kind] += 1
                if leaked[kind] <= 3:
                    report.say(f"  leaked ({kind}) in {name}: {text[:100]!r}")
            paired += any(value in practice for value in values)
        store.close()
    n = each * 5
    keys = spread(report, "key:", [make.__name__ for make in KEYS], leaked, each)
    people = spread(report, "personal:", [make.__name__ for make in PERSONAL], leaked, each)
    for label, count in (("keys", keys), ("personal identifiers", people)):
        low, high = wilson(n - count, n)
        report.say(f"{label}: {n - count} of {n} caught (95 % {low:.3f} to {high:.3f})")
    report.at_least("keys that never reach practice", 1 - keys / n, 0.99, n)
    report.at_least("personal identifiers that never reach practice", 1 - people / n, 0.95, n)
    report.at_most("planted values in a pair", paired, 0.01 * n, 2 * n)
    lines = [clean(draw) for _ in range(200 if options.quick else 1000)]
    wrong = [line for line in lines if find(line, people=True)]
    for line in wrong[:5]:
        report.say(f"  false alarm: {line!r}")
    report.at_most("false alarms on clean lines", len(wrong) / len(lines), 0.02, len(lines))
    report.finish()


if __name__ == "__main__":
    main()
