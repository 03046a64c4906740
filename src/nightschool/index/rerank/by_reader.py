"""The reader in the box as a reranker: how much surer it is of a span than of "no answer".

It was made to point at answers, not to rank, and was trained on English questions; what it is worth
as a reranker is measured in docs/measurements.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from nightschool.models.reader import Reader


class ByReader:
    """Implements `ports.Reranker`. The reader stays its owner's, who closes it."""

    name = "reader"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def score(self, query: str, passages: Sequence[str], budget_s: float) -> list[float | None]:
        """Logits over "no answer". Several passages are read at once, up to 512 tokens, so the
        budget is kept to a call as long as the one before it; the first is always made."""
        began = last = time.monotonic()

        def enough() -> bool:
            nonlocal last
            now = time.monotonic()
            took, last = now - last, now
            return now + took > began + budget_s

        return self._reader.margins(query, passages, enough)

    def close(self) -> None:
        """Nothing: the reader is not its own."""
