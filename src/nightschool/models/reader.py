"""The reader in the box: points at the answer to a question in a passage, or at nothing.

A LoRA adapter on MiniLM with a span head (`box/reader.safetensors`, `box/reader.json`; how it was
trained: `packaging/reader/`), served by llama.cpp without torch. The input is
`[CLS] question [SEP] passage [SEP]`; the head gives every token a start and an end logit, and
[CLS] stands for "not in this passage". Long passages are read in overlapping windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightschool.models.built import ensure_built
from nightschool.models.llama_encoder import BATCH_TEXTS, BATCH_TOKENS, LlamaEncoder
from nightschool.models.minilm import ensure_minilm
from nightschool.models.reader_box import BOX, CONVERTER, settings_of, tensors_of, write_adapter


@dataclass(frozen=True)
class Span:
    """A possible answer: characters [start, end) of passage number `passage`.

    `score` is the logit margin over "no answer"; `probability` (0..1) is the calibrated chance that
    the passage holds an answer and that it was found.
    """

    passage: int
    start: int
    end: int
    text: str
    score: float
    probability: float


class Reader:
    """Loads the encoder and the reader's adapter; thread-safe; about 60 MB resident.

    `models_dir` is a cache for the two GGUFs, built on first use (about a second). Raises
    ModelError when a file is missing, damaged, foreign or from a newer version.
    """

    def __init__(self, models_dir: Path, threads: int = 1, box: Path = BOX) -> None:
        self.settings, digest = settings_of(box)
        tensors = tensors_of(box / "reader.safetensors", digest, self.settings.rank)
        self._head: NDArray[np.float32] = tensors["head.weight"].astype(np.float32)
        self._bias: NDArray[np.float32] = tensors["head.bias"].astype(np.float32)
        adapter = ensure_built(
            models_dir / f"reader-{digest[:12]}-lora.gguf",
            f"reader/{CONVERTER}/{digest}",
            lambda path: write_adapter(tensors, self.settings.alpha, path),
        )
        self._encoder = LlamaEncoder(ensure_minilm(models_dir), threads, adapter)

    @property
    def threshold(self) -> float:
        """From this probability on a span is an answer."""
        return self.settings.threshold

    def read(self, question: str, passages: Sequence[str]) -> list[Span]:
        """The best span of every passage, best first; passages without words give none.

        Nothing is thresholded here: compare `probability` with `threshold`, or call `answer`.
        """
        limit = self.settings.question
        asked = self._encoder.wordpiece.encode(question, limit=limit).ids[:limit]
        spans = [
            span
            for number, passage in enumerate(passages)
            if (span := self._best(asked, number, passage)) is not None
        ]
        return sorted(spans, key=lambda span: -span.score)

    def answer(self, question: str, passages: Sequence[str]) -> Span | None:
        """The best span of all passages, or None if it is not probable enough."""
        spans = self.read(question, passages)
        return spans[0] if spans and spans[0].probability >= self.threshold else None

    def margins(
        self, question: str, passages: Sequence[str], enough: Callable[[], bool] = lambda: False
    ) -> list[float | None]:
        """Each passage's best span less "no answer", in logits: the `score` of `read`.

        Windows share a call as long as they fit. Before every call but the first `enough` is
        asked; what was not read whole by then, and passages without words, get None.
        """
        limit = self.settings.question
        asked = self._encoder.wordpiece.encode(question, limit=limit).ids[:limit]
        found: list[float | None] = [None] * len(passages)
        for calls, batch in enumerate(self._packed(asked, passages)):
            if calls and enough():
                found[batch[0][0]] = None  # of several windows some may have been read
                break
            rows = self._encoder.hidden_of([ids for _, ids in batch])
            for (number, _), hidden in zip(batch, rows, strict=True):
                score, known = self._span(hidden, asked)[0], found[number]
                found[number] = score if known is None else max(score, known)
        return found

    def _packed(
        self, asked: list[int], passages: Sequence[str]
    ) -> Iterator[list[tuple[int, list[int]]]]:
        """`(passage, input)` of all windows in their order, as many as one call may hold."""
        words = self._encoder.wordpiece
        batch: list[tuple[int, list[int]]] = []
        used = 0
        for number, passage in enumerate(passages):
            ids = self._encoder.tokens(passage, line_breaks=True).ids
            for low, high in _windows(len(ids), self._room(asked), self.settings.overlap):
                item = [words.cls, *asked, words.sep, *ids[low:high], words.sep]
                if batch and (used + len(item) > BATCH_TOKENS or len(batch) == BATCH_TEXTS):
                    yield batch
                    batch, used = [], 0
                batch.append((number, item))
                used += len(item)
        if batch:
            yield batch

    def _span(self, hidden: NDArray[np.float32], asked: list[int]) -> tuple[float, int, int]:
        """The best span of one input: its margin, first and last token of the window."""
        logits = hidden @ self._head.T + self._bias
        null = float(logits[0, 0] + logits[0, 1])
        body = logits[len(asked) + 2 : -1]
        value, first, last = _best_span(body[:, 0], body[:, 1], self.settings.max_answer)
        return value - null, first, last

    def _best(self, asked: list[int], number: int, passage: str) -> Span | None:
        words = self._encoder.wordpiece
        tokens = self._encoder.tokens(passage, line_breaks=True)
        best: tuple[float, int, int] | None = None
        for low, high in _windows(len(tokens), self._room(asked), self.settings.overlap):
            ids = [words.cls, *asked, words.sep, *tokens.ids[low:high], words.sep]
            score, first, last = self._span(self._encoder.hidden(ids), asked)
            if best is None or score > best[0]:
                best = score, first + low, last + low
        if best is None:
            return None
        score, first, last = best
        start, end = _snap(passage, tokens.starts[first], tokens.ends[last])
        chance = self.settings.chance(score)
        return Span(number, start, end, passage[start:end], score, chance)

    def _room(self, asked: list[int]) -> int:
        return self.settings.window - len(asked) - 3

    def close(self) -> None:
        """Free llama.cpp's memory."""
        self._encoder.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _windows(length: int, room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Token ranges [low, high) of at most `room` that cover all, the last one full."""
    low = 0
    while low < length:
        if low + room >= length:
            yield max(0, length - room), length
            return
        yield low, low + room
        low += room - overlap


def _best_span(
    start: NDArray[np.float32], end: NDArray[np.float32], longest: int
) -> tuple[float, int, int]:
    """Highest start[i] + end[j] with i ≤ j < i + longest: (sum, i, j)."""
    best = (-math.inf, 0, 0)
    for offset in range(min(longest, len(start))):
        sums = start[: len(start) - offset] + end[offset:]
        place = int(np.argmax(sums))
        if sums[place] > best[0]:
            best = float(sums[place]), place, place + offset
    return best


def _snap(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen to whole words: a span must not begin or end inside a run of letters and digits."""
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    return start, end
