"""One base model in llama.cpp, with adapters that are switched without loading anything again.

Low-level calls, because the package's `Llama` class takes an adapter only when it is built. Not
thread-safe: one owner, one request at a time (the engine child is that owner).

Evaluation goes in blocks of `BLOCK` tokens at fixed places, and only whole blocks are reused from
the request before. So a reused prefix went through exactly the calls that a fresh evaluation
makes, and the results are equal to the last bit, not only nearly.
"""

from __future__ import annotations

import codecs
import ctypes
import hashlib
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightschool.engine.adapter_file import REMEDY, check_adapter
from nightschool.engine.library import library
from nightschool.engine.stopping import StopGate
from nightschool.engine.template import ChatTemplate
from nightschool.errors import ModelError, UsageError
from nightschool.models.header import read_header

BLOCK = 128
"""Tokens a call. Larger is a little faster on a GPU; 128 rows of logits of a 150,000-word
vocabulary are 77 MB, which is as much as the exam may take."""
SMALL = 100_000_000
"""Parameters below which one thread is enough: llama.cpp's threads wait for each other by spinning,
and beside a learner on the same cores a small model became 20 times slower with two."""
KEPT_ADAPTERS = 6
"""Loaded adapters that are kept: the served one, the one before (instant rollback), a night's."""

Floats = npt.NDArray[np.float32]
Messages = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A loaded LoRA adapter of this base model; `handle` is llama.cpp's."""

    path: Path
    sha256: str
    handle: Any = field(compare=False, repr=False)


