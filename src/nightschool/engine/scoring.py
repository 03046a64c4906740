"""What a model thinks of a text that is there already: scores, log-probabilities, likelihoods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nightschool.engine.context import BLOCK, Context
from nightschool.engine.vocabulary import Messages
from nightschool.errors import UsageError

Floats = npt.NDArray[np.float32]


class Scoring(Context):
    """The scoring half of `engine.llama.Llama`."""

    def logits(self, ids: Sequence[int]) -> Floats:
        """Raw next-token scores after each token: `[len(ids), vocabulary]`, evaluated afresh."""
        self._fits(len(ids))
        return np.concatenate(list(self._blocks(list(ids))))

    def logprobs(self, ids: Sequence[int]) -> Floats:
        """Log-probabilities (nats) after each token: `[len(ids), vocabulary]`."""
        return log_softmax(self.logits(ids))

    def nll(self, prompt: str, completion: str) -> tuple[float, int]:
        """Negative log-likelihood of `completion` after `prompt`: sum in nats, token count.

        `prompt` may be rendered with `render`: its control tokens count as such, those of
        `completion` do not. Raises UsageError when both together do not fit.
        """
        return self.nll_ids(self.tokenize(prompt, special=True), self.tokenize(completion))

    def nll_chat(self, messages: Messages, completion: str) -> tuple[float, int]:
        """As `nll`, for an assistant's answer to `messages`, its end token included."""
        return self.nll_ids(self.prompt(messages), [*self.tokenize(completion), self.turn_end])

    def sureness(self, messages: Messages, completion: str) -> float:
        """Geometric mean of the probabilities (0..1) of an answer's tokens."""
        total, count = self.nll_chat(messages, completion)
        return math.exp(-total / count)

    def nll_ids(self, before: Sequence[int], ids: Sequence[int]) -> tuple[float, int]:
        """As `nll`, for tokens."""
        first = max(len(before) - 1, 0)  # with nothing before, the first token is not scored
        return self._score([*before, *ids], first)

    def nll_text(self, text: str) -> tuple[float, int]:
        """Sum (nats) and count over a text of any length, in windows of the context's size.

        Each window starts with the last token of the one before, so every token but the very
        first is scored exactly once.
        """
        ids = self.tokenize(text, add_special=True)
        total, count = 0.0, 0
        for start in range(0, max(len(ids) - 1, 0), self.context - 1):
            part, scored = self._score(ids[start : start + self.context], 0)
            total, count = total + part, count + scored
        return total, count

    def _score(self, ids: list[int], first: int) -> tuple[float, int]:
        """NLL of ids[first + 1:], each given all before it."""
        self._fits(len(ids))
        total, row = 0.0, 0
        for block in self._blocks(ids):
            targets = np.asarray(ids[row + 1 : row + 1 + len(block)], dtype=np.intp)
            skip = min(max(first - row, 0), len(targets))
            if skip < len(targets):
                rows = log_softmax(block[skip : len(targets)])
                picked = rows[np.arange(len(rows)), targets[skip:]]
                total -= float(picked.sum(dtype=np.float64))
            row += len(block)
        return total, max(len(ids) - 1 - first, 0)

    def _blocks(self, ids: list[int]) -> Iterator[Floats]:
        self._put_aside()
        for start in range(0, len(ids), BLOCK):
            part = ids[start : start + BLOCK]
            self._decode(part, start, last_only=False)
            pointer = self._lib.llama_get_logits(self._ctx)
            shape = (len(part), self.vocabulary)
            yield np.ctypeslib.as_array(pointer, shape=shape).astype(np.float32, copy=True)

    def _fits(self, count: int) -> None:
        if not 0 < count <= self.context:
            raise UsageError(
                f"The text has {count} tokens; 1 to {self.context} fit.", "Shorten the text."
            )


def log_softmax(scores: Floats) -> Floats:
    """Log-probabilities (nats) of raw scores along the last axis."""
    shifted = (scores - scores.max(axis=-1, keepdims=True)).astype(np.float64)
    result: Floats = (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(
        np.float32
    )
    return result
