"""Typed settings: default < profile < `config.toml` in the home < environment.

Each key's meaning is the docstring under it in `config.settings`; `config/default.toml` shows them
all. Environment: `NIGHTSCHOOL_<SECTION>_<KEY>`, for example `NIGHTSCHOOL_LEARN_BUDGET_S=600`.
"""

from nightschool.config.load import load
from nightschool.config.settings import (
    Config,
    Desktop,
    Engine,
    Files,
    Forget,
    Learn,
    Pairs,
    Search,
    Serve,
)

__all__ = [
    "Config",
    "Desktop",
    "Engine",
    "Files",
    "Forget",
    "Learn",
    "Pairs",
    "Search",
    "Serve",
    "load",
]
