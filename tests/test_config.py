"""Settings: their order of precedence, their errors, and the files that document them."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import gen_config
from nightschool import config
from nightschool.errors import UsageError

FOLDER = Path(__file__).resolve().parents[1] / "config"
PROFILES = sorted((FOLDER / "profiles").glob("*.toml"))


def test_the_default_file_is_the_default_and_documents_every_key() -> None:
    shipped = FOLDER / "default.toml"
    assert shipped.read_text(encoding="utf-8") == gen_config.render()
    assert config.load(shipped, {}) == config.Config()


def test_every_profile_loads_and_changes_something() -> None:
    assert [path.stem for path in PROFILES] == ["laptop", "portable", "tiny", "workstation"]
    for path in PROFILES:
        assert config.load(path, {}) != config.Config(), path.name


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('model = "mine"\n[learn]\nbudget_s = 60\nidle_s = 5\n', encoding="utf-8")
    loaded = config.load(file, {"NIGHTSCHOOL_LEARN_BUDGET_S": "90", "NIGHTSCHOOL_MODEL": "theirs"})
    assert (loaded.learn.budget_s, loaded.learn.idle_s, loaded.model) == (90, 5, "theirs")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[learn]\nbudget = 1\n", "learn.budget"),
        ("[learn]\nbudget_s = 'soon'\n", "learn.budget_s"),
        ("colour = 'red'\n", "colour"),
        ("learn = 3\n", "[learn]"),
        ("[learn\n", "TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=named.replace("[", r"\[")):
        config.load(file, {})


def test_an_unknown_setting_in_the_environment_is_named() -> None:
    with pytest.raises(UsageError, match=r"learn\.bugdet_s"):
        config.load(None, {"NIGHTSCHOOL_LEARN_BUGDET_S": "1"})


def test_the_default_file_has_no_key_twice() -> None:
    table = tomllib.loads((FOLDER / "default.toml").read_text(encoding="utf-8"))
    assert set(table) == {item.name for item in fields(config.Config())}
