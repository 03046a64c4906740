"""MiniLM in llama.cpp: texts to vectors, or, with the reader's adapter, hidden states per token.

Uses llama_cpp's low-level calls. What must hold for a BERT there, and is checked before each call
because llama.cpp would abort the process: attention without causality, and the whole input in one
micro-batch (`n_ubatch` ≥ tokens). Every token has token type 0 in llama.cpp's `bert` graph.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nightschool.errors import ModelError
from nightschool.models.llama_bert import Floats, as_path, floats, is_gguf, library, vocabulary
from nightschool.models.minilm import MAX_TOKENS, POSITIONS, WIDTH
from nightschool.models.wordpiece import Tokens

BATCH_TOKENS = 512
"""Tokens per call. Attention is computed over the whole batch, so much larger ones get slower."""
BATCH_TEXTS = 64


class LlamaEncoder:
    """One loaded encoder; safe to share between threads (calls wait for each other).

    Without `adapter` it embeds (mean pooling); with one it gives hidden states (no pooling).
    Raises ModelError when a file is missing, foreign or damaged. About 60 MB resident.
    """

    def __init__(self, gguf_path: Path, threads: int = 1, adapter: Path | None = None) -> None:
        if threads < 1:
            raise ValueError("threads must be at least 1")
        self._lock = threading.Lock()
        self._close: list[Callable[[], None]] = []
        self._pooled = adapter is None
        try:
            self._open(gguf_path, threads, adapter)
        except BaseException:
            self.close()
            raise

    def _open(self, gguf_path: Path, threads: int, adapter: Path | None) -> None:
        lib = self._lib = library()
        for path in (gguf_path, adapter):
            if path is not None and not is_gguf(path):
                raise ModelError(
                    f"{path} is missing or not a GGUF file.",
                    "Delete it; it is built again on the next start.",
                )
        model = lib.llama_model_load_from_file(as_path(gguf_path), self._model_settings())
        if not model:
            raise ModelError(
                f"llama.cpp cannot load the encoder {gguf_path}: damaged, or from another version.",
                "Delete it; it is built again on the next start.",
            )
        self._close.append(lambda: lib.llama_model_free(model))
        if lib.llama_model_n_embd(model) != WIDTH:
            raise ModelError(
                f"{gguf_path} is not all-MiniLM-L6-v2: its width is not {WIDTH}.",
                "Use the file that ensure_minilm builds.",
            )
        self._context = lib.llama_init_from_model(model, self._context_settings(threads))
        if not self._context:
            raise ModelError("llama.cpp cannot open the encoder.", "Free some memory (100 MB).")
        self._close.append(lambda: lib.llama_free(self._context))
        if adapter is not None:
            self._load_adapter(model, adapter)
        self._batch = lib.llama_batch_init(BATCH_TOKENS, 0, 1)
        self._close.append(lambda: lib.llama_batch_free(self._batch))
        self.wordpiece = vocabulary(lib, model)

    def _model_settings(self) -> Any:
        settings = self._lib.llama_model_default_params()
        settings.n_gpu_layers = 0
        return settings

    def _context_settings(self, threads: int) -> Any:
        lib = self._lib
        settings = lib.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = BATCH_TOKENS
        settings.n_seq_max = BATCH_TEXTS
        settings.kv_unified = True
        settings.n_threads = settings.n_threads_batch = threads
        settings.embeddings = True
        settings.attention_type = lib.LLAMA_ATTENTION_TYPE_NON_CAUSAL
        settings.pooling_type = (
            lib.LLAMA_POOLING_TYPE_MEAN if self._pooled else lib.LLAMA_POOLING_TYPE_NONE
        )
        return settings

    def _load_adapter(self, model: Any, path: Path) -> None:
        lib = self._lib
        adapter = lib.llama_adapter_lora_init(model, as_path(path))
        if not adapter:
            raise ModelError(
                f"llama.cpp cannot load the adapter {path}: damaged, or for another model.",
                "Delete it; it is built again on the next start.",
            )
        adapters = (lib.llama_adapter_lora_p_ctypes * 1)(adapter)
        if lib.llama_set_adapters_lora(self._context, adapters, 1, (ctypes.c_float * 1)(1.0)):
            raise ModelError(f"The adapter {path} does not fit the encoder.", "Delete it.")

    def tokens(self, text: str, line_breaks: bool = False) -> Tokens:
        """WordPiece tokens of a text with their characters, without [CLS] and [SEP]."""
        return self.wordpiece.encode(text, line_breaks)

    def embed(self, texts: Sequence[str]) -> Floats:
        """Vectors of the texts, float32 [n, 384], each of length 1.

        Texts are cut at 256 tokens, as sentence-transformers does. Short ones share a batch.
        """
        if not self._pooled:
            raise ValueError("this encoder carries an adapter: it gives hidden states")
        out = np.zeros((len(texts), WIDTH), dtype=np.float32)
        inputs = self._inputs(texts)
        order = sorted(range(len(texts)), key=lambda i: len(inputs[i]))
        start = 0
        while start < len(order):
            end, used = start, 0
            while end < len(order) and end - start < BATCH_TEXTS:
                used += len(inputs[order[end]])
                if used > BATCH_TOKENS and end > start:
                    break
                end += 1
            chosen = order[start:end]
            out[chosen] = self._encode([inputs[i] for i in chosen])
            start = end
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        out /= np.maximum(norms, 1e-12)
        return out

    def count(self, texts: Sequence[str]) -> int:
        """Tokens that `embed` encodes of the texts, with [CLS] and [SEP] of each."""
        return sum(map(len, self._inputs(texts)))

    def _inputs(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            [self.wordpiece.cls, *ids[: MAX_TOKENS - 2], self.wordpiece.sep]
            for ids in (self.wordpiece.encode(t, limit=MAX_TOKENS).ids for t in texts)
        ]

    def hidden(self, ids: Sequence[int]) -> Floats:
        """Last layer's hidden states of one input, float32 [len(ids), 384], not normalised.

        `ids` is complete ([CLS] … [SEP]) and has at most 512 tokens; else ValueError.
        """
        if self._pooled:
            raise ValueError("this encoder was opened without an adapter: it gives vectors")
        return self._encode([ids])

    def hidden_of(self, inputs: Sequence[Sequence[int]]) -> list[Floats]:
        """`hidden` of several inputs in one call: together at most 512 tokens and 64 inputs."""
        if self._pooled:
            raise ValueError("this encoder was opened without an adapter: it gives vectors")
        ends = np.cumsum([len(ids) for ids in inputs])
        return list(np.split(self._encode(inputs), ends[:-1]))

    def _encode(self, inputs: Sequence[Sequence[int]]) -> Floats:
        """One call: a row per input when pooled, else a row per token."""
        total = sum(map(len, inputs))
        if not 0 < total <= BATCH_TOKENS or max(map(len, inputs)) > POSITIONS:
            raise ValueError(f"{total} tokens do not fit into one call of {BATCH_TOKENS}")
        if len(inputs) > BATCH_TEXTS:
            raise ValueError(f"{len(inputs)} texts do not fit into one call")
        lib = self._lib
        with self._lock:
            if not self._close:
                raise ValueError("the encoder is closed")
            batch, at = self._batch, 0
            for sequence, ids in enumerate(inputs):
                for position, token in enumerate(ids):
                    batch.token[at], batch.pos[at] = token, position
                    batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
                    batch.logits[at] = True
                    at += 1
            batch.n_tokens = total
            if lib.llama_encode(self._context, batch) != 0:
                raise ModelError("llama.cpp failed to encode a text.", "Try again; report it.")
            if not self._pooled:
                return floats(lib.llama_get_embeddings(self._context), total)
            rows = [
                floats(lib.llama_get_embeddings_seq(self._context, sequence), 1)
                for sequence in range(len(inputs))
            ]
            return np.concatenate(rows)

    def close(self) -> None:
        """Free llama.cpp's memory; calling it again does nothing."""
        with self._lock:
            while self._close:
                self._close.pop()()

    def __enter__(self) -> LlamaEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
