"""Random values for the notes: names, dates, codes, sums, places. Test names never train.

Names are made of syllables or drawn from a list of first names; a name belongs to the held-out
splits if its CRC-32 is 0 modulo 8. Word lists (`VALUES`) are shared, except every fifth entry.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

FIRST = (
    "Anna Ben Clara Dario Edda Felix Greta Hugo Ines Jonas Kira Levi Mara Nils Olga Pablo Quinn "
    "Rosa Sven Thea Udo Vera Willem Xenia Yann Zita Aisha Bilal Chiara Dmitri Esra Farid Gwen Hana "
    "Igor Jamila Kenji Leila Mateo Noor Omar Priya Rafael Samira Tariq Usha Viktor Wei Yusuf Zoe "
    "Alice Bruno Celia Diego Emma Frank Grace Henry Isabel Jack Katya Liam Mila Noah Oscar Paula "
    "Ruth Simon Tara Ulla Vince Wanda Adam Beth Carl Dora Erik Flora George Helen Ivan Julia Karl "
    "Laura Mark Nora Oliver Petra Ralf Sara Tom Ursula Walter Yvonne Ada Bob Kim Lee Max Sue"
).split()
START = "b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh st t th tr v w z".split()
VOWEL = "a e i o u ai ea io ou".split()
CLOSE = "n r s l t m d ck nd rt th lm ss x rk sk st ng ley ton berg man son ova ez er".split()
MONTHS = (
    "January February March April May June July August September October November December".split()
)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
UPPER = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def _read_words() -> dict[str, list[str]]:
    text = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    out: dict[str, list[str]] = {}
    for block in text.split("\n\n")[1:]:
        name, _, words = block.partition(":\n")
        out[name] = [" ".join(word.split()) for word in words.split("|")]
    return out


VALUES = _read_words()


def held_out(word: str) -> bool:
    return zlib.crc32(word.lower().encode()) % 8 == 0


class Values:
    """Makes values; `held` chooses the names and words of the held-out splits."""

    def __init__(self, rng: Random, held: bool) -> None:
        self.rng, self.held = rng, held
        r, p = rng, self.make
        self.makers: dict[str, Callable[[], str]] = {
            "first": self.first, "person": self.person, "place": self.place,
            "company": self.company, "petname": self.word, "phone": self.phone,
            "email": lambda: f"{p('first').lower()}{r.choice(['.', '_', ''])}{self.word().lower()}@"
            f"{self.word().lower()}.{r.choice(['com', 'org', 'net', 'io', 'de'])}",
            "date": self.date, "weekday": lambda: r.choice(DAYS), "time": self.time,
            "dayofyear": lambda: r.choice(
                [f"{r.choice(MONTHS)} {r.randint(1, 28)}", f"{r.randint(1, 28)} {r.choice(MONTHS)}"]
            ),
            "address": lambda: f"{r.randint(1, 299)} {self.word()} "
            + r.choice("Street|Road|Lane|Avenue|Way|Square|Drive|Close".split("|")),
            "code": self.code, "money": self.money, "people": lambda: str(r.randint(2, 320)),
            "duration": lambda: f"{r.randint(2, 90)} "
            + r.choice("minutes|minutes|minutes|hours|days|weeks".split("|")),
            "temperature": lambda: r.choice(
                [f"{r.randint(12, 24) * 10} degrees", f"{r.randint(12, 24) * 10} °C",
                 f"{r.randint(30, 45) * 10} °F"]
            ),
            "hotel": lambda: r.choice([f"Hotel {self.word()}", f"the {self.word()} Inn",
                                       f"{self.word()} Lodge", f"Pension {self.word()}"]),
            "seat": lambda: r.choice([f"seat {r.randint(1, 80)}", f"{r.randint(1, 40)}"
                                      f"{r.choice('ABCDEF')}", f"coach {r.randint(1, 20)}"]),
            "title": self.title,
            "pressure": lambda: f"{r.randint(100, 160)}/{r.randint(60, 99)}",
            "weight": lambda: r.choice([f"{r.randint(50, 110)} kg",
                                        f"{r.randint(50, 110)}.{r.randint(1, 9)} kg",
                                        f"{r.randint(110, 220)} pounds"]),
        }  # fmt: skip

    def make(self, kind: str) -> str:
        if kind in self.makers:
            return self.makers[kind]()
        words = VALUES[kind]
        chosen = [w for i, w in enumerate(words) if (i % 5 == 4) == self.held]
        return self.rng.choice(chosen)

    def own(self, make: Callable[[], str]) -> str:
        """A draw that belongs to this split."""
        for _ in range(300):
            word = make()
            if held_out(word) == self.held:
                return word
        return word

    def word(self) -> str:
        r = self.rng

        def draw() -> str:
            parts = [r.choice(START) + r.choice(VOWEL) for _ in range(r.choice([1, 2, 2, 2, 3]))]
            return ("".join(parts) + (r.choice(CLOSE) if r.random() < 0.75 else "")).capitalize()

        return self.own(draw)

    def first(self) -> str:
        return self.own(lambda: self.rng.choice(FIRST)) if self.rng.random() < 0.6 else self.word()

    def person(self) -> str:
        draw = self.rng.random()
        if draw < 0.42:
            return self.first()
        if draw < 0.52:
            return self.rng.choice(["Mr", "Mrs", "Ms", "Dr", "Dr.", "Aunt", "Uncle"]) + (
                " " + self.word()
            )
        return f"{self.first()} {self.word()}"

    def place(self) -> str:
        ends = ["", "", "", " Bay", " Hill", "ville", "burg", " Park", " Harbour", "ford", "stadt"]
        return self.word() + self.rng.choice(ends)

    def company(self) -> str:
        if self.rng.random() < 0.2:
            return f"{self.word()} & {self.word()}"
        ends = " Labs| Systems| Ltd| Group| Foods| Media|soft| Bank| Clinic| Studio| GmbH||".split(
            "|"
        )
        return self.word() + self.rng.choice(ends)

    def title(self) -> str:
        r = self.rng
        if r.random() < 0.5:
            return f"{self.word()} {r.choice('Rising|Tales|Nights|Road|Letters|Dreams'.split('|'))}"
        a = r.choice("Silent|Last|Hidden|Long|Glass|Winter|Second|Burning|Quiet|Paper".split("|"))
        return f"The {a} {r.choice('River|Garden|City|Letter|House|Door|Ocean|Map'.split('|'))}"

    def date(self) -> str:
        r = self.rng
        m, d, y = r.choice(MONTHS), r.randint(1, 28), r.randint(2012, 2031)
        return r.choice(
            [f"{m} {d}", f"{d} {m}", f"{m} {d}, {y}", f"{d} {m} {y}", r.choice(DAYS),
             f"{y}-{r.randint(1, 12):02d}-{d:02d}", f"{r.choice(DAYS)}, {d} {m}",
             f"{d}.{r.randint(1, 12)}.{y}", f"{m[:3]} {d}", f"{d}/{r.randint(1, 12)}"]
        )  # fmt: skip

    def time(self) -> str:
        r = self.rng
        h, m = r.randint(1, 12), r.choice(["00", "15", "30", "45", "05", "20", "40", "50"])
        half = r.choice(["am", "pm"])
        return r.choice([f"{h + r.choice([0, 11])}:{m}", f"{h} {half}", f"{h}:{m} {half}",
                         f"{h}{half}", f"{h + 10}.{m}"])  # fmt: skip

    def phone(self) -> str:
        r = self.rng
        return r.choice(
            [f"555-{r.randint(1000, 9999)}", f"{r.randint(200, 989)}-555-{r.randint(1000, 9999)}",
             f"+{r.randint(1, 99)} {r.randint(100, 999)} {r.randint(1000, 9999)}",
             f"0{r.randint(20, 99)} {r.randint(1000, 9999)}", f"({r.randint(200, 989)}) 555 "
             f"{r.randint(1000, 9999)}", f"0{r.randint(100, 999)}/{r.randint(10000, 999999)}"]
        )  # fmt: skip

    def money(self) -> str:
        r = self.rng
        sign, cents = r.choice("$€£"), r.choice(["50", "99", "20", "75", "00"])
        return r.choice(
            [f"{sign}{r.randint(2, 999)}", f"{sign}{r.randint(1, 99)},{r.randint(0, 9)}00",
             f"{r.randint(5, 900)} euros", f"{r.randint(5, 900)} dollars", f"{r.randint(2, 90)} €",
             f"{sign}{r.randint(1, 99)}.{cents}", f"{r.randint(1, 99)}.{cents}",
             f"{r.randint(2, 90)},{cents} €", f"{r.randint(2, 99)}k"]
        )  # fmt: skip

    def code(self) -> str:
        r = self.rng
        letters = lambda n: "".join(r.choice(UPPER) for _ in range(n))  # noqa: E731
        digits = lambda n: "".join(r.choice("0123456789") for _ in range(n))  # noqa: E731
        return r.choice(
            [letters(2) + digits(4), f"{letters(3)}-{digits(3)}", digits(4), digits(6),
             letters(1) + digits(3) + letters(2), f"{letters(2)}-{digits(2)}-{letters(1)}",
             self.word().lower() + digits(2), digits(10), f"{self.word()}{digits(3)}!",
             f"{digits(4)}-{digits(4)}", f"{self.word().lower()}-{self.word().lower()}"]
        )  # fmt: skip
