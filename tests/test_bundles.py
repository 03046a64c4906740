"""What can be said of the bundles of other systems without having those: they parse, they name
files that exist, and they say that nobody has tried them."""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from nightschool.cli.main import app

PACKAGING = Path(__file__).resolve().parents[1] / "packaging"
WINDOWS, MACOS, DEBIAN = (PACKAGING / name for name in ("windows", "macos", "debian"))
SCRIPTS = (
    MACOS / "build.sh", MACOS / "nightschool", DEBIAN / "nightschool.sh", DEBIAN / "postinst",
    DEBIAN / "prerm",
)  # fmt: skip
VERBS = {group.name for group in app.registered_groups} | {
    command.name for command in app.registered_commands
}


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_parse_and_end_at_the_first_failure(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)
    text = script.read_text("utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert "exec " in text or re.search(r"^set -e", text, re.MULTILINE)
    if linter := shutil.which("shellcheck"):
        done = subprocess.run([linter, str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_mac_bundle_describes_what_is_in_it() -> None:
    info = plistlib.loads((MACOS / "Info.plist").read_bytes())
    assert (MACOS / info["CFBundleExecutable"]).exists()
    assert info["CFBundleShortVersionString"] == info["CFBundleVersion"] == "@VERSION@"
    assert info["CFBundleIdentifier"] in (MACOS / "build.sh").read_text("utf-8")


def test_the_windows_installer_has_its_sections_and_calls_commands_that_exist() -> None:
    text = (WINDOWS / "nightschool.iss").read_text("utf-8")
    sections = re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert {"Setup", "Tasks", "Files", "Icons", "Run", "UninstallRun", "Code"} <= set(sections)
    tasks = set(re.findall(r"^Name: (\w+);", text, re.MULTILINE))
    assert set(re.findall(r"Tasks: (\w+)", text)) == tasks
    for words in re.findall(r'Parameters: "-m nightschool (\w+)', text):
        assert words in VERBS
    for name in re.findall(r'PSScriptRoot "([\w.]+)"', (WINDOWS / "build.ps1").read_text("utf-8")):
        assert (WINDOWS / name).exists(), name


def test_the_powershell_recipe_closes_what_it_opens() -> None:
    text = (WINDOWS / "build.ps1").read_text("utf-8")
    plain = re.sub(r"#.*", "", re.sub(r'"[^"\n]*"', '""', text))
    for opens, closes in ("()", "{}", "[]"):
        assert plain.count(opens) == plain.count(closes)
    assert '$ErrorActionPreference = "Stop"' in text
    if shell := shutil.which("pwsh"):
        file = WINDOWS / "build.ps1"
        parse = (
            "$e = $null; [void][System.Management.Automation.Language.Parser]::ParseFile("
            f"'{file}', [ref]$null, [ref]$e); exit $e.Count"
        )
        subprocess.run([shell, "-NoProfile", "-Command", parse], check=True)


@pytest.mark.parametrize("folder", [WINDOWS, MACOS], ids=lambda path: path.name)
def test_what_nobody_has_tried_says_so(folder: Path) -> None:
    assert "**Untested**" in (folder / "README.md").read_text("utf-8")


def test_the_debian_control_file_has_what_debian_asks_for() -> None:
    text = (DEBIAN / "control").read_text("utf-8")
    fields = dict(re.findall(r"^([A-Z][\w-]+): (.+)$", text, re.MULTILINE))
    assert {"Package", "Version", "Architecture", "Maintainer", "Depends", "Description"} <= set(
        fields
    )
    assert all(len(line) <= 80 for line in text.splitlines())
    assert re.search(
        r"^Exec=nightschool (\w+)$", (DEBIAN / "nightschool.desktop").read_text(), re.M
    )
    icon = PACKAGING.parent / "src/nightschool/serve/page/icon.svg"
    assert xml.parse(icon).getroot().tag.endswith("svg")
