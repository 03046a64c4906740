"""A base model that writes: streams, stop texts, sampling, log-probabilities, lookups.

Low-level calls, because the package's `Llama` class takes an adapter only when it is built. Not
thread-safe: one owner, one request at a time (the engine child is that owner). Text and tokens are
in `vocabulary`, loading and evaluating in `context`, likelihoods in `scoring`.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nightschool.engine import entropy
from nightschool.engine.context import BLOCK, KEPT_ADAPTERS, SMALL, Adapter
from nightschool.engine.sampling import (
    MOST_ALTERNATIVES,
    Sampler,
    Sampling,
    TokenLogprob,
    looked_up,
)
from nightschool.engine.scoring import Floats, Scoring, log_softmax
from nightschool.engine.stopping import StopGate
from nightschool.engine.vocabulary import Messages, Tools
from nightschool.errors import UsageError

__all__ = ["BLOCK", "KEPT_ADAPTERS", "SMALL", "Adapter", "Llama", "Timing"]

LOOKUP = 3
"""Tokens guessed from the prompt at once. Three more rows cost a model that does not fit into the
processor's cache 1.2 to 2 evaluations, six cost 2.2 to 3.7 (72 MB of weights, one thread)."""


@dataclass(slots=True)
class Timing:
    """What the last continuation took: token counts and seconds.

    `cached` prompt tokens were not evaluated again; `guessed` tokens were proposed by lookup, of
    which `accepted` were right. `ended` says how it ended: stop, length or cancelled.
    """

    prompt_tokens: int = 0
    cached: int = 0
    prompt_s: float = 0.0
    tokens: int = 0
    eval_s: float = 0.0
    guessed: int = 0
    accepted: int = 0
    ended: str = "stop"


