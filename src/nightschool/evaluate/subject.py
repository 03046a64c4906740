"""What the probes examine, and what they examine it with. Light values and one protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Messages = Sequence[tuple[str, str]]
Tick = Callable[[str, int, int], None]


class Subject(Protocol):
    """One model under examination, exactly as it would be served: llama.cpp, base + adapter."""

    name: str

    def generate(self, messages: Messages, *, max_tokens: int = 64) -> str:
        """Greedy continuation."""
        ...

    def served(self, question: str) -> str:
        """The answer as a user gets it: retrieval, generator, reader, support check."""
        ...

    def nll_text(self, text: str) -> tuple[float, int]:
        """Sum of negative log-likelihoods (nats) and number of scored tokens."""
        ...

    def prompt(self, messages: Messages) -> list[int]:
        """Token ids of a chat up to the assistant's turn."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text."""
        ...

    def logprobs(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Log-probabilities (nats) after each token, [tokens, vocabulary]."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the answers that count. An empty `answers` means it must be abstained from.

    `context` empty: closed book. `group` is what it shares with others (a document).
    """

    prompt: str
    answers: tuple[str, ...]
    context: str = ""
    group: str = ""

    @property
    def messages(self) -> Messages:
        if not self.context:
            return (("user", self.prompt),)
        return (("user", f"Context:\n{self.context}\n\nQuestion: {self.prompt}"),)


@dataclass(frozen=True, slots=True)
class Secret:
    """A redacted secret and the text that stood before it."""

    prefix: str
    text: str


@dataclass(frozen=True)
class Material:
    """Everything one examination asks, the same for every subject.

    `recall`, `old` and `served` come from the user's own hidden pairs; `rehearsed` are prompts
    whose answers were never facts to learn (for the KL probe); the fixed
    probes bring their own items.
    """

    recall: tuple[Question, ...] = ()
    served: tuple[Question, ...] = ()
    old: tuple[Question, ...] = ()
    rehearsed: tuple[Question, ...] = ()
    secrets: tuple[Secret, ...] = ()
    reference: dict[str, object] = field(default_factory=dict)
    """What probes remember of the base while it is examined (it is always examined first)."""
