"""The settings as they are told: each with its value, where that comes from, and what it means."""

from __future__ import annotations

from typing import Any

from nightschool.config import describe
from nightschool.config.load import DEFAULT, Found


def rows(found: Found, *, everything: bool) -> list[dict[str, Any]]:
    """What is set, and the defaults too when `everything`."""
    return [row(found, key) for key in describe.every() if everything or key in found.origins]


def row(found: Found, key: str) -> dict[str, Any]:
    """One setting: `value`, as it is `shown` in the file, and `from` where it comes."""
    section, _, name = key.rpartition(".")
    value = getattr(getattr(found.config, section) if section else found.config, name)
    return {
        "key": key,
        "value": value,
        "shown": spelled(value),
        "from": found.origins.get(key, DEFAULT),
    }


def explained(found: Found, key: str) -> dict[str, Any]:
    """All there is to say of one setting. Raises UsageError with the nearest name."""
    setting = describe.one(key)
    now = row(found, key)
    return {
        "key": key,
        "meaning": describe.meaning(key),
        "values": setting.words,
        "default": setting.default,
        "now": now["value"],
        "from": now["from"],
        "variable": setting.variable,
        "takes_effect": setting.takes_effect,
    }


def spelled(value: Any) -> str:
    """A value as it stands in the file."""
    import tomlkit

    return str(tomlkit.item(value).as_string())
