"""Practice items as token ids, with the position from which the loss counts.

Answer-only loss: the prompt's tokens are read, never learned. A replay item carries no label at
all but the base model's own distribution (see `soft`), so that practice cannot move it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Tokens(Protocol):
    """What turns text into tokens: `models.base.TorchBase`, or the served model itself."""

    def prompt_ids(self, question: str) -> list[int]: ...

    def encode(self, text: str) -> list[int]: ...

    @property
    def end(self) -> int: ...

    @property
    def start(self) -> int: ...


LIMIT = 512
"""Longest practised item in tokens; longer ones are left out and counted."""


@dataclass(frozen=True, slots=True)
class Item:
    """`ids[answer:]` are the tokens whose prediction is trained; `group`: fact, rehearsal, text."""

    ids: tuple[int, ...]
    answer: int
    group: str = "fact"


def chat_item(base: Tokens, prompt: str, answer: str, group: str, limit: int) -> Item | None:
    """One user turn and its answer; None when it does not fit into `limit` tokens."""
    head = base.prompt_ids(prompt)
    tail = [*base.encode(answer), base.end]
    if len(head) + len(tail) > limit:
        return None
    return Item(tuple(head + tail), len(head), group)


def text_items(base: Tokens, texts: Iterable[str], length: int) -> list[Item]:
    """Plain text in pieces of at most `length` tokens, every token counts."""
    found = []
    for text in texts:
        ids = [base.start, *base.encode(text)]
        for begin in range(0, len(ids), length):
            piece = ids[begin : begin + length]
            if len(piece) > 8:
                found.append(Item(tuple(piece), 1, "text"))
    return found
