"""`mcp install` changes one entry of a foreign settings file; `uninstall` takes it out again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nightschool.device import assistants, jsonc
from nightschool.device.assistants import assistants as known
from nightschool.errors import NotFound, Refused, UsageError

PROGRAM = ("/usr/bin/python3", ["-m", "nightschool", "mcp"])
ZED = """// Zed settings
{
  "theme": "One Dark", // mine
  /* servers */
  "context_servers": {
    "other": { "command": "x", "args": ["a}b", "\\"{"], },
  },
}
"""


def plain(text: str) -> object:
    """The meaning of a JSON file with comments and trailing commas."""
    text = re.sub(r"(?m)(^|\s)//.*$|/\*.*?\*/", "", text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))


@pytest.mark.parametrize("name", ["claude", "cursor", "vscode", "zed", "continue"])
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_an_entry_is_written_and_taken_out_again(name: str, platform: str, tmp_path: Path) -> None:
    found = known(tmp_path, platform, {})[name]
    with pytest.raises(NotFound, match="not installed"):
        assistants.plan(found, *PROGRAM, remove=False)
    found.folder.mkdir(parents=True)
    change = assistants.plan(found, *PROGRAM, remove=False)
    assert not found.file.exists()  # planning writes nothing
    assistants.write(change)
    text = found.file.read_text()
    assert "nightschool" in text and "token" not in text.lower()
    if found.group:
        entry = json.loads(text)[found.group]["nightschool"]
        assert (entry["command"], entry["args"]) == PROGRAM
    assert not assistants.plan(found, *PROGRAM, remove=False).changed  # twice is once
    assistants.write(assistants.plan(found, *PROGRAM, remove=True))
    rest = found.file.read_text() if found.file.exists() else "{}"
    assert "nightschool" not in rest
    assert not assistants.plan(found, *PROGRAM, remove=True).changed


def test_everything_else_in_the_file_stays_letter_by_letter(tmp_path: Path) -> None:
    found = known(tmp_path, "linux", {})["zed"]
    found.folder.mkdir(parents=True)
    found.file.write_text(ZED)
    assistants.write(assistants.plan(found, *PROGRAM, remove=False))
    text = found.file.read_text()
    assert text != ZED and "// mine" in text and "/* servers */" in text
    servers = plain(text)["context_servers"]  # type: ignore[index]
    assert set(servers) == {"nightschool", "other"}
    assistants.write(assistants.plan(found, "/elsewhere", [], remove=False))
    assert plain(found.file.read_text())["context_servers"]["nightschool"]["args"] == []  # type: ignore[index]
    assistants.write(assistants.plan(found, *PROGRAM, remove=True))
    assert plain(found.file.read_text()) == plain(ZED)
    assert "// mine" in found.file.read_text()
    assert found.file.with_name("settings.json.before-nightschool").exists()


@pytest.mark.parametrize(
    "text",
    ["{}", "{ }", "\n", "", '{"a": 1}', '{"a": [1, {"b": "}"}], "g": {}}', '{"g": {"n": 1}}',
     '{"g": {"n": {"x": []}, "m": 2},}', '{"g": {"m": 2, "n": 1}}', "// c\n{\n// d\n}\n",
     '{"a": "// no comment", "g": {"m": "/* */"}}', '\ufeff{"a": 1}'],
)  # fmt: skip
def test_put_and_take_change_one_member_only(text: str) -> None:
    put = jsonc.put(text, "g", "n", {"k": ["v"]})
    before = plain(text.lstrip("\ufeff")) if text.strip() else {}
    after = plain(put.lstrip("\ufeff"))
    assert after["g"]["n"] == {"k": ["v"]}  # type: ignore[index]
    taken = plain(jsonc.take(put, "g", "n").lstrip("\ufeff"))
    wanted = dict(before)  # type: ignore[call-overload]
    wanted["g"] = {k: v for k, v in wanted.get("g", {}).items() if k != "n"}
    assert taken == wanted
    assert jsonc.get(put, "g", "n") is not None and jsonc.get(put, "g", "z") is None


@pytest.mark.parametrize("text", ["[]", "{", '{"a"', '{"a": }', '{"a": "b', "nonsense", '{"a" 1}'])
def test_a_file_that_is_no_json_object_is_left_alone(text: str, tmp_path: Path) -> None:
    found = known(tmp_path, "linux", {})["cursor"]
    found.folder.mkdir(parents=True)
    found.file.write_text(text)
    with pytest.raises(Refused):
        assistants.plan(found, *PROGRAM, remove=False)
    assert found.file.read_text() == text


def test_a_link_to_the_settings_stays_a_link_and_keeps_its_mode(tmp_path: Path) -> None:
    found = known(tmp_path, "linux", {})["cursor"]
    found.folder.mkdir(parents=True)
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    real.chmod(0o600)
    found.file.symlink_to(real)
    assistants.write(assistants.plan(found, *PROGRAM, remove=False))
    assert found.file.is_symlink() and "nightschool" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600


def test_the_command_shows_writes_and_undoes(tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir()
    environment = os.environ | {"HOME": str(tmp_path), "NIGHTSCHOOL_HOME": str(tmp_path / "h")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nightschool", "mcp", *arguments],
            env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    file = tmp_path / ".cursor" / "mcp.json"
    shown = run("install", "cursor", "--dry-run")
    assert shown.returncode == 0 and '"mcpServers"' in shown.stdout and not file.exists()
    assert run("install", "cursor").returncode == 0
    entry = json.loads(file.read_text())["mcpServers"]["nightschool"]
    assert entry["args"] == ["-m", "nightschool", "--home", str(tmp_path / "h"), "mcp"]
    assert Path(entry["command"]).is_absolute()
    assert run("uninstall", "cursor").returncode == 0
    assert json.loads(file.read_text()) == {"mcpServers": {}}
    unknown = run("install", "emacs")
    assert unknown.returncode == 2 and "claude" in unknown.stderr
    with pytest.raises(UsageError):
        assistants.find("emacs")
