"""Typed settings: default < `config.toml` in the home < environment < flag.

Each key's meaning is the docstring under it; `config/default.toml` shows them all. Environment:
`NIGHTSCHOOL_<SECTION>_<KEY>`, for example `NIGHTSCHOOL_LEARN_BUDGET_S=600`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nightschool.errors import UsageError


@dataclass(frozen=True, slots=True)
class Learn:
    """When and how a night runs."""

    window: str = "22:00-07:00"
    """Local time in which nights may start; may cross midnight."""
    idle_s: int = 300
    """Seconds without input before a night may start, where idle time is known."""
    budget_s: int = 300
    """Seconds of training a night (exams come on top)."""
    daily_budget_s: int = 3600
    """Seconds of learner time a day, all nights together."""
    min_new_pairs: int = 20
    """Fewer new practice pairs than this are not worth a night."""
    threads: int = 0
    """Processor threads of the learner; 0 = all physical cores."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How questions are answered."""

    keep_alive_s: int = 600
    """Seconds after the last question until the engine gives its memory back."""
    threads: int = 0
    """Processor threads of llama.cpp; 0 = all physical cores."""
    context: int = 1024
    """Tokens of context, at most what the model was made for."""
    passages: int = 4
    """Passages put before the model for one question."""
    max_tokens: int = 64
    """Length limit of an answer, in tokens."""


@dataclass(frozen=True, slots=True)
class Serve:
    """The local door."""

    port: int = 7411
    """TCP port on 127.0.0.1."""
    body_limit: int = 1_048_576
    """Largest request body in bytes."""


@dataclass(frozen=True, slots=True)
class Files:
    """Which files are read."""

    max_bytes: int = 50_000_000
    """Larger files are skipped, with that reason."""
    reconcile_s: int = 3600
    """Seconds between two full comparisons of folder and index."""
    settle_s: float = 2.0
    """Size and time must be unchanged this long before a changed file is read."""
    parse_timeout_s: float = 30.0
    """Seconds that one file may take to parse."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings."""

    learn: Learn = field(default_factory=Learn)
    engine: Engine = field(default_factory=Engine)
    serve: Serve = field(default_factory=Serve)
    files: Files = field(default_factory=Files)
    model: str = ""
    """The base model's name in the catalogue or path of a GGUF; empty = the starter in the box."""


_SECTIONS = ("learn", "engine", "serve", "files")


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the settings. Raises UsageError that names the key when one is unknown or ill-typed."""
    table: dict[str, Any] = {}
    if path is not None and path.exists():
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise UsageError(
                f"{path} is not readable TOML: {error}.", "Mend or remove it."
            ) from error
    config = Config()
    for section in _SECTIONS:
        given = table.pop(section, {})
        if not isinstance(given, dict):
            raise UsageError(f"[{section}] in {path} is not a table.", "See config/default.toml.")
        config = replace(config, **{section: _merge(getattr(config, section), section, given)})
    if "model" in table:
        config = replace(config, model=str(table.pop("model")))
    if table:
        raise UsageError(
            f"Unknown setting {next(iter(table))!r} in {path}.", "See config/default.toml."
        )
    environment = os.environ if environment is None else environment
    for section in _SECTIONS:
        prefix = f"NIGHTSCHOOL_{section.upper()}_"
        given = {
            name.removeprefix(prefix).lower(): value
            for name, value in environment.items()
            if name.startswith(prefix)
        }
        config = replace(config, **{section: _merge(getattr(config, section), section, given)})
    if environment.get("NIGHTSCHOOL_MODEL"):
        config = replace(config, model=environment["NIGHTSCHOOL_MODEL"])
    return config


def _merge(current: Any, section: str, given: Mapping[str, Any]) -> Any:
    kinds = {item.name: type(getattr(current, item.name)) for item in fields(current)}
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key not in kinds:
            raise UsageError(f"Unknown setting {section}.{key}.", "See config/default.toml.")
        kind = kinds[key]
        try:
            changes[key] = kind(value)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{section}.{key} must be {kind.__name__}, not {value!r}.",
                "See config/default.toml.",
            ) from error
    return replace(current, **changes)
