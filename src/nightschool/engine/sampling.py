"""How the next token is chosen: settings, and llama.cpp's sampler chain for them."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nightschool.errors import UsageError

PENALTY_WINDOW = 64
"""Tokens that repetition penalties look back on, as in Ollama."""
MOST_ALTERNATIVES = 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of one continuation. The defaults are greedy.

    `grammar` is GBNF text that the answer must follow (empty: none). `logprobs` is how many
    alternatives are reported for each token, -1 for no report at all.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat: float = 1.0
    frequency: float = 0.0
    presence: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    grammar: str = ""
    logprobs: int = -1

    @property
    def penalised(self) -> bool:
        return self.repeat != 1.0 or bool(self.frequency) or bool(self.presence)

    @property
    def plain(self) -> bool:
        """Greedy with nothing else: the next token depends on the scores alone."""
        return self.temperature <= 0 and not self.grammar and not self.penalised


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One written token: its text, log-probability (nats) and the likeliest alternatives.

    `logprob` is that of the model before temperature and grammar.
    """

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()
    top: tuple[tuple[str, float, tuple[int, ...]], ...] = field(default=())


class Sampler:
    """llama.cpp's chain for one `Sampling`. Close it. Raises UsageError for a broken grammar."""

    def __init__(self, lib: Any, vocab: Any, vocabulary: int, wanted: Sampling) -> None:
        self._lib = lib
        self._size = vocabulary
        self._forced = bool(wanted.grammar)
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        try:
            for step in self._steps(vocab, wanted):
                lib.llama_sampler_chain_add(self._chain, step)
        except BaseException:
            self.close()
            raise

    def _steps(self, vocab: Any, wanted: Sampling) -> list[Any]:
        lib = self._lib
        steps = []
        if wanted.grammar:
            grammar = lib.llama_sampler_init_grammar(vocab, wanted.grammar.encode(), b"root")
            if not grammar:
                raise UsageError("The grammar of the answer is not valid.", "Mend the schema.")
            steps.append(grammar)
        if wanted.penalised:
            steps.append(
                lib.llama_sampler_init_penalties(
                    self._size, PENALTY_WINDOW, wanted.repeat, wanted.frequency, wanted.presence
                )
            )
        if wanted.temperature <= 0:
            return [*steps, lib.llama_sampler_init_greedy()]
        if wanted.top_k > 0:
            steps.append(lib.llama_sampler_init_top_k(wanted.top_k))
        if wanted.top_p < 1:
            steps.append(lib.llama_sampler_init_top_p(max(wanted.top_p, 0.0), 1))
        if wanted.min_p > 0:
            steps.append(lib.llama_sampler_init_min_p(min(wanted.min_p, 1.0), 1))
        steps.append(lib.llama_sampler_init_temp(wanted.temperature))
        return [*steps, lib.llama_sampler_init_dist(wanted.seed & 0xFFFFFFFF)]

    def sample(self, context: Any) -> int:
        """The next token after the last evaluated one; -1 when the grammar allows none.

        A grammar is applied by hand: llama.cpp ends the process when it must accept a token that
        the grammar forbids, which happens when the vocabulary has no way to go on.
        """
        lib = self._lib
        if not self._forced:
            return int(lib.llama_sampler_sample(self._chain, context, -1))
        pointer = lib.llama_get_logits_ith(context, -1)
        rows = np.empty(
            self._size, dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)]
        )
        rows["id"] = np.arange(self._size)
        rows["logit"] = np.ctypeslib.as_array(pointer, shape=(self._size,))
        rows["p"] = 0.0
        data = rows.ctypes.data_as(lib.llama_token_data_p)
        array = lib.llama_token_data_array(data=data, size=self._size, selected=-1, sorted=False)
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        if array.selected < 0:
            return -1
        chosen = array.data[array.selected]
        if not math.isfinite(chosen.logit) or chosen.logit < -1e30:
            return -1
        lib.llama_sampler_accept(self._chain, chosen.id)
        return int(chosen.id)

    def close(self) -> None:
        """Free the chain with its steps."""
        if self._chain:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None


def looked_up(ids: Sequence[int], most: int) -> list[int]:
    """Prompt-lookup decoding: what followed the last three (or two) tokens when they stood before.

    Saxena, "Prompt Lookup Decoding", 2023. Answers that copy from a passage repeat its tokens, so
    the guess is often right, and checking it costs one evaluation instead of many.
    """
    for size in (3, 2):
        if len(ids) <= size:
            continue
        tail = list(ids[-size:])
        for start in range(len(ids) - size - 1, -1, -1):
            if ids[start] == tail[0] and list(ids[start : start + size]) == tail:
                return list(ids[start + size : start + size + most])
    return []
