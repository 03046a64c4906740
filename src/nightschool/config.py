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

    automatic: str = "ask"
    """Whether nights start by themselves: `ask` = after `nightschool nights on`, `yes`, `no`."""
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
    min_battery: int = 0
    """Percent of charge down to which a night may run on battery; 0 = on mains only."""
    max_celsius: int = 80
    """A night starts below this temperature of the processor, and stops 10 degrees above it."""
    max_others: float = 0.25
    """A night starts while other programs use less than this share of the processors (or of the
    graphics card), and stops at twice as much; 1 = never mind them."""
    languages: str = "en"
    """Languages that are practised, as ISO codes with commas; texts in others are only searched.
    Rules write English questions; another language needs a model that writes it."""
    recipe: str = "lora"
    """How nights train (docs/method.md): lora, lora_all, rslora, lora_plus, lora_fa, selective,
    delta_lora, adalora, gralora, vera, tinylora or osf."""
    distil: float = 0.0
    """Weight of prompt distillation: the base that sees the passage teaches the answer's
    distribution, where it reads right; 0 = not used."""
    preference: float = 0.0
    """Weight of learning from answers that you liked or disliked (KTO); 0 = not used, liked and
    corrected answers are practised all the same."""
    regime: str = "from-base"
    """Where a night starts: from-base, or continue (from the served version, docs/method.md)."""
    relearn_days: int = 7
    """In the regime continue: days until everything is relearned from the base."""
    merge: str = ""
    """In the regime continue: propose a merge of the newest versions before relearning: linear,
    ties, dare or slerp; empty = none."""
    spend_alpha: bool = False
    """Make the proof of a gain stricter at every further night on unchanged files, so that trying
    until one passes does not pay."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which practice questions are used."""

    auto_approve: float = 0.0
    """How sure (0..1) the reader must be of a fact read from a sentence, else it waits for
    `nightschool pairs review`; 0 = nothing waits, above 1 = everything does."""
    facts_per_file: int = 40
    """Most facts taken from one file: no file crowds the others out, or poisons them."""
    file_share: float = 0.0
    """Most of a night's facts (a share) that one file may give; 0 = no such limit."""
    near_duplicates: float = 0.0
    """Drop a fact whose question shares this much of its words (0..1) with another one's and has
    the same answer; 0 = only equal questions are dropped."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How questions are answered."""

    keep_alive_s: int = 600
    """Seconds after the last question until the engine gives its memory back."""
    threads: int = 0
    """Processor threads of llama.cpp; 0 = all physical cores."""
    context: int = 0
    """Tokens of context, at most what the model was made for; 0 = up to 4096, as memory allows."""
    passages: int = 4
    """Passages put before the model for one question."""
    max_tokens: int = 64
    """Length limit of an answer from files, in tokens; the model's own words may have 512 where
    nobody says otherwise."""
    keep_answers: int = 200
    """Answers that are remembered, to be judged with `nightschool feedback`; 0 = none."""


@dataclass(frozen=True, slots=True)
class Serve:
    """The local door."""

    port: int = 7411
    """TCP port on 127.0.0.1."""
    body_limit: int = 1_048_576
    """Largest request body in bytes."""
    origins: str = ""
    """Exact origins of web pages that may use the door (with the token), separated by commas, for
    example http://localhost:3000; empty = none but its own."""


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
    search: str = "original"
    """What search and answers see: original, or redacted (secrets and personal data taken out)."""
    ocr: str = ""
    """Languages in which Tesseract, when it is installed, reads scanned pages (eng, eng+deu); empty
    leaves them alone."""
    personal: str = "redact"
    """E-mail addresses, phone and identity numbers in what is practised: redact, or learn.
    Secrets (keys, passwords, card numbers, IBANs) are always taken out."""


@dataclass(frozen=True, slots=True)
class Forget:
    """What happens when a file is deleted or forgotten."""

    grace_s: int = 86_400
    """Seconds in which it can be undone. Search, practice and the versions that saw the file are
    cut off at once; only their adapters stay on the disk until then. 0 = no undo."""
    edits: str = "relearn"
    """After an edit: relearn = versions that saw the old text stay until the next night; block =
    they are blocked at once, as after a deletion."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings."""

    learn: Learn = field(default_factory=Learn)
    pairs: Pairs = field(default_factory=Pairs)
    engine: Engine = field(default_factory=Engine)
    serve: Serve = field(default_factory=Serve)
    files: Files = field(default_factory=Files)
    forget: Forget = field(default_factory=Forget)
    model: str = ""
    """The base model's name in the catalogue or path of a GGUF; empty = the starter in the box."""


_SECTIONS = ("learn", "pairs", "engine", "serve", "files", "forget")


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
            changes[key] = _switch(value) if kind is bool else kind(value)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{section}.{key} must be {kind.__name__}, not {value!r}.",
                "See config/default.toml.",
            ) from error
    return replace(current, **changes)


def _switch(value: Any) -> bool:
    """A TOML boolean, or the environment's words for one. Raises ValueError for anything else."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in known:
        raise ValueError(value)
    return known[str(value).lower()]
