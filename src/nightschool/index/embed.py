"""Vectors of all-MiniLM-L6-v2, from llama.cpp or torch, whichever is faster.

Both read the same published weights from the pip package and agree to a cosine of 0.999 or more
(tested), so that their vectors may stand in one index under one name. llama.cpp is ready at once;
torch takes seconds to import, which only a long backlog pays back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nightschool.errors import ModelError
from nightschool.index.bulk import NAME, BulkMiniLM
from nightschool.models.llama_encoder import LlamaEncoder
from nightschool.models.minilm import WIDTH, ensure_minilm
from nightschool.ports import Embedder, Progress, silent
from nightschool.store import documents
from nightschool.store.db import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

__all__ = ["LARGE_BACKLOG", "NAME", "BulkMiniLM", "QuickMiniLM", "embed_backlog", "embedder_for"]

LARGE_BACKLOG = 200
"""Passages from which on torch's import pays: on one thread it takes 3.8 processor seconds to load
and 7 to 20 ms a passage of 110 words (with and without bfloat16), llama.cpp 0.1 s and 50 ms."""
WINDOW = 256
"""Passages of one transaction: enough for batches of one length, and soon done when a file that is
saved meanwhile wants to go first."""


class QuickMiniLM:
    """The encoder in llama.cpp: for queries and small batches. Safe to share between threads."""

    name = NAME
    dim = WIDTH

    def __init__(self, models_dir: Path, threads: int = 1) -> None:
        """Raises ModelError when the encoder's package or llama.cpp is missing or damaged.

        One thread on purpose: llama.cpp's threads wait for each other by spinning, and beside
        another busy program two were measured 50 times slower than one (a query: 11 ms).
        """
        self._encoder = LlamaEncoder(ensure_minilm(models_dir), threads)

    def embed(self, texts: Sequence[str]) -> Floats:
        """float32 `[len(texts), 384]`, rows of length 1."""
        return self._encoder.embed(texts)

    def count(self, texts: Sequence[str]) -> int:
        """How many tokens of `texts` are encoded, with the two that frame each; cut ones are not
        counted."""
        return self._encoder.count(texts)

    def close(self) -> None:
        self._encoder.close()


def embedder_for(backlog: int, models_dir: Path) -> QuickMiniLM | BulkMiniLM:
    """The faster of the two for so many passages. Raises ModelError when neither can be had."""
    if backlog >= LARGE_BACKLOG:
        with contextlib.suppress(ModelError):  # without torch the other one does it, only slower
            return BulkMiniLM()
    return QuickMiniLM(models_dir)


def embed_backlog(store: Store, embedder: Embedder, progress: Progress = silent) -> int:
    """Give every waiting passage its vector, batch by batch; returns how many.

    Each batch is one transaction: what is killed goes on where it was.
    """
    from nightschool.index.vectors import to_bytes

    total = documents.backlog(store, embedder.name)
    done = 0
    while batch := documents.without_vector(store, embedder.name, WINDOW):
        progress("embed", done, total)
        rows = embedder.embed(
            [_input(title, item.locator.headings, item.text) for title, item in batch]
        )
        ids = [item.id for _, item in batch]
        documents.save_vectors(store, embedder.name, zip(ids, to_bytes(rows), strict=True))
        done += len(batch)
    progress("embed", done, total)
    return done


def _input(title: str, headings: Sequence[str], text: str) -> str:
    """What is embedded: a passage that starts in the middle of a note says what the note is on."""
    above = [part for part in dict.fromkeys([title, *headings[-1:]]) if part not in text[:200]]
    return "\n".join([*above, text])
