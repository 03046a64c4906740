"""Choose files: those in a folder, those that hold words, those that pass a search's filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nightschool.records import Document
from nightschool.store import documents
from nightschool.store.db import Store


def below(store: Store, root_id: int, folder: str) -> list[Document]:
    """All known files in a folder of a root (stored path, empty for the root itself), by path."""
    prefix = f"{folder}/" if folder else ""
    return [
        documents.document_of(row)
        for row in store.rows(
            f"{documents.DOCUMENT} WHERE d.root_id=? AND substr(d.path, 1, ?)=? ORDER BY d.path",
            (root_id, len(prefix), prefix),
        )
    ]


def holding(store: Store, text: str, limit: int = 1000) -> list[Document]:
    """Files with a passage that holds all words of `text` (word forms count as one), by path."""
    words = ["".join(c if c.isalnum() else " " for c in part) for part in text.split()]
    expression = " AND ".join(f'"{word}"' for word in words if word.strip())
    if not expression:
        return []
    rows = store.rows(
        f"{documents.DOCUMENT} WHERE d.id IN (SELECT c.document_id FROM chunk_fts f JOIN chunk c "
        "ON c.id=f.rowid WHERE chunk_fts MATCH ?) ORDER BY d.root_id, d.path LIMIT ?",
        (expression, limit),
    )
    return [documents.document_of(row) for row in rows]


def passages(
    store: Store,
    folders: Sequence[str] = (),
    types: Sequence[str] = (),
    after_ns: int | None = None,
    before_ns: int | None = None,
) -> list[int]:
    """The passages, ascending, of indexed files that pass all filters; see `index.query`."""
    where = ["d.status='indexed'"]
    arguments: list[Any] = []
    if folders:
        parts = []
        for name in folders:
            parts.append(
                "r.path=? OR '/' || ? = r.path OR r.path LIKE ? ESCAPE '\\' "
                "OR '/' || d.path LIKE ? ESCAPE '\\' OR r.path || '/' || d.path LIKE ? ESCAPE '\\'"
            )
            safe = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            arguments += [name, name, f"%/{safe}", f"%/{safe}/%", f"/{safe}/%"]
        where.append(f"({' OR '.join(parts)})")
    if types:
        parts = []
        for name in types:
            parts.append("lower(d.format)=? OR substr(lower(d.path), -?)=?")
            arguments += [name, len(name) + 1, f".{name}"]
        where.append(f"({' OR '.join(parts)})")
    for bound, sign in ((after_ns, ">="), (before_ns, "<")):
        if bound is not None:
            where.append(f"d.mtime_ns{sign}?")
            arguments.append(bound)
    found: list[int] = store.column(
        "SELECT c.id FROM document d JOIN root r ON r.id=d.root_id JOIN chunk c "
        f"ON c.document_id=d.id WHERE {' AND '.join(where)} ORDER BY c.id",
        arguments,
    )
    return found
