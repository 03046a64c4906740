"""FAISS over the vectors in the store: a cache that may be deleted at any time.

The vectors in SQLite are the truth. The file has a sidecar with the database's name, the generation
it was made at, and the file's SHA-256. What is damaged or of another database is built again, what
is stale is brought in step by the difference of ids (ids are never used twice; `store.epochs` knows
which passages got another vector). Only bytes whose hash matches are given to FAISS, whose
reader trusts its input.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nightschool.errors import StoreError
from nightschool.store import documents, epochs
from nightschool.store.db import Store

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Ids = npt.NDArray[np.int64]

FLAT_BELOW = 50_000
"""Up to here every vector is compared (exact); above, inverted lists (recall@10 about 0.98)."""
_LAYOUT = 1
"""Raised when the file's meaning changes."""


class VectorIndex:
    """The nearest passages by inner product of unit vectors. Not thread-safe; calls are short."""

    def __init__(
        self, store: Store, folder: Path, embedder: str, dim: int, *, flat_below: int = FLAT_BELOW
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._dim = dim
        self._flat_below = flat_below
        self._file = folder / f"{embedder}.faiss"
        self._sidecar = folder / f"{embedder}.json"
        self._index: Any = None
        self._ids: Ids = np.empty(0, dtype=np.int64)
        self._epoch = -1
        self._generation = -1
        self._saved = -1
        self.builds = 0
        """How often the index had to be built from nothing."""

    def __len__(self) -> int:
        return len(self._ids)

    def refresh(self) -> None:
        """Be in step with the store: by the cache file, by the difference, or by a rebuild.

        Costs one small query when nothing changed. Only a rebuild is written to the file at once.
        """
        generation, epoch = documents.generation(self._store), epochs.epoch(self._store)
        if self._index is None:
            self._load()
        if self._index is not None and generation == self._generation:
            return
        renewed = epochs.renewed_since(self._store, self._epoch)
        if self._index is None or renewed is None or not self._update(renewed):
            self._build()
            self._generation, self._epoch = generation, epoch
            self.save()
        self._generation, self._epoch = generation, epoch

    def save(self) -> None:
        """Write index, then sidecar, each in one piece; a torn pair does not match and is rebuilt.

        Does nothing when the file is this one already. Raises StoreError when the disk is full.
        """
        import faiss

        if self._index is None or self._saved == self._generation:
            return
        data = faiss.serialize_index(self._index).tobytes()
        sidecar = {
            "layout": _LAYOUT,
            "store": documents.identity(self._store),
            "epoch": self._epoch,
            "generation": self._generation,
            "vectors": len(self._ids),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            _replace(self._file, data)
            _replace(self._sidecar, json.dumps(sidecar, indent=1).encode())
        except OSError as error:
            raise StoreError(
                f"The search cache in {self._file.parent} cannot be written: {error.strerror}.",
                "Free some space or check the folder's permissions.",
            ) from error
        self._saved = self._generation

    def search(
        self, vector: Floats, limit: int, among: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """`(chunk id, cosine)`, best first; `vector` is float32 `[dim]` of length 1.

        With `among` (ascending chunk ids), only these are compared, every one of them.
        """
        self.refresh()
        if not len(self) or limit < 1:
            return []
        if among is not None:
            return self._exactly(vector, limit, among)
        query = np.ascontiguousarray(vector.reshape(1, -1), dtype=np.float32)
        scores, ids = self._index.search(query, min(limit, len(self)))
        return [
            (int(number), float(score))
            for number, score in zip(ids[0], scores[0], strict=True)
            if number >= 0
        ]

    def _exactly(self, vector: Floats, limit: int, among: Sequence[int]) -> list[tuple[int, float]]:
        """A filter leaves few passages, often none of those an approximate search would visit."""
        ids, matrix = self._matrix(list(among))
        scores = matrix @ vector.reshape(-1).astype(np.float32)
        best = np.argsort(-scores, kind="stable")[:limit]
        return [(int(ids[place]), float(scores[place])) for place in best]

    def _load(self) -> None:
        """Take the cache file if it is undamaged and of this database, of whatever generation."""
        import faiss

        try:
            sidecar = json.loads(self._sidecar.read_text(encoding="utf-8"))
            told = (sidecar["layout"], sidecar["store"], sidecar["sha256"])
            data = self._file.read_bytes()
            found = (
                _LAYOUT, documents.identity(self._store), hashlib.sha256(data).hexdigest(),
            )  # fmt: skip
            if told != found:
                return
            index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
            epoch, generation = int(sidecar["epoch"]), int(sidecar["generation"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        except RuntimeError:  # another version of FAISS wrote it
            return
        if index.d == self._dim:
            self._index, self._ids = index, _ids_in(index)
            self._epoch, self._generation, self._saved = epoch, generation, generation

    def _update(self, renewed: Sequence[int]) -> bool:
        """Take out what is gone or `renewed`, add what is new; False when a rebuild is better."""
        there = np.array(documents.vector_ids(self._store, self._embedder), dtype=np.int64)
        kept = np.setdiff1d(self._ids, np.array(renewed, dtype=np.int64), assume_unique=True)
        gone = np.setdiff1d(self._ids, np.intersect1d(kept, there, assume_unique=True))
        new = np.setdiff1d(there, kept, assume_unique=True)
        listed = hasattr(self._index, "nprobe")
        if listed != (len(there) >= self._flat_below) or len(gone) + len(new) > len(there) // 2:
            return not len(gone) + len(new)
        if len(gone):
            self._index.remove_ids(gone)
        if len(new):
            ids, matrix = self._matrix(new.tolist())
            self._index.add_with_ids(matrix, ids)
        self._ids = _ids_in(self._index)
        return True

    def _build(self) -> None:
        self.builds += 1
        ids, matrix = self._matrix(None)
        index = self._empty(matrix)
        if len(ids):
            index.add_with_ids(matrix, ids)
        self._index, self._ids = index, np.sort(ids)

    def _matrix(self, wanted: list[int] | None) -> tuple[Ids, Floats]:
        """Ids and vectors from the store; one of a wrong length is left out."""
        rows = documents.vectors(self._store, self._embedder, wanted)
        rows = [(number, data) for number, data in rows if len(data) == self._dim * 4]
        ids = np.array([number for number, _ in rows], dtype=np.int64)
        flat = np.frombuffer(b"".join(data for _, data in rows), dtype="<f4")
        return ids, np.ascontiguousarray(flat.reshape(-1, self._dim), dtype=np.float32)

    def _empty(self, matrix: Floats) -> Any:
        import faiss

        count = len(matrix)
        if count < self._flat_below:
            return faiss.IndexIDMap2(faiss.IndexFlatIP(self._dim))
        lists = int(4 * math.sqrt(count))
        kind = f"IVF{lists},Flat"
        index: Any = faiss.index_factory(self._dim, kind, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = 1
        index.cp.min_points_per_centroid = 5
        index.train(np.ascontiguousarray(matrix[:: max(1, count // (40 * lists))]))
        index.nprobe = max(8, lists // 8)
        return index


def _ids_in(index: Any) -> Ids:
    """All ids of an index, ascending."""
    import faiss

    if hasattr(index, "id_map"):
        return np.sort(faiss.vector_to_array(index.id_map))
    lists = index.invlists
    parts = [
        faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy()
        for number in range(index.nlist)
        if lists.list_size(number)
    ]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def to_bytes(matrix: Floats) -> Sequence[bytes]:
    """The rows as they are stored: little-endian float32."""
    return [row.astype("<f4").tobytes() for row in matrix]
