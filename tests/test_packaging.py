"""The wheel holds what a run needs; packed dependencies install again as they were."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import wheelhouse
from nightschool.config.profiles import shipped
from nightschool.device.services.installation import template

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_holds_code_models_probes_page_and_what_stands_beside_the_package(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        packed = archive.read("nightschool/config/shipped/default.toml").decode()
        unit = archive.read("nightschool/device/templates/systemd/nightschool.service").decode()
    assert packed == shipped("default.toml")
    assert unit == template("systemd/nightschool.service")
    source = ROOT / "src" / "nightschool"
    wanted = {
        f"nightschool/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"nightschool"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_a_package_that_is_packed_again_installs_as_it_was(tmp_path: Path) -> None:
    wheel = wheelhouse.pack(distribution("typer"), tmp_path / "house")
    assert wheel == wheelhouse.pack(distribution("typer"), tmp_path / "house")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
         "--no-compile", "--target", str(tmp_path / "site"), str(wheel)],
        check=True, env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    ours = [path for path in distribution("typer").files or [] if path.suffix == ".py"]
    assert ours
    for path in ours:
        assert (tmp_path / "site" / path).read_bytes() == Path(str(path.locate())).read_bytes()


def test_every_tool_of_the_wheel_is_installed_with_the_developer_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (tool,) = project["build-system"]["requires"]
    assert any(
        item.startswith(tool.split(">")[0])
        for item in project["project"]["optional-dependencies"]["dev"]
    )