class Llama:
    """A base model and one context of `context` tokens (0 = what the model was made for).

    `threads` 0 means all physical cores, and one for small models. Raises ModelError when the file
    is missing, foreign or damaged, or does not fit into memory.
    """

    def __init__(self, path: Path, *, context: int = 1024, threads: int = 0) -> None:
        self.path = path
        self.header = read_header(path)
        if self.header.type != "model":
            raise ModelError(f"{path} is an {self.header.type}, not a model.", "Give a base model.")
        lib = self._lib = library()
        self._model = lib.llama_model_load_from_file(
            _encode(path), lib.llama_model_default_params()
        )
        if not self._model:
            raise ModelError(
                f"llama.cpp cannot load {path}: damaged, of an unknown architecture, or too large.",
                "Choose another model, or download it again.",
            )
        trained = int(lib.llama_model_n_ctx_train(self._model))
        self.context = min(context, trained) if context and trained else (context or trained)
        self.threads = threads or (1 if self.header.parameters < SMALL else _cores())
        self._ctx = lib.llama_init_from_model(self._model, self._settings(self.threads))
        if not self._ctx:
            lib.llama_model_free(self._model)
            raise ModelError(
                f"There is not enough memory for {path.name} and {self.context} tokens of context.",
                "Choose a smaller model or lower engine.context.",
            )
        self._memory = lib.llama_get_memory(self._ctx)
        self._vocab = lib.llama_model_get_vocab(self._model)
        self.vocabulary = int(lib.llama_vocab_n_tokens(self._vocab))
        self._batch = lib.llama_batch_init(BLOCK, 0, 1)
        self._adapters: dict[str, Adapter] = {}
        self._active: tuple[str, float] = ("", 1.0)
        self._held: list[int] = []  # prompt tokens in memory that came in whole blocks
        self._template = self._chat_template()
        self._open = True

    def _settings(self, threads: int) -> Any:
        settings = self._lib.llama_context_default_params()
        settings.n_ctx = self.context
        settings.n_batch = settings.n_ubatch = BLOCK
        settings.n_seq_max = 1
        settings.n_threads = settings.n_threads_batch = threads
        settings.no_perf = True
        settings.swa_full = True  # a sliding window would lose the tokens that prefixes reuse
        return settings

    def _chat_template(self) -> ChatTemplate:
        lib = self._lib
        source = str(self.header.metadata.get("tokenizer.chat_template", ""))
        bos, eos = lib.llama_vocab_bos(self._vocab), lib.llama_vocab_eos(self._vocab)
        texts = [
            self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
            for token in (bos, eos)
        ]
        return ChatTemplate(source, bos=texts[0], eos=texts[1])

    # -- adapters ------------------------------------------------------------------------------

    def adapter(self, path: Path, sha256: str = "") -> Adapter:
        """Load an adapter, or give the one that is loaded already (by content).

        `sha256` is that of the file, for callers who know it. Raises ModelError when the file is
        missing, foreign, damaged, or for another base model.
        """
        sha256 = sha256 or _hash(path)
        if (known := self._adapters.get(sha256)) is not None:
            self._adapters[sha256] = self._adapters.pop(sha256)  # the newest last
            return known
        check_adapter(path, self.header)
        handle = self._lib.llama_adapter_lora_init(self._model, _encode(path))
        if not handle:
            raise ModelError(
                f"llama.cpp refuses the adapter {path}.",
                "Roll back to another version; the file is damaged or for another model.",
            )
        while len(self._adapters) >= KEPT_ADAPTERS:
            oldest = next(name for name in self._adapters if name != self._active[0])
            self._lib.llama_adapter_lora_free(self._adapters.pop(oldest).handle)
        self._adapters[sha256] = Adapter(path, sha256, handle)
        return self._adapters[sha256]

    def activate(self, adapter: Adapter | None, scale: float = 1.0) -> None:
        """Serve with `adapter` (None: the base alone) from the next token on.

        Forgets all evaluated tokens, since they went through other weights.
        """
        wanted = ("", 1.0) if adapter is None else (adapter.sha256, scale)
        if wanted == self._active:
            return
        lib = self._lib
        self.forget()
        handles = [] if adapter is None else [adapter.handle]
        array = (lib.llama_adapter_lora_p_ctypes * len(handles))(*handles)
        scales = (ctypes.c_float * len(handles))(*[scale] * len(handles))
        if lib.llama_set_adapters_lora(self._ctx, array, len(handles), scales) != 0:
            raise ModelError("llama.cpp could not switch the adapter.", "Restart the engine.")
        self._active = wanted

    @property
    def active(self) -> tuple[str, float]:
        """SHA-256 of the active adapter (empty: the base alone) and its scale."""
        return self._active

    def forget(self) -> None:
        """Empty the cache of evaluated tokens."""
        self._lib.llama_memory_clear(self._memory, True)
        self._held = []

    # -- text and tokens -----------------------------------------------------------------------

    def tokenize(self, text: str, *, special: bool = False, add_special: bool = False) -> list[int]:
        """Token ids. `special` reads control tokens in the text; never set it for foreign text.

        `add_special` adds the start token where the model wants one.
        """
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 16
        out = (self._lib.llama_token * room)()
        count = self._lib.llama_tokenize(
            self._vocab, raw, len(raw), out, room, add_special, special
        )
        if count < 0:
            raise ModelError("llama.cpp could not tokenise a text.", "Report it with the text.")
        return list(out[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; not always whole characters."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = self._lib.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens."""
        return b"".join(self.piece(token, special=special) for token in ids).decode(
            "utf-8", "replace"
        )

    def render(self, messages: Messages, *, add_generation_prompt: bool = True) -> str:
        """The prompt text that `messages` become (for display and parity checks)."""
        return self._template.render(messages, add_generation_prompt=add_generation_prompt)

    def prompt(self, messages: Messages) -> list[int]:
        """Tokens of a chat, ready for the assistant's turn.

        Control tokens written inside a message stay plain text: a note cannot end its own turn
        and speak as the assistant. Only then are the parts tokenised one by one.
        """
        contents = [content for _, content in messages]
        if any(self.tokenize(text, special=True) != self.tokenize(text) for text in contents):
            mark = secrets.token_hex(8)
            parts = self._template.parts(messages, lambda i: f"[{mark}-{i}]")
            return [
                token
                for text, trusted in parts
                if text
                for token in self.tokenize(text, special=trusted)
            ]
        return self.tokenize(self.render(messages), special=True)

    def opening(self) -> str:
        """What a text without prompt starts with: the start token, or a plain word without one."""
        token = self._lib.llama_vocab_bos(self._vocab)
        text = self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
        return text or "The"

    # -- writing -------------------------------------------------------------------------------

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
        if isinstance(messages, str):
            ids = self.tokenize(messages, special=True, add_special=True)
        else:
            ids = self.prompt(messages)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        gate = StopGate(stop)
        for token in self._tokens(ids, max_tokens, temperature, top_p, seed, cancelled):
            on_token()
            if text := gate.push(decoder.decode(self.piece(token))):
                yield text
            if gate.closed:
                return
        if text := gate.push(decoder.decode(b"", final=True)) + gate.flush():
            yield text

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
    ) -> str:
        """The whole continuation at once, without surrounding white space.

        `check` is called for every token and may raise to cancel.
        """
        return "".join(
            self.stream(
                messages,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                top_p=top_p,
                stop=stop,
                on_token=check,
            )
        ).strip()

    def _tokens(
        self,
        ids: list[int],
        max_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
        cancelled: Callable[[], bool],
    ) -> Iterator[int]:
        if not ids:
            raise UsageError("The prompt is empty.", "Ask something.")
        if len(ids) >= self.context:
            raise UsageError(
                f"The prompt has {len(ids)} tokens; the limit is {self.context - 1}.",
                "Shorten it, or raise engine.context if the model allows more.",
            )
        lib = self._lib
        sampler = self._sampler(temperature, top_p, seed)
        try:
            if not self._prefill(ids, cancelled):
                return
            for position in range(len(ids), min(len(ids) + max_tokens, self.context)):
                if cancelled():
                    return
                token = int(lib.llama_sampler_sample(sampler, self._ctx, -1))
                if lib.llama_vocab_is_eog(self._vocab, token):
                    return
                yield token
                if position + 1 < min(len(ids) + max_tokens, self.context):
                    self._decode([token], position, last_only=True)
        finally:
            lib.llama_sampler_free(sampler)

    def _sampler(self, temperature: float, top_p: float, seed: int) -> Any:
        lib = self._lib
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if temperature <= 0:
            steps = [lib.llama_sampler_init_greedy()]
        else:
            steps = [lib.llama_sampler_init_temp(temperature)]
            if top_p < 1:
                steps.insert(0, lib.llama_sampler_init_top_p(max(top_p, 0.0), 1))
            steps.append(lib.llama_sampler_init_dist(seed & 0xFFFFFFFF))
        for step in steps:
            lib.llama_sampler_chain_add(chain, step)
        return chain

    # -- scoring -------------------------------------------------------------------------------

    def logits(self, ids: Sequence[int]) -> Floats:
        """Raw next-token scores after each token: `[len(ids), vocabulary]`, evaluated afresh."""
        self._fits(len(ids))
        return np.concatenate(list(self._blocks(list(ids))))

    def logprobs(self, ids: Sequence[int]) -> Floats:
        """Log-probabilities (nats) after each token: `[len(ids), vocabulary]`."""
        return _log_softmax(self.logits(ids))

    def nll(self, prompt: str, completion: str) -> tuple[float, int]:
        """Negative log-likelihood of `completion` after `prompt`: sum in nats, token count.

        `prompt` may be rendered with `render`: its control tokens count as such, those of
        `completion` do not. Raises UsageError when both together do not fit.
        """
        return self.nll_ids(self.tokenize(prompt, special=True), self.tokenize(completion))

    def nll_chat(self, messages: Messages, completion: str) -> tuple[float, int]:
        """As `nll`, for an assistant's answer to `messages`, its end token included."""
        end = self._lib.llama_vocab_eos(self._vocab)
        return self.nll_ids(self.prompt(messages), [*self.tokenize(completion), int(end)])

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
                rows = _log_softmax(block[skip : len(targets)])
                picked = rows[np.arange(len(rows)), targets[skip:]]
                total -= float(picked.sum(dtype=np.float64))
            row += len(block)
        return total, max(len(ids) - 1 - first, 0)

    def _blocks(self, ids: list[int]) -> Iterator[Floats]:
        self.forget()
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

    # -- evaluation ----------------------------------------------------------------------------

    def _prefill(self, ids: list[int], cancelled: Callable[[], bool]) -> bool:
        """Evaluate a prompt, reusing whole blocks; False when it was cancelled meanwhile."""
        same = 0
        for ours, theirs in zip(self._held, ids[:-1], strict=False):  # the last token is always run
            if ours != theirs:
                break
            same += 1
        start = same - same % BLOCK
        if not self._lib.llama_memory_seq_rm(self._memory, 0, start, -1):
            self.forget()  # recurrent models cannot drop a tail
            start = 0
        self._held = ids[:start]
        for at in range(start, len(ids), BLOCK):
            if cancelled():
                return False
            part = ids[at : at + BLOCK]
            self._decode(part, at, last_only=True)
            if len(part) == BLOCK:
                self._held = ids[: at + BLOCK]
        return True

    def _decode(self, ids: Sequence[int], position: int, *, last_only: bool) -> None:
        batch = self._batch
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i] = token, position + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = not last_only
        batch.logits[len(ids) - 1] = True
        code = self._lib.llama_decode(self._ctx, batch)
        if code != 0:
            self.forget()
            raise ModelError(f"llama.cpp failed (code {code}).", "Try again with a shorter prompt.")

    def close(self) -> None:
        """Free the memory; calling it again does nothing."""
        if self._open:
            self._open = False
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._ctx)
            self._lib.llama_model_free(self._model)  # with its adapters

    def __enter__(self) -> Llama:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _log_softmax(scores: Floats) -> Floats:
    shifted = (scores - scores.max(axis=-1, keepdims=True)).astype(np.float64)
    result: Floats = (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(
        np.float32
    )
    return result


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"The adapter {path} is missing or unreadable.", REMEDY) from error


def _encode(path: Path) -> bytes:
    return str(path).encode()


def _cores() -> int:
    import psutil

    return int(psutil.cpu_count(logical=False) or 1)
