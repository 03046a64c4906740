"""The protocols that stages use and that `cycle`, `intake` and `engine` inject.

A stage names what it needs; who provides it is decided above. No implementation inherits from
these: a class that has the methods is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from nightschool.records import Chunk, Hit, Pair

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`: called often; total 0 means unknown."""


def silent(stage: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing."""


class Generator(Protocol):
    """A language model that continues a chat."""

    def generate(
        self,
        messages: Sequence[tuple[str, str]],
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> str:
        """The assistant's text for `(role, content)` messages; greedy when temperature is 0."""
        ...


class Scorer(Protocol):
    """A language model that says how likely a text is."""

    def nll(self, prompt: str, completion: str) -> tuple[float, int]:
        """Sum of negative log-likelihoods in nats over the completion's tokens, and their count."""
        ...


class Embedder(Protocol):
    """Turns text into unit vectors."""

    name: str
    dim: int

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Shape `[len(texts), dim]`, float32, L2-normalised rows."""
        ...


class Retriever(Protocol):
    """Finds passages."""

    def search(self, query: str, k: int = 8) -> list[Hit]:
        """The best `k` hits, best first."""
        ...


class Reranker(Protocol):
    """Reads passages together with the query, which costs more than finding them."""

    name: str

    def score(self, query: str, passages: Sequence[str], budget_s: float) -> Sequence[float | None]:
        """How well each passage answers the query: only the order of the numbers means something.

        They are read in their order until `budget_s` seconds are over; None is what was not read.
        """
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class PassageReader(Protocol):
    """Points at the answer of a question in one of several passages (see `models.reader.Span`)."""

    def best(self, question: str, passages: Sequence[str]) -> tuple[str, float]:
        """The literal span and the probability (0..1) that it answers the question."""
        ...


class PairWriter(Protocol):
    """Writes practice questions from chunks. One writer is one file."""

    name: str

    def write(self, chunks: Sequence[Chunk], title: str) -> list[Pair]:
        """Closed-book pairs of one document, several phrasings a fact, with literal evidence."""
        ...
