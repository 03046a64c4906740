"""One base model with one llama.cpp context, and adapters that are switched without a reload.

Evaluation goes in blocks of `BLOCK` tokens at fixed places, and only whole blocks are reused from
requests before. So a reused prefix went through exactly the calls that a fresh evaluation makes,
and the results are equal to the last bit, not only nearly.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil

from nightschool.engine.adapter_file import REMEDY, check_adapter
from nightschool.engine.library import library
from nightschool.engine.prefixes import Prefix, Prefixes, Weights
from nightschool.engine.room import plan
from nightschool.engine.vocabulary import Vocabulary
from nightschool.errors import ModelError
from nightschool.models.header import Header, read_header

BLOCK = 128
"""Tokens a call. Larger is a little faster on a GPU; 128 rows of logits of a 150,000-word
vocabulary are 77 MB, which is as much as the exam may take."""
SMALL = 100_000_000
"""Parameters below which one thread is enough: llama.cpp's threads wait for each other by spinning,
and beside a learner on the same cores a small model became 20 times slower with two."""
KEPT_ADAPTERS = 6
"""Loaded adapters that are kept: the served one, the one before (instant rollback), a night's."""
PREFIX_SHARE, PREFIX_MOST = 0.05, 1 << 30
"""Share of the free memory, and bytes at most, that evaluated prompts may take (see `prefixes`)."""
_CACHE_TYPES = {"f16": 1, "q8_0": 8}
"""ggml's numbers of the two precisions."""

_PLAIN = ("F32", "F16", "BF16")
"""Tensor types that are not quantised."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A loaded LoRA adapter of this base model; `handle` is llama.cpp's."""

    path: Path
    sha256: str
    handle: Any = field(compare=False, repr=False)


