"""The example vault: the invented notes of one invented person, and questions about them.

``vault_dir()`` is the folder of notes, ``questions()`` the questions with their known answers. The
text was written for this project; nobody in it exists. The secrets in two notes are fake and are
there so that redaction has something to find.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Kind = Literal["span", "unanswerable"]

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Question:
    """One question about the vault.

    For ``kind == "span"``, ``evidence`` is literal text of the note at ``path`` (posix, relative to
    ``vault_dir()``) and ``answer`` is a literal part of ``evidence``. For PDF and HTML notes the
    text meant is the visible one with runs of whitespace read as one space. For
    ``kind == "unanswerable"`` the answer is empty and there is no path and no evidence.
    """

    id: str
    question: str
    answer: str
    aliases: tuple[str, ...]
    path: str | None
    evidence: str | None
    kind: Kind


def vault_dir() -> Path:
    """The folder that holds the example notes."""
    return _HERE / "vault"


def questions() -> list[Question]:
    """All example questions, in the order of the file."""
    text = (_HERE / "questions.jsonl").read_text(encoding="utf-8")
    return [_question(line) for line in text.splitlines() if line.strip()]


def _question(line: str) -> Question:
    """Reads one line of ``questions.jsonl``."""
    row = json.loads(line)
    if row["kind"] not in ("span", "unanswerable"):
        raise ValueError(f"question {row['id']}: unknown kind {row['kind']!r}")
    return Question(
        id=str(row["id"]),
        question=str(row["question"]),
        answer=str(row["answer"]),
        aliases=tuple(str(alias) for alias in row["aliases"]),
        path=None if row["path"] is None else str(row["path"]),
        evidence=None if row["evidence"] is None else str(row["evidence"]),
        kind=cast(Kind, row["kind"]),
    )
