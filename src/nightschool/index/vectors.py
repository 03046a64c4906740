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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nightschool.errors import StoreError
from nightschool.store import documents, epochs
from nightschool.store import vectors as rows
from nightschool.store.db import Store

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Ids = npt.NDArray[np.int64]

FLAT_BELOW = 50_000
"""Up to here every vector is compared (exact); above, inverted lists (recall@10 about 0.98)."""
FILE_BELOW = 5_000
"""Up to here the file, 4 MB, is written after every change."""
BEHIND = 0.02
"""A larger file is written again when this share of it has changed: a search catches up with less
in some milliseconds, and one saved note must not cost a file of 100 MB."""
_LAYOUT = 2
"""Raised when the file's meaning changes. 2: float16, half the memory (cosines move by 0.0005)."""


@dataclass(frozen=True, slots=True)
class _Sidecar:
    """What the file holds: the state of the store it was made from, and its hash."""

    epoch: int
    generation: int
    vectors: int
    newest: int
    sha256: str


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

    def keep_file(self) -> None:
        """For who changed the store and does not search: the file is written when it is far behind.

        Raises StoreError when the disk is full.
        """
        told = self._told()
        count, _ = rows.total(self._store, self._embedder)
        if told is None or count <= FILE_BELOW or self._behind(told, count) > BEHIND * count:
            self.refresh()
            self.save()

    def _behind(self, told: _Sidecar, count: int) -> int:
        """How many vectors differ between the file and the store, at least."""
        renewed = epochs.renewed_since(self._store, told.epoch)
        if renewed is None:
            return count
        new = len(rows.ids(self._store, self._embedder, told.newest))
        return new + abs(told.vectors + new - count) + len(renewed)

    def save(self) -> None:
        """Write index, then sidecar, each in one piece; a torn pair does not match and is rebuilt.

        Does nothing when the file is this one already. Raises StoreError when the disk is full.
        """
        import faiss

        if self._index is None or self._saved == self._generation:
            return
        data: memoryview = faiss.serialize_index(self._index).data
        sidecar = {
            "layout": _LAYOUT,
            "store": documents.identity(self._store),
            "epoch": self._epoch,
            "generation": self._generation,
            "vectors": len(self._ids),
            "newest": int(self._ids[-1]) if len(self._ids) else 0,
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
            return self._exactly(vector, limit, among) if among else []
        return self._nearest(vector, limit, None)

    def _exactly(self, vector: Floats, limit: int, among: Sequence[int]) -> list[tuple[int, float]]:
        """A filter leaves few passages, often none of those an approximate search would visit."""
        import faiss

        wanted = np.array(among, dtype=np.int64)
        library: Any = faiss  # its stubs know no keyword of these
        chosen = library.IDSelectorBatch(wanted)
        settings = library.SearchParameters(sel=chosen)
        if hasattr(self._index, "nprobe"):
            settings = library.SearchParametersIVF(sel=chosen, nprobe=self._index.nlist)
        return self._nearest(vector, min(limit, len(among)), settings)

    def _nearest(self, vector: Floats, limit: int, settings: Any) -> list[tuple[int, float]]:
        query = np.ascontiguousarray(vector.reshape(1, -1), dtype=np.float32)
        scores, ids = self._index.search(query, min(limit, len(self)), params=settings)
        return [
            (int(number), float(score))
            for number, score in zip(ids[0], scores[0], strict=True)
            if number >= 0
        ]

    def _told(self) -> _Sidecar | None:
        """What the sidecar says, if it is of this layout and database."""
        try:
            told = json.loads(self._sidecar.read_text(encoding="utf-8"))
            if (told["layout"], told["store"]) != (_LAYOUT, documents.identity(self._store)):
                return None
            return _Sidecar(
                int(told["epoch"]), int(told["generation"]), int(told["vectors"]),
                int(told["newest"]), str(told["sha256"]),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _load(self) -> None:
        """Take the cache file if it is undamaged and of this database, of whatever generation."""
        import faiss

        told = self._told()
        if told is None:
            return
        try:
            data = self._file.read_bytes()
            if told.sha256 != hashlib.sha256(data).hexdigest():
                return
            index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
        except OSError:
            return
        except RuntimeError:  # another version of FAISS wrote it
            return
        if index.d == self._dim:
            self._index, self._ids = index, _ids_in(index)
            self._epoch, self._generation = told.epoch, told.generation
            self._saved = told.generation

    def _update(self, renewed: Sequence[int]) -> bool:
        """Take out what is gone or `renewed`, add what is new; False when a rebuild is better."""
        count, checksum = rows.total(self._store, self._embedder)
        newest = int(self._ids[-1]) if len(self._ids) else 0
        new = np.array(rows.ids(self._store, self._embedder, newest), dtype=np.int64)
        gone = np.empty(0, dtype=np.int64)
        told = (len(self._ids) + len(new), int(self._ids.sum() + new.sum()))
        if renewed or told != (count, checksum):
            there = np.array(rows.ids(self._store, self._embedder), dtype=np.int64)
            kept = np.setdiff1d(self._ids, np.array(renewed, dtype=np.int64), assume_unique=True)
            gone = np.setdiff1d(self._ids, np.intersect1d(kept, there, assume_unique=True))
            new = np.setdiff1d(there, kept, assume_unique=True)
        listed = hasattr(self._index, "nprobe")
        if listed != (count >= self._flat_below) or len(gone) + len(new) > count // 2:
            return not len(gone) + len(new)
        if len(gone):
            self._index.remove_ids(gone)
            self._ids = np.setdiff1d(self._ids, gone, assume_unique=True)
        for ids, matrix in self._blocks(rows.some(self._store, self._embedder, new.tolist())):
            self._index.add_with_ids(matrix, ids)
            self._ids = np.append(self._ids, ids)
        self._ids.sort()
        return True

    def _build(self) -> None:
        """From nothing, block by block: the vectors are never all in memory beside the index."""
        self.builds += 1
        count, _ = rows.total(self._store, self._embedder)
        index = self._empty(count)
        for ids, matrix in self._blocks(rows.every(self._store, self._embedder)):
            index.add_with_ids(matrix, ids)
        self._index, self._ids = index, _ids_in(index)

    def _blocks(self, found: Iterable[list[rows.Row]]) -> Iterator[tuple[Ids, Floats]]:
        """Ids and vectors from the store; one of a wrong length is left out."""
        for block in found:
            good = [(number, data) for number, data in block if len(data) == self._dim * 4]
            if good:
                flat = np.frombuffer(b"".join(data for _, data in good), dtype="<f4")
                ids = np.array([number for number, _ in good], dtype=np.int64)
                yield ids, np.ascontiguousarray(flat.reshape(-1, self._dim), dtype=np.float32)

    def _empty(self, count: int) -> Any:
        """An index for about `count` vectors; one with lists is trained on a sample of them."""
        import faiss

        kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        if count < self._flat_below:
            return faiss.IndexIDMap2(faiss.IndexScalarQuantizer(self._dim, kind, metric))
        lists = int(4 * math.sqrt(count))
        centres = faiss.IndexFlatIP(self._dim)
        index = faiss.IndexIVFScalarQuantizer(centres, self._dim, lists, kind, metric, False)
        index.cp.seed = 1
        index.cp.min_points_per_centroid = 5
        sample = self._blocks(
            rows.every(self._store, self._embedder, max(1, count // (40 * lists)))
        )
        index.train(np.concatenate([matrix for _, matrix in sample]))
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


def _replace(path: Path, data: bytes | memoryview) -> None:
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
