"""Writes config/default.toml from the settings' own docstrings. Run it after changing those.

.venv/bin/python packaging/gen_config.py
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import tomlkit

from nightschool import config
from nightschool.config.describe import docstrings

TARGET = Path(__file__).resolve().parents[1] / "config" / "default.toml"
HEAD = """# Every setting with its default. `nightschool config edit` opens your own file,
# config.toml in the home, which needs only what you change; `config explain KEY` tells about one.
# The environment wins over the file: NIGHTSCHOOL_LEARN_BUDGET_S=600. Made from the typed settings
# by packaging/gen_config.py.
"""


def render() -> str:
    """The whole file."""
    described = docstrings()
    default = config.Config()
    own, sections = [], []
    for item in fields(default):
        value = getattr(default, item.name)
        if not is_dataclass(value):
            own.append(entry(described["Config", item.name], item.name, value))
            continue
        kind = type(value).__name__
        lines = [f"# {described[kind, '']}", f"[{item.name}]"]
        lines += [
            entry(described[kind, each.name], each.name, getattr(value, each.name))
            for each in fields(value)
        ]
        sections.append("\n".join(lines))
    return "\n".join([HEAD, *own, "", *[f"{section}\n" for section in sections]])


def entry(text: str, name: str, value: object) -> str:
    """One commented setting."""
    return f"# {' '.join(text.split())}\n{name} = {tomlkit.item(value).as_string()}"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET)
