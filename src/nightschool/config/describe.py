"""What there is to set: each key with its kind, rule, default and meaning, read from `settings`."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from nightschool.config import settings
from nightschool.config.rules import Rule
from nightschool.errors import NightschoolError, UsageError

RESTART = "after a restart of the service"
_AT_ONCE = "at once"
_QUESTION = "when the engine is idle next; then it is loaded anew"
_NIGHT = "with the next night"
_FILE = "with the next file that is read"
_SECTIONS = {
    "learn": _AT_ONCE, "pairs": _NIGHT, "engine": _QUESTION, "search": _AT_ONCE, "serve": RESTART,
    "files": _FILE, "forget": _AT_ONCE, "desktop": _AT_ONCE, "model": _QUESTION,
    "profile": "as the settings that it changes do",
}  # fmt: skip
_KEYS = {
    "learn.budget_s": _NIGHT, "learn.threads": _NIGHT, "learn.languages": _NIGHT,
    "learn.recipe": _NIGHT, "learn.distil": _NIGHT, "learn.preference": _NIGHT,
    "learn.regime": _NIGHT, "learn.relearn_days": _NIGHT, "learn.merge": _NIGHT,
    "learn.spend_alpha": _NIGHT, "engine.keep_alive_s": _AT_ONCE,
    "files.reconcile_s": _AT_ONCE, "files.settle_s": _AT_ONCE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """One key, `section.name` or a bare name; `rule` None: any value of that kind."""

    key: str
    kind: type
    default: Any
    rule: Rule | None

    @property
    def variable(self) -> str:
        """The environment variable that wins over the file."""
        return "NIGHTSCHOOL_" + self.key.upper().replace(".", "_")

    @property
    def takes_effect(self) -> str:
        """When a change in the file reaches a running service."""
        section = self.key.partition(".")[0]
        return _KEYS.get(self.key) or _SECTIONS.get(section, RESTART)

    @property
    def words(self) -> str:
        """The values it may have."""
        name = {int: "whole number", float: "number", bool: "true or false", str: "text"}[self.kind]
        return f"{name}, {self.rule.words}" if self.rule is not None else name


@functools.cache
def every() -> dict[str, Setting]:
    """All settings by key, in the order of the file."""
    found = {}
    default = settings.Config()
    for item in fields(default):
        value = getattr(default, item.name)
        owner, prefix = (value, f"{item.name}.") if is_dataclass(value) else (default, "")
        names = [each.name for each in fields(owner)] if prefix else [item.name]
        hints = get_type_hints(type(owner), include_extras=True)
        for name in names:
            kind, *rules = get_args(hints[name]) or (hints[name],)
            rule = rules[0] if rules else None
            found[prefix + name] = Setting(prefix + name, kind, getattr(owner, name), rule)
    return found


def sections() -> tuple[str, ...]:
    """The names of the tables."""
    return tuple(dict.fromkeys(key.partition(".")[0] for key in every() if "." in key))


def one(key: str) -> Setting:
    """The setting of that key. Raises UsageError that names the nearest one."""
    found = every().get(key)
    if found is None:
        raise UsageError(f"Unknown setting {key}.", did_you_mean(key, every()))
    return found


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """The remedy for a name that does not exist."""
    import difflib

    names = list(known)
    near = difflib.get_close_matches(wrong, names, 1, 0.6)
    if not near:  # perhaps only the section is missing or wrong
        bare = {name.rpartition(".")[2]: name for name in names}
        last = difflib.get_close_matches(wrong.rpartition(".")[2], bare, 1, 0.75)
        near = [bare[last[0]]] if last else []
    return f"Did you mean {near[0]}?" if near else "See `nightschool config show --all`."


def meaning(key: str) -> str:
    """What the setting is for, in one line."""
    section, _, name = key.rpartition(".")
    owner = type(getattr(settings.Config(), section)).__name__ if section else "Config"
    return " ".join(docstrings()[owner, name].split())


@functools.cache
def docstrings() -> dict[tuple[str, str], str]:
    """`(class, field) → the string under it`; field is empty for the class itself."""
    import ast
    import inspect

    found: dict[tuple[str, str], str] = {}
    try:
        tree = ast.parse(inspect.getsource(settings))
    except OSError as error:
        raise NightschoolError(
            "The package's own text is missing.", "Install Nightschool again."
        ) from error
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        found[node.name, ""] = ast.get_docstring(node) or ""
        for first, second in zip(node.body, node.body[1:], strict=False):
            if isinstance(first, ast.AnnAssign) and isinstance(second, ast.Expr):
                assert isinstance(first.target, ast.Name)
                found[node.name, first.target.id] = str(ast.literal_eval(second.value))
    return found
