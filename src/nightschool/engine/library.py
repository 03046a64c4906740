"""llama.cpp itself: loaded once a process, with its log silenced."""

from __future__ import annotations

import ctypes
from typing import Any

from nightschool.errors import ModelError


def library() -> Any:
    """llama_cpp with its log silenced (the callback must outlive the process's last call)."""
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"llama.cpp cannot be loaded: {error}.", "Install it: pip install llama-cpp-python"
        ) from error
    lib: Any = llama_cpp
    if not hasattr(lib, "_nightschool_silence"):
        lib._nightschool_silence = lib.llama_log_callback(lambda level, text, data: None)
        lib.llama_log_set(lib._nightschool_silence, ctypes.c_void_p(0))
        lib.llama_backend_init()
    return lib
