"""FAISS over the vectors in the store: a cache that may be deleted at any time.

The vectors in SQLite are the truth. The file beside them carries a sidecar with the store's
generation and the file's SHA-256; whatever does not match both is built again. Only bytes whose
hash matches are given to FAISS, whose reader trusts its input.
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
from nightschool.store import documents
from nightschool.store.db import Store

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

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
        self._quantizer: Any = None
        self._generation = -1
        self.builds = 0
        """How often the index had to be built from the store."""

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    def refresh(self) -> None:
        """Be in step with the store: nothing, the cache file, or a rebuild. Cheap when in step."""
        generation = documents.generation(self._store)
        if self._index is not None and generation == self._generation:
            return
        loaded = self._load(generation)
        if loaded is None:
            loaded = self._build()
            self._save(loaded, generation)
        self._index, self._generation = loaded, generation

    def search(self, vector: Floats, limit: int) -> list[tuple[int, float]]:
        """`(chunk id, cosine)`, best first; `vector` is float32 `[dim]` of length 1."""
        self.refresh()
        if not len(self) or limit < 1:
            return []
        query = np.ascontiguousarray(vector.reshape(1, -1), dtype=np.float32)
        scores, ids = self._index.search(query, min(limit, len(self)))
        return [
            (int(number), float(score))
            for number, score in zip(ids[0], scores[0], strict=True)
            if number >= 0
        ]

    def _load(self, generation: int) -> Any:
        """The cached index when it is this generation's and undamaged, else None."""
        import faiss

        try:
            sidecar = json.loads(self._sidecar.read_text(encoding="utf-8"))
            if sidecar["generation"] != generation or sidecar["layout"] != _LAYOUT:
                return None
            if sidecar["store"] != self._identity():
                return None
            data = self._file.read_bytes()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if hashlib.sha256(data).hexdigest() != sidecar["sha256"]:
            return None
        try:
            index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
        except RuntimeError:  # another version of FAISS wrote it
            return None
        return index if index.d == self._dim else None

    def _build(self) -> Any:
        import faiss

        self.builds += 1
        rows = documents.vectors(self._store, self._embedder)
        width = self._dim * 4
        rows = [(number, data) for number, data in rows if len(data) == width]
        ids = np.array([number for number, _ in rows], dtype=np.int64)
        matrix = np.frombuffer(b"".join(data for _, data in rows), dtype="<f4")
        matrix = np.ascontiguousarray(matrix.reshape(-1, self._dim), dtype=np.float32)
        index = faiss.IndexIDMap2(self._empty(matrix))
        if len(ids):
            index.add_with_ids(matrix, ids)
        return index

    def _empty(self, matrix: Floats) -> Any:
        import faiss

        count = len(matrix)
        flat = faiss.IndexFlatIP(self._dim)
        if count < self._flat_below:
            return flat
        lists = int(4 * math.sqrt(count))
        index = faiss.IndexIVFFlat(flat, self._dim, lists, faiss.METRIC_INNER_PRODUCT)
        index.own_fields = False  # Python owns the quantizer: keep it as long as the index
        self._quantizer = flat
        index.cp.seed = 1
        index.cp.min_points_per_centroid = 5
        step = max(1, count // (40 * lists))
        index.train(np.ascontiguousarray(matrix[::step]))
        index.nprobe = max(8, lists // 8)
        return index

    def _save(self, index: Any, generation: int) -> None:
        """Write index, then sidecar, each in one piece; a torn pair does not match and is rebuilt.

        Raises StoreError when the disk is full.
        """
        import faiss

        data = faiss.serialize_index(index).tobytes()
        sidecar = {
            "layout": _LAYOUT,
            "generation": generation,
            "store": self._identity(),
            "vectors": int(index.ntotal),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            _replace(self._file, data)
            _replace(self._sidecar, json.dumps(sidecar, indent=1).encode())
        except OSError as error:
            raise StoreError(
                f"The search cache in {self._file.parent} cannot be written: {error.strerror}.",
                "Free some space or check the folder's permissions; searching by words works.",
            ) from error

    def _identity(self) -> str:
        """Tells one database from another that was put in its place."""
        return documents.identity(self._store)


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
