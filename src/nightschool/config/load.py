"""Read the settings: default < profile < `config.toml` < environment, each value with its origin.

Every mistake is found in one go, with the line it stands in and what was probably meant.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nightschool.config.describe import Setting, did_you_mean, every, sections
from nightschool.config.profiles import profile_file
from nightschool.config.settings import Config
from nightschool.errors import UsageError

HANDED = "NIGHTSCHOOL_SETTINGS"
"""The service hands its children the settings it runs with: a file that is being edited, or is
wrong, must not reach half of the processes."""
DEFAULT = "default"
ALMOST = 0.9
"""How alike a variable must be to one of ours to be taken for it, misspelt."""
_SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `where` is `FILE:LINE` or an environment variable; `key` may be empty."""

    where: str
    key: str
    message: str
    remedy: str = ""

    def error(self) -> UsageError:
        return UsageError(f"{self.where}: {self.message}", self.remedy)


@dataclass(slots=True)
class Found:
    """All settings as they are, where each that is not the default comes from, and all mistakes."""

    config: Config = field(default_factory=Config)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def take(self, key: str, value: Any, origin: str) -> None:
        """Set `key` to the checked `value`."""
        section, _, name = key.rpartition(".")
        if section:
            changed = replace(getattr(self.config, section), **{name: value})
            self.config = replace(self.config, **{section: changed})
        else:
            self.config = replace(self.config, **{name: value})
        self.origins[key] = origin


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the settings. Raises UsageError for the first mistake, with its line and its key."""
    environment = os.environ if environment is None else environment
    if handed := environment.get(HANDED):
        return thaw(handed)
    found = look(path, environment)
    for problem in found.problems:
        raise problem.error()
    return found.config


def look(path: Path | None, environment: Mapping[str, str], text: str | None = None) -> Found:
    """Read everything there is, wrong or not; `text` is looked at in the place of the file's."""
    found = Found()
    table: dict[str, Any] = {}
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8-sig") if text is None else text
            table = tomllib.loads(text)
        except FileNotFoundError:
            text = ""
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            message = f"not readable TOML: {error}."
            found.problems.append(Problem(str(path), "", message, "Mend or remove it."))
            text = ""
    named = environment.get("NIGHTSCHOOL_PROFILE") or table.get("profile")
    if named and isinstance(named, str) and every()["profile"].rule.wrong("", named) is None:  # type: ignore[union-attr]
        _take_profile(found, named)
    _take_file(found, table, path, text or "")
    for section in sections():
        prefix = f"NIGHTSCHOOL_{section.upper()}_"
        for variable, value in environment.items():
            if variable.startswith(prefix):
                key = f"{section}.{variable.removeprefix(prefix).lower()}"
                _check(found, key, value, variable, spoken=True)
    for key in every():
        variable = every()[key].variable
        if "." not in key and environment.get(variable):
            _check(found, key, environment[variable], variable, spoken=True)
    found.problems += _misspelt(environment)
    return found


def _misspelt(environment: Mapping[str, str]) -> list[Problem]:
    """Variables that are almost a setting's: the section is wrong, so nothing above saw them."""
    ours = tuple(f"NIGHTSCHOOL_{section.upper()}_" for section in sections())
    found = []
    for name in environment:
        # Those of one word say where the home is, and the like.
        if name.startswith("NIGHTSCHOOL_") and name.count("_") > 1 and not name.startswith(ours):
            import difflib

            known = [setting.variable for setting in every().values()]
            if near := difflib.get_close_matches(name, known, 1, ALMOST):
                said = f"Unknown setting {name}."
                found.append(Problem(name, "", said, f"Did you mean {near[0]}?"))
    return found


def _take_profile(found: Found, name: str) -> None:
    table = tomllib.loads(profile_file(name))
    for section, values in table.items():
        for key, value in values.items():
            _check(found, f"{section}.{key}", value, f"profile {name}")


def _take_file(found: Found, table: dict[str, Any], path: Path | None, text: str) -> None:
    for name, given in table.items():
        if name in sections():
            if not isinstance(given, dict):
                message = f"[{name}] is not a table."
                where = f"{path}:{line_of(text, name)}"
                found.problems.append(Problem(where, name, message, f"Write [{name}] above it."))
                continue
            for key, value in given.items():
                full = f"{name}.{key}"
                _check(found, full, value, f"{path}:{line_of(text, name, key)}")
        else:
            _check(found, name, given, f"{path}:{line_of(text, name)}")


def _check(found: Found, key: str, value: Any, where: str, *, spoken: bool = False) -> None:
    """Take one value, or note what is wrong with it; `spoken` values are texts to be read."""
    setting = every().get(key)
    if setting is None:
        known = [*every(), *sections()]
        message = f"Unknown setting {key}."
        found.problems.append(Problem(where, key, message, did_you_mean(key, known)))
        return
    try:
        taken = spell(setting, value) if spoken else fit(setting, value)
    except UsageError as error:
        found.problems.append(Problem(where, key, error.message, error.remedy))
        return
    found.take(key, taken, where)


def spell(setting: Setting, text: str) -> Any:
    """The value that somebody wrote as `text`. Raises UsageError."""
    value: Any = text
    try:
        if setting.kind is bool:
            value = _SWITCH[text.strip().lower()]
        elif setting.kind is not str:
            value = setting.kind(text)
    except (KeyError, ValueError):
        value = text  # `fit` says what it should have been
    return fit(setting, value)


def fit(setting: Setting, value: Any) -> Any:
    """`value` when it is of the setting's kind and keeps its rule. Raises UsageError."""
    if setting.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not setting.kind:
        raise UsageError(f"{setting.key} is {value!r}.", f"It must be: {setting.words}.")
    wrong = setting.rule.wrong(setting.key, value) if setting.rule is not None else None
    if wrong is not None:
        raise UsageError(*wrong)
    return value


def line_of(text: str, *path: str) -> int:
    """The line in which the key of that path is complete: the shortest beginning that has it."""
    lines = text.splitlines(keepends=True)
    for count in range(1, len(lines) + 1):
        try:
            table: Any = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value of several lines
        for name in path:
            table = table.get(name) if isinstance(table, dict) else None
        if table is not None:
            return count
    return len(lines)


def freeze(config: Config) -> str:
    """The settings as one line, for `HANDED`."""
    import json

    return json.dumps(asdict(config))


def thaw(text: str) -> Config:
    """What `freeze` wrote. Raises UsageError when it was another version."""
    import json

    found = Found()
    try:
        for name, given in json.loads(text).items():
            values = given.items() if isinstance(given, dict) else [("", given)]
            for key, value in values:
                _check(found, f"{name}.{key}".rstrip("."), value, HANDED)
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{HANDED} is not what the service wrote.", "Restart it.") from error
    for problem in found.problems:
        raise problem.error()
    return found.config
