"""How the service starts by itself: what is written, that the system takes it, that all of it goes.

The commands run in a user folder of their own; systemd is asked where its tools are installed.
"""

from __future__ import annotations

import configparser
import os
import plistlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from command import Said, nightschool
from nightschool.device.notify import VARIABLE, notify
from nightschool.device.services import install
from nightschool.device.services.installation import MARK, Installation, Start
from service_harness import free_port, service

ODD = '/opt/a b/100%/$HOME/"q"/back\\slash/é'
KINDS = ("systemd", "launchd", "task", "autostart")


def _made(kind: str, folder: Path, *, desktop: bool = True) -> Installation:
    start = Start((f"{ODD}/python", "-m", "nightschool", "--home", f"{ODD}/<home>&", "up"), folder)
    return install.describe(kind, start, {"DISPLAY": ":0"} if desktop else {})


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_says_who_made_it_and_leaves_nothing_open(kind: str, tmp_path: Path) -> None:
    made = _made(kind, tmp_path)
    assert MARK in made.text
    assert "{{" not in made.text
    assert made.file.is_relative_to(tmp_path)


def test_systemd_accepts_the_unit_and_reads_an_odd_command_as_it_was_meant(
    tmp_path: Path,
) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    program = tmp_path / "a b 100% $x"
    program.symlink_to(sys.executable)
    start = Start((str(program), "-m", "nightschool", "up"), tmp_path)
    for desktop in (True, False):
        environment = {"DISPLAY": ":0"} if desktop else {}
        made = install.describe("systemd", start, environment)
        file = tmp_path / "nightschool.service"
        file.write_text(made.text)
        done = subprocess.run(
            [analyze, "--user", "verify", str(file)],
            capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "nightschool.service" not in done.stderr


def test_the_unit_notifies_watches_and_stays_behind_the_user(tmp_path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(_made("systemd", tmp_path, desktop=False).text)
    found = dict(unit["Service"])
    assert found["Type"] == "notify"
    assert int(found["WatchdogSec"]) >= 60
    assert found["Slice"] == "background.slice"
    assert int(found["TimeoutStopSec"]) > 33
    assert unit["Install"]["WantedBy"] == "default.target"
    assert found["ExecStart"].startswith('"/opt/a b/100%%/$HOME/\\"q\\"/back\\\\slash/é/python"')
    assert '"/opt/a b/100%%/$$HOME/\\"q\\"/back\\\\slash/é/<home>&" "up"' in found["ExecStart"]


def test_the_agent_is_a_property_list_with_the_exact_words(tmp_path: Path) -> None:
    made = _made("launchd", tmp_path)
    found = plistlib.loads(made.text.encode())
    assert found["ProgramArguments"][0] == f"{ODD}/python"
    assert found["ProgramArguments"][-2] == f"{ODD}/<home>&"
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    assert found["Umask"] == 0o077


def test_the_task_is_xml_with_the_exact_program(tmp_path: Path) -> None:
    made = _made("task", tmp_path)
    root = ElementTree.fromstring(made.text.encode("utf-16"))
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    assert root.findtext(".//t:Command", "", space) == f"{ODD}/python"
    assert root.findtext(".//t:RunLevel", "", space) == "LeastPrivilege"
    assert "<home>&" in root.findtext(".//t:Arguments", "", space)


def test_the_desktop_entry_quotes_as_the_specification_says(tmp_path: Path) -> None:
    entry = configparser.RawConfigParser()
    entry.read_string(_made("autostart", tmp_path).text)
    line = entry["Desktop Entry"]["Exec"]
    value = line.replace("\\\\", "\\")  # first a string value, then an argument in quotes
    assert value.startswith('"/opt/a b/100%%/\\$HOME/\\"q\\"/back\\\\slash/é/python" "-m"')
    check = shutil.which("desktop-file-validate")
    if check is not None:
        file = tmp_path / "nightschool.desktop"
        file.write_text(_made("autostart", tmp_path).text)
        assert subprocess.run([check, str(file)], check=False).returncode == 0


def _command(folder: Path, *words: str) -> Said:
    return nightschool(folder / "data", "service", *words, HOME=str(folder))


@pytest.mark.skipif(sys.platform != "linux", reason="autostart entries are for Linux desktops")
def test_installed_shown_asked_and_removed_without_a_trace(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "autostart" / "nightschool.desktop"
    shown = _command(tmp_path, "install", "--kind", "autostart", "--dry-run")
    assert shown.code == 0, shown.error
    assert str(file) in shown.out
    assert "Exec=" in shown.out
    assert not file.exists()
    assert _command(tmp_path, "install", "--kind", "autostart").code == 0
    assert str(tmp_path / "data") in file.read_text()
    states = {item["kind"]: item for item in _command(tmp_path, "status", "--json").json}
    assert states["autostart"]["installed"]
    assert states["autostart"]["current"]
    file.write_text(file.read_text().replace("Terminal=false", "Terminal=true"))
    assert "another version" in _command(tmp_path, "status").out
    assert _command(tmp_path, "install", "--kind", "autostart").code == 0  # replaces it
    assert "Terminal=false" in file.read_text()
    gone = _command(tmp_path, "uninstall")
    assert str(file) in gone.out
    assert not file.exists()
    assert "Nothing was installed" in _command(tmp_path, "uninstall").out


@pytest.mark.skipif(sys.platform != "linux", reason="autostart entries are for Linux desktops")
def test_a_file_of_somebody_else_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "autostart" / "nightschool.desktop"
    file.parent.mkdir(parents=True)
    file.write_text("[Desktop Entry]\nName=Mine\n")
    refused = _command(tmp_path, "install", "--kind", "autostart")
    assert refused.code == 3
    assert "not made by Nightschool" in refused.complaint
    assert "Nothing was installed" in _command(tmp_path, "uninstall").out
    assert file.read_text() == "[Desktop Entry]\nName=Mine\n"
    assert _command(tmp_path, "install", "--kind", "bogus").code == 2


def test_a_system_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    made = _made("autostart", tmp_path)
    refused = Installation(made.kind, made.file, made.text, enable=(("false",),))
    with pytest.raises(Exception, match="`false` failed"):
        install.install(refused)
    assert not made.file.exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd's socket is a Unix socket")
def test_the_service_tells_its_manager_when_it_is_ready_alive_and_stopping(
    tmp_path: Path,
) -> None:
    program = (
        "from nightschool import config, paths\n"
        "from nightschool.daemon.app import Daemon\n"
        "home = paths.home().create()\n"
        "Daemon(home, config.load(home.config), pulse_s=0.2).run()\n"
    )
    address = Path(f"/tmp/ns-{os.getpid()}-{free_port()}")  # a socket's path must be short
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(30)
        try:
            heard = []
            with service(environment={VARIABLE: str(address)}, arguments=("-c", program)) as door:
                heard.append(manager.recv(4096).decode())
                assert heard[0].startswith("READY=1\nSTATUS=")
                assert door.url in heard[0]
                assert manager.recv(4096) == b"WATCHDOG=1"
            while heard[-1] != "STOPPING=1":
                heard.append(manager.recv(4096).decode())
        finally:
            address.unlink()


def test_without_a_manager_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    notify("READY=1")
    monkeypatch.setenv(VARIABLE, "/nowhere/at/all")
    notify("READY=1")
