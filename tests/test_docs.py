"""Documentation cannot drift: generated pages are up to date, named files exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import gen_cli_docs
import nightschool

ROOT = Path(__file__).resolve().parents[1]


def test_the_command_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == gen_cli_docs.render(), "run packaging/gen_cli_docs.py"


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/install.md"])
def test_links_and_make_verbs_of_a_page_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    verbs = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for verb in re.findall(r"^make ([a-z]+)", text, re.M):
        assert verb in verbs, verb


def test_modules_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`src/nightschool/([\w/]+(?:\.py|/))`", text))
    assert named
    missing = [name for name in sorted(named) if not (ROOT / "src" / "nightschool" / name).exists()]
    assert not missing


def test_the_changelog_knows_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {nightschool.__version__}" in text


def test_every_dependency_has_a_tested_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = {_plain(line.partition("==")[0]) for line in lines if "==" in line}
    names = {_plain(re.split(r"[<>=!~ \[]", item, maxsplit=1)[0]) for item in wanted}
    assert not names - locked


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
