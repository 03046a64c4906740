"""Evaluated prompts that are kept, so that going back to a conversation or document is quick.

What a model has read is its key and value cache. Before another prompt takes its place, its state
is copied out; when a prompt begins the same way, it is copied back. States are kept per weights
(adapter hash and scale) and in whole blocks: a restored prefix went through exactly the calls of
a fresh evaluation, so its answers are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Weights = tuple[str, float]
"""SHA-256 of the adapter (empty: the base alone) and its scale."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The state after `tokens` (whole blocks), as llama.cpp's opaque bytes."""

    weights: Weights
    tokens: tuple[int, ...]
    state: Any
    size: int


class Prefixes:
    """At most `budget` bytes of states; the least recently used make room."""

    def __init__(self, budget: int, block: int) -> None:
        self.budget, self.block = budget, block
        self._kept: list[Prefix] = []  # the newest last

    @property
    def bytes(self) -> int:
        return sum(prefix.size for prefix in self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, weights: Weights, ids: Sequence[int]) -> tuple[Prefix | None, int]:
        """The state that shares most whole blocks with the beginning of `ids`, and how many tokens
        that are."""
        best, most = None, 0
        for prefix in self._kept:
            if prefix.weights == weights:
                same = self.shared(prefix.tokens, ids)
                if same > most:
                    best, most = prefix, same
        if best is not None:
            self._kept.remove(best)
            self._kept.append(best)
        return best, most

    def has(self, weights: Weights, ids: Sequence[int]) -> bool:
        """Whether all of `ids` is kept already."""
        wanted = tuple(ids)
        return any(
            prefix.weights == weights and prefix.tokens[: len(wanted)] == wanted
            for prefix in self._kept
        )

    def keep(self, prefix: Prefix) -> None:
        """Keep a state; shorter ones that it contains are let go, then the oldest over budget."""
        if prefix.size > self.budget:
            return
        self._kept = [
            old
            for old in self._kept
            if old.weights != prefix.weights or prefix.tokens[: len(old.tokens)] != old.tokens
        ]
        self._kept.append(prefix)
        while self.bytes > self.budget:
            del self._kept[0]

    def forget(self) -> None:
        """Let everything go."""
        self._kept.clear()

    def shared(self, held: Sequence[int], ids: Sequence[int]) -> int:
        """Tokens of the common beginning, rounded down to whole blocks."""
        same = 0
        for ours, theirs in zip(held, ids, strict=False):
            if ours != theirs:
                break
            same += 1
        return same - same % self.block
