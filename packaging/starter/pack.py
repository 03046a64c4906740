"""Chats and texts as rows of token ids, with who may look at whom and what each token counts.

A row holds several pieces one after the other. `group` numbers the pieces, `branch` the questions
of a piece (0 is the passage): a token sees earlier tokens of its piece that are passage or of its
own branch, and its position counts on from the passage. So a branch is read exactly as it would be
alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from starter.chats import Chat
from starter.tokens import Tokens

Ints = npt.NDArray[np.int64]
PADDING = -1
"""The group of the tokens that fill a row up."""


@dataclass(slots=True)
class Piece:
    """Parallel lists; `weight[i]` is what predicting token i counts."""

    ids: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    branch: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)

    def add(self, ids: list[int], weights: list[float], branch: int, start: int) -> None:
        self.ids += ids
        self.weight += weights
        self.branch += [branch] * len(ids)
        self.position += range(start, start + len(ids))


@dataclass(frozen=True, slots=True)
class Batch:
    """Arrays [rows, length]: ids, group, branch, position (int64) and weight (float32)."""

    ids: Ints
    group: Ints
    branch: Ints
    position: Ints
    weight: npt.NDArray[np.float32]


def chat_piece(chat: Chat, tokens: Tokens, room: int) -> Piece | None:
    """A chat as a piece; branches that do not fit into `room` are left out; None if none does."""
    head = [tokens["user"], *tokens.encode(chat.head)]
    piece, end = Piece(), tokens["end"]
    piece.add(head, [0.0, *[chat.heed] * (len(head) - 1)], 0, 0)
    for number, branch in enumerate(chat.branches, 1):
        ask = [*tokens.encode(branch.tail), end, tokens["assistant"]]
        answer = [*tokens.encode(branch.answer), end]
        if len(piece.ids) + len(ask) + len(answer) <= room:
            # the first token decides where to copy from, or to abstain
            weights = [0.0] * len(ask) + [2 * branch.weight] + [branch.weight] * (len(answer) - 1)
            piece.add(ask + answer, weights, number, len(head))
    return piece if len(piece.ids) > len(head) else None


def text_piece(ids: list[int]) -> Piece:
    """Running text: every token but the first counts 1."""
    piece = Piece()
    piece.add(ids, [0.0, *[1.0] * (len(ids) - 1)], 0, 0)
    return piece


def rows(pieces: list[Piece], count: int, length: int) -> Batch:
    """Pack into `count` rows of `length`, largest first; what does not fit is dropped."""
    bins: list[list[Piece]] = [[] for _ in range(count)]
    room = [length] * count
    for piece in sorted(pieces, key=lambda p: -len(p.ids)):
        fits = [b for b in range(count) if room[b] >= len(piece.ids)]
        if fits:
            best = min(fits, key=lambda b: room[b])
            bins[best].append(piece)
            room[best] -= len(piece.ids)
    shape = (count, length)
    ids, branch, position = (np.zeros(shape, np.int64) for _ in range(3))
    group = np.full(shape, PADDING, np.int64)
    weight = np.zeros(shape, np.float32)
    for row, found in enumerate(bins):
        at = 0
        for number, piece in enumerate(found):
            span = slice(at, at + len(piece.ids))
            ids[row, span], weight[row, span] = piece.ids, piece.weight
            branch[row, span], position[row, span] = piece.branch, piece.position
            group[row, span] = number
            at += len(piece.ids)
    return Batch(ids, group, branch, position, weight)