class Llama(Scoring):
    """A base model and one context of `context` tokens (0 = what fits, see `room`).

    `threads` 0 means all physical cores, and one for small models. Raises ModelError when the file
    is missing, foreign or damaged, or does not fit into memory.
    """

    timing = Timing()
    reused = 0
    lookup: int | None = None
    """Tokens guessed at once; None: `LOOKUP` for models that are not `SMALL`, else none."""

    def stream(
        self,
        messages: Messages | str,
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        cancelled: Callable[[], bool] = lambda: False,
        on_token: Callable[[], None] = lambda: None,
    ) -> Iterator[str]:
        """Yield the continuation of a chat (or of a bare prompt text) in pieces.

        Pieces are whole characters; a stop text is never shown, not even in part. Ends early when
        `cancelled()`. Greedy at temperature 0. Raises UsageError when the prompt does not fit.
        """
        wanted = Sampling(
            max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=tuple(stop)
        )
        for text, _ in self.write(
            self.prompt_ids(messages), wanted, cancelled=cancelled, on_token=on_token
        ):
            if text:
                yield text

    def prompt_ids(self, messages: Messages | str, tools: Tools = ()) -> list[int]:
        """Tokens of a chat, or of a trusted bare text (control words count) to be continued."""
        if isinstance(messages, str):
            return self.tokenize(messages, special=True, add_special=True)
        return self.prompt(messages, tools)

    def write(
        self,
        ids: list[int],
        wanted: Sampling,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        on_token: Callable[[], None] = lambda: None,
        trace: entropy.Trace | None = None,
    ) -> Iterator[tuple[str, TokenLogprob | None]]:
        """Yield a piece of text (maybe empty) and, if wanted, its log-probability, per token.

        What it took is in `timing` afterwards; `trace` gets each token and its entropy (nats).
        """
        self.timing = Timing(prompt_tokens=len(ids))
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        gate = StopGate(wanted.stop)
        scored = trace is not None or wanted.logprobs >= 0
        for token, scores in self._tokens(ids, wanted, cancelled, scored):
            on_token()
            self.timing.tokens += 1
            piece = self.piece(token)
            report = None
            if scores is not None and wanted.logprobs >= 0:
                report = self._report(token, scores, wanted.logprobs)
            if scores is not None and trace is not None:
                trace.append((piece, entropy.of_scores(scores)))
            yield gate.push(decoder.decode(piece)), report
            if gate.closed:
                self.timing.ended = "stop"
                return
        if text := gate.push(decoder.decode(b"", final=True)) + gate.flush():
            yield text, None

    def generate(
        self,
        messages: Messages,
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        check: Callable[[], None] = lambda: None,
        trace: entropy.Trace | None = None,
    ) -> str:
        """The whole continuation at once, without surrounding white space.

        `check` is called for every token and may raise to cancel; `trace` gets each token and its
        entropy (nats).
        """
        wanted = Sampling(
            max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=tuple(stop)
        )
        written = self.write(self.prompt_ids(messages), wanted, on_token=check, trace=trace)
        return "".join(text for text, _ in written).strip()

    # -- token by token ------------------------------------------------------------------------

    def _tokens(
        self, ids: list[int], wanted: Sampling, cancelled: Callable[[], bool], scored: bool
    ) -> Iterator[tuple[int, Floats | None]]:
        """Each token, and if `scored` the raw scores it came from (a view, until the next one)."""
        if not ids:
            raise UsageError("The prompt is empty.", "Ask something.")
        if len(ids) >= self.context:
            raise UsageError(
                f"The prompt has {len(ids)} tokens; the limit is {self.context - 1}.",
                "Shorten it, or raise engine.context if the model allows more.",
            )
        timing = self.timing
        sampler = Sampler(self._lib, self._vocab, self.vocabulary, wanted)
        end = min(len(ids) + wanted.max_tokens, self.context)
        began = time.perf_counter()
        try:
            if not self._prefill(ids, cancelled):
                timing.ended = "cancelled"
                return
            timing.cached = self.reused
            began, timing.prompt_s = time.perf_counter(), time.perf_counter() - began
            timing.ended = "length"
            guesses = self.lookup
            if guesses is None:
                guesses = 0 if self.header.parameters < SMALL else LOOKUP
            if guesses and wanted.plain and wanted.logprobs < 0:
                yield from self._looking_up(ids, end, guesses, cancelled)
            else:
                yield from self._one_by_one(len(ids), end, sampler, cancelled, scored)
        finally:
            timing.eval_s = time.perf_counter() - began if timing.prompt_s else 0.0
            sampler.close()

    def _one_by_one(
        self,
        start: int,
        end: int,
        sampler: Sampler,
        cancelled: Callable[[], bool],
        scored: bool,
    ) -> Iterator[tuple[int, Floats | None]]:
        lib = self._lib
        for position in range(start, end):
            if cancelled():
                self.timing.ended = "cancelled"
                return
            token = sampler.sample(self._ctx)
            if token < 0 or lib.llama_vocab_is_eog(self._vocab, token):
                self.timing.ended = "stop"
                return
            yield token, self._scores(-1) if scored else None
            if position + 1 < end:
                self._decode([token], position, last_only=True)

    def _looking_up(
        self, ids: list[int], end: int, guesses: int, cancelled: Callable[[], bool]
    ) -> Iterator[tuple[int, Floats]]:
        """Greedy, with guesses from the text so far that are checked many at once.

        After guesses that were all wrong, the next ones wait twice as long.
        """
        lib, timing = self._lib, self.timing
        text = list(ids)
        scores = self._scores(-1)
        token = int(scores.argmax())
        pause, waiting = 0, 0
        while True:
            if cancelled():
                timing.ended = "cancelled"
                return
            if lib.llama_vocab_is_eog(self._vocab, token):
                timing.ended = "stop"
                return
            yield token, scores
            text.append(token)
            room = end - len(text)
            if room <= 0:
                return
            waiting = max(waiting - 1, 0)
            guess = [] if waiting else looked_up(text, min(guesses, room))
            at = len(text) - 1
            self._decode([token, *guess], at, last_only=not guess)
            if not guess:
                scores = self._scores(-1)
                token = int(scores.argmax())
                continue
            right = 0
            scores = self._scores(0)
            token = int(scores.argmax())
            while right < len(guess) and token == guess[right]:
                if lib.llama_vocab_is_eog(self._vocab, token):
                    break
                yield token, scores
                text.append(token)
                right += 1
                scores = self._scores(right)
                token = int(scores.argmax())
            timing.guessed += len(guess)
            timing.accepted += right
            pause = 0 if right else max(2 * pause, 2)
            waiting = pause
            if right < len(guess):
                lib.llama_memory_seq_rm(self._memory, 0, at + 1 + right, -1)
            if len(text) >= end:
                return

    def _scores(self, row: int) -> Floats:
        """A view on the raw scores after one token of the last call."""
        pointer = self._lib.llama_get_logits_ith(self._ctx, row)
        scores: Floats = np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))
        return scores

    def _report(self, token: int, scores: Floats, alternatives: int) -> TokenLogprob:
        logs = log_softmax(scores)
        most = min(alternatives, MOST_ALTERNATIVES, self.vocabulary - 1)
        best = np.argpartition(logs, -most)[-most:] if most else np.empty(0, dtype=np.intp)
        best = best[np.argsort(-logs[best], kind="stable")]
        piece = self.piece(token, special=True)
        pieces = [self.piece(int(one), special=True) for one in best]
        return TokenLogprob(
            piece.decode("utf-8", "replace"),
            float(logs[token]),
            tuple(piece),
            tuple(
                (text.decode("utf-8", "replace"), float(logs[one]), tuple(text))
                for text, one in zip(pieces, best, strict=True)
            ),
        )
