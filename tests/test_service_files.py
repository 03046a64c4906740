"""How the service starts by itself: what is written, that the system takes it, that all of it goes.

The commands run in a user folder of their own; systemd is asked where its tools are installed.
"""

from __future__ import annotations

import configparser
import dataclasses
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
from nightschool import __version__
from nightschool.device.notify import VARIABLE, notify
from nightschool.device.services import icon, install
from nightschool.device.services.installation import MARK, Installation, Start, writer
from nightschool.errors import NightschoolError, Refused, UsageError
from service_harness import free_port, service, until

ODD = '/opt/a b/100%/$HOME/"q"/back\\slash/é'
KINDS = ("systemd", "launchd", "task", "autostart", "tray")


def _made(kind: str, folder: Path, *, desktop: bool = True) -> Installation:
    start = Start((f"{ODD}/python", "-m", "nightschool", "--home", f"{ODD}/<home>&", "up"), folder)
    return install.describe(kind, start, {"DISPLAY": ":0"} if desktop else {})


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_says_who_made_it_and_leaves_nothing_open(kind: str, tmp_path: Path) -> None:
    made = _made(kind, tmp_path)
    assert MARK in made.text
    assert f"Written by version {__version__}." in made.text
    assert writer(made.text) == f"version {__version__}"
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


def test_the_icon_is_an_entry_of_its_own_on_every_system(tmp_path: Path) -> None:
    start = Start((f"{ODD}/python", "-m", "nightschool", "up"), tmp_path)
    mac, windows = (icon.describe(start, platform) for platform in ("darwin", "win32"))
    words = plistlib.loads(mac.text.encode())["ProgramArguments"]
    assert words == [f"{ODD}/python", "-m", "nightschool", "tray", "--wait", "60"]
    assert mac.file.name == "org.nightschool.tray.plist"
    assert all("org.nightschool.service" not in str(part) for part in (mac.disable, mac.ask))
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    root = ElementTree.fromstring(windows.text.encode("utf-16"))
    assert root.findtext(".//t:Arguments", "", space) == "-m nightschool tray --wait 60"
    assert windows.file.name == "nightschool-tray-task.xml"
    assert "Nightschool tray" in windows.enable[0]


def test_the_desktop_entry_quotes_as_the_specification_says(tmp_path: Path) -> None:
    entry = configparser.RawConfigParser()
    entry.read_string(_made("autostart", tmp_path).text)
    line = entry["Desktop Entry"]["Exec"]
    value = line.replace("\\\\", "\\")  # first a string value, then an argument in quotes
    assert value.startswith('"env" "/opt/a b/100%%/\\$HOME/\\"q\\"/back\\\\slash/é/python" "-m"')
    check = shutil.which("desktop-file-validate")
    if check is not None:
        file = tmp_path / "nightschool.desktop"
        file.write_text(_made("autostart", tmp_path).text)
        assert subprocess.run([check, str(file)], check=False).returncode == 0


def test_a_desktop_starts_exactly_the_words_that_were_meant(tmp_path: Path) -> None:
    gio = shutil.which("gio")
    if gio is None:
        pytest.skip("gio, which starts entries as GLib's desktops do, is not installed here")
    folder = tmp_path / 'Jürgen Müller 100% $HOME `x` \\ "q"'
    folder.mkdir()
    told = tmp_path / "told"
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" > "{told}.part"\n'
                       f'mv "{told}.part" "{told}"\n')  # fmt: skip
    program.chmod(0o755)
    words = (str(program), "-m", "nightschool", "--home", f"{folder}/100% ü & <b>", "up")
    made = install.describe("autostart", Start(words, tmp_path), {})
    made.file.parent.mkdir(parents=True)
    made.file.write_text(made.text)
    started = subprocess.run([gio, "launch", str(made.file)], check=False, timeout=30)
    assert started.returncode == 0
    until(told.exists, 10, "the entry was started")
    assert tuple(told.read_text().splitlines()) == words


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
    assert _command(tmp_path, "install", "--kind", "autostart").code == 0  # once more is no harm
    gone = _command(tmp_path, "uninstall")
    assert str(file) in gone.out
    assert not file.exists()
    assert "Nothing was installed" in _command(tmp_path, "uninstall").out


@pytest.mark.skipif(sys.platform != "linux", reason="autostart entries are for Linux desktops")
def test_what_another_version_installed_is_shown_and_replaced_only_when_told(
    tmp_path: Path,
) -> None:
    file = tmp_path / ".config" / "autostart" / "nightschool.desktop"
    install_it = ("install", "--kind", "autostart")
    assert _command(tmp_path, *install_it).code == 0
    older = file.read_text().replace(f"version {__version__}.", "version 0.0.7.")
    older = older.replace("Terminal=false", "Terminal=true")
    file.write_text(older)
    shown = _command(tmp_path, "status").out
    assert "by version 0.0.7" in " ".join(shown.split())
    assert "--replace" in shown
    refused = _command(tmp_path, *install_it)
    assert refused.code == 3
    assert "-Terminal=true\n+Terminal=false" in refused.out
    assert "written by version 0.0.7" in refused.complaint
    assert "service install --replace" in refused.complaint
    assert file.read_text() == older
    assert _command(tmp_path, *install_it, "--replace").code == 0
    assert "Terminal=false" in file.read_text()
    assert _command(tmp_path, "uninstall").code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="autostart entries are for Linux desktops")
def test_the_icon_at_login_is_asked_for_and_goes_with_the_service(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert _command(tmp_path, "install", "--kind", "autostart", "--tray").code == 0
    file = tmp_path / ".config" / "autostart" / "nightschool-tray.desktop"
    assert '"tray" "--wait" "60"' in file.read_text()
    states = {item["kind"]: item for item in _command(tmp_path, "status", "--json").json}
    assert states["tray"]["current"]
    assert _command(tmp_path, "uninstall").code == 0
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert [path for path in left if not path.is_relative_to(tmp_path / "data")] == []


def test_a_second_kind_would_start_it_twice_and_is_refused(tmp_path: Path) -> None:
    first, second = _made("autostart", tmp_path), _made("task", tmp_path)
    second = dataclasses.replace(second, enable=(), disable=(), ask=())
    install.install(first)
    with pytest.raises(Refused, match="installed already, by autostart"):
        install.install(second, [first])
    assert not second.file.exists()
    install.install(second, [first], replace=True)
    assert second.file.exists()
    assert not first.file.exists()


def test_a_replacement_that_the_system_refuses_brings_the_old_one_back(tmp_path: Path) -> None:
    made = _made("autostart", tmp_path)
    older = made.text.replace("Terminal=false", "Terminal=true")
    made.file.parent.mkdir(parents=True)
    made.file.write_text(older)
    with pytest.raises(NightschoolError, match="`false` failed"):
        install.install(dataclasses.replace(made, enable=(("false",),)), replace=True)
    assert made.file.read_text() == older


def test_with_and_without_a_desktop_it_is_the_same_unit(tmp_path: Path) -> None:
    made, asked = (_made("systemd", tmp_path, desktop=desktop) for desktop in (True, False))
    assert made.text != asked.text
    made.file.parent.mkdir(parents=True)
    made.file.write_text(made.text)
    assert install.state(dataclasses.replace(asked, ask=())).current


def test_no_path_can_write_a_line_of_its_own_into_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="control character"):
        Start(("/opt/python\nExecStartPre=/bin/evil", "up"), tmp_path)
    for kind in KINDS:
        made = install.describe(kind, Start(("/opt/{{target}}/{{label}}", "up"), tmp_path), {})
        assert "/opt/{{target}}/{{label}}" in made.text


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