class Context(Vocabulary):
    """Loads, switches and evaluates. Not thread-safe: one owner, one request at a time."""

    def __init__(self, path: Path, *, context: int = 1024, threads: int = 0) -> None:
        self.path = path
        self.header = read_header(path)
        if self.header.type != "model":
            raise ModelError(f"{path} is an {self.header.type}, not a model.", "Give a base model.")
        lib = self._lib = library()
        loading = lib.llama_model_default_params()
        loading.use_extra_bufts = extra_buffers(lib, self.header)
        self._model = lib.llama_model_load_from_file(_encode(path), loading)
        if not self._model:
            raise ModelError(
                f"llama.cpp cannot load {path}: damaged, of an unknown architecture, or too large.",
                "Choose another model, or download it again.",
            )
        self.threads = threads or (1 if self.header.parameters < SMALL else _cores())
        try:
            self._open_context(context)
        except BaseException:
            lib.llama_model_free(self._model)
            raise
        self._memory = lib.llama_get_memory(self._ctx)
        self._read_vocabulary()
        self._make_batch()
        self._adapters: dict[str, Adapter] = {}
        self._active: Weights = ("", 1.0)
        self._held: list[int] = []  # prompt tokens in memory that came in whole blocks
        free = int(psutil.virtual_memory().available)
        self.prefixes = Prefixes(min(int(free * PREFIX_SHARE), PREFIX_MOST), BLOCK)
        self._open = True

    def _open_context(self, wanted: int) -> None:
        lib = self._lib
        self.room = plan(
            self.header,
            wanted=wanted,
            trained=int(lib.llama_model_n_ctx_train(self._model)),
            free=int(psutil.virtual_memory().available),
        )
        self.context = self.room.context
        settings = lib.llama_context_default_params()
        settings.n_ctx = self.context
        settings.n_batch = settings.n_ubatch = BLOCK
        settings.n_seq_max = 1
        settings.n_threads = settings.n_threads_batch = self.threads
        settings.no_perf = True
        settings.swa_full = True  # a sliding window would lose the tokens that prefixes reuse
        settings.type_k = settings.type_v = _CACHE_TYPES[self.room.cache]
        if self.room.cache != "f16":
            settings.flash_attn_type = 1  # a quantised value cache needs it
        elif not lib.llama_supports_gpu_offload():
            settings.flash_attn_type = 0  # on a processor it costs a third of the writing speed
        self._ctx = lib.llama_init_from_model(self._model, settings)
        if not self._ctx:
            raise ModelError(
                f"There is not enough memory for {self.path.name} and {self.context} tokens of "
                "context.",
                "Choose a smaller model or lower engine.context.",
            )

    def _make_batch(self) -> None:
        """One batch for all calls, and views on it: filling it must cost nothing."""
        batch = self._batch = self._lib.llama_batch_init(BLOCK, 0, 1)
        shape = (BLOCK,)
        self._batch_tokens = np.ctypeslib.as_array(batch.token, shape=shape)
        self._batch_places = np.ctypeslib.as_array(batch.pos, shape=shape)
        self._batch_scores = np.ctypeslib.as_array(batch.logits, shape=shape)
        for i in range(BLOCK):
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0

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

        What was evaluated went through other weights: it is put aside, and comes back with them.
        """
        wanted = ("", 1.0) if adapter is None else (adapter.sha256, scale)
        if wanted == self._active:
            return
        lib = self._lib
        self._put_aside()
        handles = [] if adapter is None else [adapter.handle]
        array = (lib.llama_adapter_lora_p_ctypes * len(handles))(*handles)
        scales = (ctypes.c_float * len(handles))(*[scale] * len(handles))
        if lib.llama_set_adapters_lora(self._ctx, array, len(handles), scales) != 0:
            raise ModelError("llama.cpp could not switch the adapter.", "Restart the engine.")
        self._active = wanted

    @property
    def active(self) -> Weights:
        """SHA-256 of the active adapter (empty: the base alone) and its scale."""
        return self._active

    # -- what was evaluated --------------------------------------------------------------------

    def forget(self) -> None:
        """Empty the cache of evaluated tokens, those put aside included."""
        self._drop()
        self.prefixes.forget()

    def _drop(self) -> None:
        self._lib.llama_memory_clear(self._memory, True)
        self._held = []

    def _put_aside(self) -> None:
        """Copy the held prompt's state out, then empty the cache."""
        self._save()
        self._drop()

    def _save(self) -> None:
        lib, held = self._lib, self._held
        if len(held) < BLOCK or self.prefixes.has(self._active, held):
            return
        if not lib.llama_memory_seq_rm(self._memory, 0, len(held), -1):
            return  # a recurrent model cannot drop what came after
        size = int(lib.llama_state_seq_get_size(self._ctx, 0))
        if not 0 < size <= self.prefixes.budget:
            return
        state = (ctypes.c_uint8 * size)()
        if int(lib.llama_state_seq_get_data(self._ctx, state, size, 0)) == size:
            self.prefixes.keep(Prefix(self._active, tuple(held), state, size))

    def _reuse(self, ids: Sequence[int]) -> int:
        """Bring back as much of `ids` as was evaluated before; how many tokens that are.

        The last token is always run, since its scores are wanted.
        """
        lib, before = self._lib, ids[:-1]
        start = self.prefixes.shared(self._held, before)
        if start < len(self._held):
            self._save()  # this prompt takes the place of another
        kept, same = self.prefixes.find(self._active, before)
        if kept is not None and same > start:
            self._drop()
            if int(lib.llama_state_seq_set_data(self._ctx, kept.state, kept.size, 0)) == kept.size:
                start = same
            else:
                self._drop()
                start = 0
        if not lib.llama_memory_seq_rm(self._memory, 0, start, -1):
            self._drop()  # recurrent models cannot drop a tail
            start = 0
        self._held = list(ids[:start])
        return start

    def _prefill(self, ids: list[int], cancelled: Callable[[], bool]) -> bool:
        """Evaluate a prompt, reusing whole blocks; False when it was cancelled meanwhile."""
        self.reused = start = self._reuse(ids)
        for at in range(start, len(ids), BLOCK):
            if cancelled():
                return False
            part = ids[at : at + BLOCK]
            self._decode(part, at, last_only=True)
            if len(part) == BLOCK:
                self._held = ids[: at + BLOCK]
        return True

    def _decode(self, ids: Sequence[int], position: int, *, last_only: bool) -> None:
        count = len(ids)
        self._batch.n_tokens = count
        if count == 1:  # each written token comes here: no detour over ranges
            self._batch_tokens[0], self._batch_places[0] = ids[0], position
        else:
            self._batch_tokens[:count] = ids
            self._batch_places[:count] = range(position, position + count)
            self._batch_scores[:count] = not last_only
        self._batch_scores[count - 1] = 1
        code = self._lib.llama_decode(self._ctx, self._batch)
        if code != 0:
            self._drop()
            raise ModelError(f"llama.cpp failed (code {code}).", "Try again with a shorter prompt.")

    # -- life ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Free the memory; calling it again does nothing."""
        if self._open:
            self._open = False
            self.prefixes.forget()
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._ctx)
            self._lib.llama_model_free(self._model)  # with its adapters

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def extra_buffers(lib: Any, header: Header) -> bool:
    """Whether llama.cpp may repack weights for this processor: its AMX kernels crash on quantised
    ones (ggml-org/llama.cpp#20824)."""
    quantised = any(tensor.type not in _PLAIN for tensor in header.tensors.values())
    return not (quantised and b"AMX_INT8 = 1" in lib.llama_print_system_info())


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"The adapter {path} is missing or unreadable.", REMEDY) from error


def _encode(path: Path) -> bytes:
    return str(path).encode()


def _cores() -> int:
    return int(psutil.cpu_count(logical=False) or 1)
