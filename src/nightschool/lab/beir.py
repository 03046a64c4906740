"""Read a data set in the layout of BEIR (Thakur et al., 2021): corpus, queries, qrels.

`corpus.jsonl` has `_id`, `title`, `text`; `queries.jsonl` has `_id`, `text`; `qrels/SPLIT.tsv` has
query-id, corpus-id, score below a head line. The two JSON files may be packed as `.xz` or `.gz`.
"""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightschool.errors import NotFound, UsageError

_OPEN: dict[str, Any] = {"": open, ".gz": gzip.open, ".xz": lzma.open}


@dataclass(frozen=True, slots=True)
class Entry:
    """One document of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """`queries` are those with a judgement, in the file's order; `judged[query][document]` is the
    grade."""

    folder: Path
    split: str
    queries: dict[str, str]
    judged: dict[str, dict[str, int]]

    def corpus(self) -> Iterator[Entry]:
        """All documents. Raises UsageError where a line is no document."""
        for row in _lines(self.folder, "corpus.jsonl"):
            yield Entry(_text(row, "_id"), str(row.get("title") or ""), _text(row, "text"))


def load(folder: Path, split: str = "test") -> Dataset:
    """Raises NotFound when a part is missing, UsageError when it is not of this layout."""
    judged: dict[str, dict[str, int]] = {}
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        raise NotFound(f"There is no {path}.", "Name a folder in BEIR's layout, and its --split.")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        parts = line.split("\t")
        if number == 0 and not parts[-1].strip().lstrip("-").isdigit():
            continue
        try:
            query, document, grade = parts
            judged.setdefault(query, {})[document] = int(grade)
        except ValueError as error:
            raise UsageError(
                f"{path}, line {number + 1} is not `query-id TAB corpus-id TAB score`.", "Mend it."
            ) from error
    queries = {
        _text(row, "_id"): _text(row, "text")
        for row in _lines(folder, "queries.jsonl")
        if str(row.get("_id")) in judged
    }
    if not queries:
        raise UsageError(f"No query of {path} is in queries.jsonl.", "Check the data set.")
    return Dataset(folder, split, queries, judged)


def _lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    endings = [ending for ending in _OPEN if (folder / f"{name}{ending}").is_file()]
    if not endings:
        raise NotFound(f"There is no {folder / name} (nor .gz, .xz).", "Name a BEIR folder.")
    path = folder / f"{name}{endings[0]}"
    with _OPEN[endings[0]](path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{path}, line {number} is not JSON: {error}.", "Mend it.") from (
                    error
                )
            if not isinstance(row, dict):
                raise UsageError(f"{path}, line {number} is no object.", "Mend it.")
            yield row


def _text(row: dict[str, Any], name: str) -> str:
    if row.get(name) is None:
        raise UsageError(f"An entry has no {name!r}: {str(row)[:80]}", "Mend the data set.")
    return str(row[name])
