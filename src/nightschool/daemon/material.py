"""Documents and passages of the index, as the doors show them. Nothing is read from the disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nightschool.errors import NotFound
from nightschool.records import Chunk, Document, FileStatus
from nightschool.store import documents
from nightschool.store.db import Store

Json = dict[str, Any]
_MOST = 2**53


def document(store: Store, number: int) -> Json:
    """An indexed file with its passages in order. Raises NotFound."""
    found = documents.document(store, number) if number < _MOST else None
    if found is None or found.status is not FileStatus.INDEXED:
        raise NotFound(f"There is no indexed file {number}.", "See `nightschool files`.")
    rows = [_passage(found, chunk) for chunk in documents.chunks_of(store, number)]
    return asdict(found) | {"passages": rows}


def passage(store: Store, number: int) -> Json:
    """One passage. Raises NotFound."""
    chunk = documents.chunks(store, [number]).get(number) if number < _MOST else None
    found = documents.document(store, chunk.document_id) if chunk is not None else None
    if chunk is None or found is None:
        raise NotFound(f"There is no passage {number}.", "Search again: files may have changed.")
    return _passage(found, chunk)


def _passage(owner: Document, chunk: Chunk) -> Json:
    return {
        "chunk_id": chunk.id,
        "document_id": owner.id,
        "place": str(chunk.locator),
        "text": chunk.text,
        "title": owner.title,
    }
