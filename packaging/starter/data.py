"""The training stream: `batch(number)` is a pure function of (seed, stage, number).

So training resumes anywhere, and a second process can make batches ahead. Every fourth batch has
long rows: notes among other passages, real paragraphs, more running text.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

from starter.chats import ChatWriter, Reading
from starter.pack import Batch, Piece, chat_piece, rows, text_piece
from starter.tokens import Tokens, load

STAGES = {"pretrain": 0.45, "instruct": 0.03}
"""Share of running text among the tokens, by stage; without a folder of texts it is 0."""
LONG = 4
"""One batch in so many has long rows."""
SPARE = 1.3
"""Pieces are drawn for so many times the room, so that rows pack tightly."""


@dataclass(frozen=True)
class Source:
    """Where batches come from: a saved tokenizer, the folder of real text (or none), the seed."""

    tokens: Path
    folder: Path | None
    seed: int = 1


class Mixture:
    """Makes batches of about `size` tokens."""

    def __init__(self, source: Source, size: int, short: int = 256, long: int = 512) -> None:
        self.tokens: Tokens = load(source.tokens)
        self.reading = Reading(source.folder)
        self.seed, self.size, self.short, self.long = source.seed, size, short, long

    def batch(self, stage: str, number: int) -> Batch:
        long = number % LONG == LONG - 1
        length = self.long if long else self.short
        rng = Random(f"{self.seed}/{stage}/{number}")
        writer = ChatWriter(rng, "train", self.reading)
        share = STAGES[stage] * (1.5 if long else 0.8) if self.reading.texts else 0.0
        pieces: list[Piece] = []
        got = 0
        while got < SPARE * self.size:
            piece = self._text(rng, length) if rng.random() < share else None
            if piece is None:
                piece = chat_piece(writer.chat(long), self.tokens, length)
            if piece is not None:
                pieces.append(piece)
                got += len(piece.ids)
        # packing prefers large pieces; drawing 4/5 of the room at random first keeps the mixture
        kept, room = pieces[: int(len(pieces) * 0.8)], pieces[int(len(pieces) * 0.8) :]
        return rows(kept + room, max(1, self.size // length), length)

    def _text(self, rng: Random, length: int) -> Piece:
        text = rng.choice(self.reading.texts)
        cut = rng.randint(0, max(0, len(text) - 600))
        ids = [self.tokens["endoftext"], *self.tokens.encode(text[cut : cut + 1000])]
        return text_piece(ids[: rng.choice([120, 200, length - 40])])


_mixture: Mixture | None = None


def _open(source: Source, size: int) -> None:
    global _mixture
    _mixture = Mixture(source, size)


def _make(stage: str, number: int) -> Batch:
    assert _mixture is not None
    return _mixture.batch(stage, number)


def stream(
    source: Source, size: int, stage: str, first: int, workers: int, ahead: int = 6
) -> Iterator[Batch]:
    """Batches `first`, `first` + 1, …, made ahead by `workers` other processes (0: here)."""
    if workers == 0:
        mixture = Mixture(source, size)
        while True:
            yield mixture.batch(stage, first)
            first += 1
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_open, initargs=(source, size)
    ) as pool:
        waiting: list[Future[Batch]] = []
        try:
            while True:
                while len(waiting) < ahead * workers:
                    waiting.append(pool.submit(_make, stage, first))
                    first += 1
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
