"""Writes config/default.toml from the settings' own docstrings. Run it after changing config.py.

.venv/bin/python packaging/gen_config.py
"""

from __future__ import annotations

import ast
from dataclasses import fields, is_dataclass
from pathlib import Path

import tomlkit

from nightschool import config

TARGET = Path(__file__).resolve().parents[1] / "config" / "default.toml"
HEAD = """# Every setting with its default. Copy what you change to config.toml in the home
# (`nightschool status` says where that is). The environment wins over the file:
# NIGHTSCHOOL_LEARN_BUDGET_S=600. Made from config.py by packaging/gen_config.py.
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


def docstrings() -> dict[tuple[str, str], str]:
    """`(class, field) → the string under it`; field is empty for the class itself."""
    found: dict[tuple[str, str], str] = {}
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        found[node.name, ""] = ast.get_docstring(node) or ""
        for first, second in zip(node.body, node.body[1:], strict=False):
            if isinstance(first, ast.AnnAssign) and isinstance(second, ast.Expr):
                assert isinstance(first.target, ast.Name)
                found[node.name, first.target.id] = str(ast.literal_eval(second.value))
    return found


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET)
