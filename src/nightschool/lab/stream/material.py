"""What is asked of each invented fact, and what the naive arm practises, as files of one night.

They are written once a night, so that an arm may be run later, from the files alone, on exactly
the same questions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nightschool.evaluate.subject import Question
from nightschool.lab.stream.world import Fact
from nightschool.pairs.forms import prompt
from nightschool.paths import Home
from nightschool.records import PairKind, Split
from nightschool.store import db, documents, pairs

PHRASING, DOCUMENT = "phrasing", "document"


@dataclass(frozen=True, slots=True)
class Asked:
    """One fact and its question, which no arm has ever practised. `hidden` says by what: the fact
    is practised in other wordings (phrasing), or its file never is (document)."""

    key: str
    night: int
    question: str
    value: str
    old: str
    other: str
    hidden: str

    def item(self, answer: str = "") -> Question:
        """As the probes ask it; `answer` in the place of what is right."""
        return Question(self.question, (answer or self.value,), group=self.key)


@dataclass(frozen=True, slots=True)
class Night:
    """`asked` of every fact in the folder, `practice` of tonight's new or changed ones, and
    `everything` that is practised of all of them, as `(question, answer)`."""

    asked: list[Asked]
    practice: list[tuple[str, str]]
    everything: list[tuple[str, str]]


def of(home: Home, folder: Path, facts: list[Fact], night: int, changed: set[str]) -> Night:
    """From the pairs as they are stored. `changed` are the keys of facts that are new tonight."""
    store = db.open_store(home.database)
    try:
        root = next(one for one in documents.roots(store) if Path(one.path) == folder)
        names = {item.id: item.path for item in documents.documents(store, root.id)}
        owner = pairs.owners(store)
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for pair in pairs.all_pairs(store):
            if pair.kind not in (PairKind.CLOSED, PairKind.READING):
                continue
            about = found.setdefault((names.get(owner[pair.id], ""), pair.answer), {})
            if pair.split is not Split.TRAIN:
                about.setdefault(pair.kind, pair.question)
            elif pair.kind is PairKind.CLOSED:
                about.setdefault("practised", []).append((prompt(pair), pair.answer))
    finally:
        store.close()
    asked: list[Asked] = []
    practice: list[tuple[str, str]] = []
    everything: list[tuple[str, str]] = []
    for fact in facts:
        about = found.get((fact.path, fact.value), {})
        question = about.get(PairKind.CLOSED) or about.get(PairKind.READING)
        everything += about.get("practised", [])
        if fact.night == night or fact.key in changed:
            practice += about.get("practised", [])
        if question:
            hidden = PHRASING if about.get("practised") else DOCUMENT
            asked.append(Asked(fact.key, fact.night, question, fact.value, fact.old, fact.other,
                               hidden))  # fmt: skip
    return Night(asked, practice, everything)


def save(night: Night, path: Path) -> None:
    """Write it whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(night), indent=0), encoding="utf-8")
    temporary.replace(path)


def load(path: Path) -> Night:
    """What `save` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    pairs_of = [[(str(q), str(a)) for q, a in raw[name]] for name in ("practice", "everything")]
    return Night([Asked(**one) for one in raw["asked"]], pairs_of[0], pairs_of[1])
