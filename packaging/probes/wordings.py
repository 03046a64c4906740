"""The wording the notes are made of: relations and word lists, read from the two text files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Half = Literal["P", "R"]

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Wording:
    """How one half words a relation: key/value label, statement and question templates."""

    label: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """One attribute of a kind of subject, e.g. a person's phone number."""

    subject: str
    name: str
    kind: str
    wording: dict[str, Wording]


def read_relations(path: Path = HERE / "relations.txt") -> list[Relation]:
    """Parse the relation file; raises ValueError on a line it does not understand."""
    out: list[Relation] = []
    for block in re.split(r"\n(?=\[)", path.read_text(encoding="utf-8")):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if not lines:
            continue
        head = re.fullmatch(r"\[(\w+)/(\w+) (\w+)\]", lines[0])
        if head is None or len(lines) != 7:
            raise ValueError(f"{path.name}: cannot read the block at {lines[0]!r}")
        wording = {}
        for half, (label, statements, questions) in zip(
            "PR", (lines[1:4], lines[4:7]), strict=True
        ):
            marks = [line[:3] for line in (label, statements, questions)]
            if marks != [f"{half}: ", f"{half}. ", f"{half}? "]:
                raise ValueError(f"{path.name}: wrong marks {marks} below {lines[0]!r}")
            wording[half] = Wording(
                label[3:], tuple(statements[3:].split(" | ")), tuple(questions[3:].split(" | "))
            )
        out.append(Relation(head[1], head[2], head[3], wording))
    return out


def read_shapes(half: Half, path: Path = HERE / "shapes.txt") -> dict[str, list[str]]:
    """One half's share of every word list: every second entry."""
    blocks = re.findall(r"^\[(\w+)\]\n(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: entries.split(" | ")["PR".index(half) :: 2] for name, entries in blocks}
