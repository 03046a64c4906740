"""Nightschool: a local model that goes to night school on your own files.

The public door is `from nightschool import Nightschool` (in-process) and the `nightschool`
command. Both are light: heavy work (torch, llama.cpp, FAISS) happens in child processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nightschool.api import Nightschool

__version__ = "0.1.0"
__all__ = ["Nightschool", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the Python door only when it is asked for, so `import nightschool` stays light."""
    if name == "Nightschool":
        from nightschool.api import Nightschool

        return Nightschool
    raise AttributeError(f"module 'nightschool' has no attribute {name!r}")
