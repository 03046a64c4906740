"""What the encoder needs of llama_cpp's low-level interface: load it silently, copy, read words."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightschool.errors import ModelError
from nightschool.models.minilm import WIDTH
from nightschool.models.wordpiece import WordPiece

Floats = NDArray[np.float32]


def floats(pointer: Any, rows: int) -> Floats:
    """A copy of llama.cpp's vectors, float32 [rows, 384]."""
    if not pointer:
        raise ModelError("llama.cpp gave no vectors.", "Rebuild the encoder: delete its GGUF.")
    flat = np.ctypeslib.as_array(pointer, shape=(rows * WIDTH,))
    return np.array(flat, dtype=np.float32).reshape(rows, WIDTH)


def as_path(path: Path) -> bytes:
    """A path as llama.cpp wants it."""
    return str(path).encode()


def is_gguf(path: Path) -> bool:
    """Whether a file is there and begins like a GGUF."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


@lru_cache(maxsize=1)
def library() -> Any:
    """llama_cpp with its log silenced (the callback must outlive the process's last call).

    OpenMP's threads must sleep while they wait, which libgomp reads when it is loaded: spinning on
    a busy machine, two threads took 1.2–3.5 s for what takes 0.1 s with sleeping ones.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"llama.cpp cannot be loaded: {error}.", "Install it: pip install llama-cpp-python"
        ) from error
    lib: Any = llama_cpp
    lib._nightschool_log = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(lib._nightschool_log, ctypes.c_void_p(0))
    lib.llama_backend_init()
    return lib


def vocabulary(lib: Any, model: Any) -> WordPiece:
    """The model's own vocabulary, back in BERT's spelling (see minilm._add_vocabulary)."""
    vocab = lib.llama_model_get_vocab(model)
    pieces = []
    for place in range(lib.llama_vocab_n_tokens(vocab)):
        piece = lib.llama_vocab_get_text(vocab, place).decode("utf-8")
        if piece.startswith("\u2581"):
            pieces.append(piece[1:])
        elif piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            pieces.append(piece)
        else:
            pieces.append("##" + piece)
    try:
        return WordPiece(pieces)
    except KeyError as error:
        raise ModelError(
            f"The encoder's vocabulary lacks {error}.", "Use the file that ensure_minilm builds."
        ) from error
