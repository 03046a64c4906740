"""What goes wrong around a running service, done for real: tokens, mounts, clocks, odd folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import nightschool
from nightschool.paths import Home
from service_harness import Service, free_port, service, until

QUICK = {"NIGHTSCHOOL_FILES_SETTLE_S": "0.3"}
SOON = (
    "from nightschool import config, paths\n"
    "from nightschool.daemon import logs\n"
    "from nightschool.daemon.app import Daemon\n"
    "home = paths.home().create(); logs.configure(home.logs)\n"
    "Daemon(home, config.load(home.config), pulse_s=0.3).run()\n"
)
"""The service with a pulse that does not keep a test waiting."""
MOVED = """
import os, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from nightschool import config, paths
from nightschool.daemon import logs
from nightschool.daemon.app import Daemon

class Clock:
    def now(self):
        hours = float(Path(os.environ["TEST_CLOCK"]).read_text() or "0")
        return datetime.now(UTC) + timedelta(hours=hours)
    def monotonic(self):
        return time.monotonic()

home = paths.home().create(); logs.configure(home.logs)
Daemon(home, config.load(home.config), clock=Clock(), idle=lambda: 3600.0, pulse_s=0.3).run()
"""
"""The service with a clock that a test can set."""


def _note(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def _found(door: Service, word: str) -> bool:
    return any(word in hit["text"] for hit in door.find(word))


def _root(door: Service, folder: Path) -> dict[str, str]:
    roots = door.status()["watching"]["roots"]
    return next(root for root in roots if root["path"] == str(folder))


# -- the token ---------------------------------------------------------------------------------


def test_a_token_that_others_could_read_is_replaced_and_the_old_one_refused(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path / "home").create()
    old = "x" * 43
    home.token.write_text(old)
    home.token.chmod(0o644)
    with service(home=tmp_path) as door:
        assert door.token != old
        assert home.token.stat().st_mode & 0o777 == 0o600
        assert "open to other users" in door.log()
        assert door.request("GET", "/ns/status", token=old).status == 401
        assert door.status()["state"] == "ready"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_token_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    home.token.write_text("x" * 43)
    home.token.chmod(0)
    command = [sys.executable, "-m", "nightschool.daemon.main"]
    if os.getuid() == 0:  # root reads everything, unless it gives that power up
        given_up = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv here, and root can read every file")
        command = [*given_up, *command]
    done = subprocess.run(
        command, env=Service(home, free_port()).settings,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Cannot read the token file" in done.stderr
    assert "chmod 600" in done.stderr
    assert "Traceback" not in done.stderr
    assert not home.runtime.exists()


def test_a_token_that_is_a_link_or_a_folder_is_refused_in_words(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("y" * 43)
    for make in (lambda: home.token.symlink_to(elsewhere), home.token.mkdir):
        make()
        done = subprocess.run(
            [sys.executable, "-m", "nightschool.daemon.main"],
            env=Service(home, free_port()).settings,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert "not a plain file" in done.stderr
        assert not home.runtime.exists()
        if home.token.is_symlink():
            home.token.unlink()
    assert elsewhere.read_text() == "y" * 43


# -- a stick that is pulled ----------------------------------------------------------------------


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """A place where a file system of its own can be mounted; skips where that is not allowed."""
    place = tmp_path / "stick"
    place.mkdir()
    if not _mount(place):
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def _mount(place: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def test_a_stick_that_is_unmounted_keeps_its_files_and_is_watched_again_when_it_is_back(
    stick: Path,
) -> None:
    """Pulled, the mount point is an empty folder: not one of its files may count as deleted."""
    with service(environment=QUICK, arguments=("-c", SOON)) as door:
        for number in range(5):
            _note(stick, f"{number}.md", f"The heron nests at weir{number}.\n")
        kept = {path.name: path.read_text() for path in stick.iterdir()}
        door.watch(stick)
        subprocess.run(["umount", str(stick)], check=True)
        until(lambda: _root(door, stick)["state"] != "watched", 20, "its absence is seen")
        assert _root(door, stick)["reason"]
        door.post("/ns/refresh")
        until(lambda: not _root(door, stick)["busy"], 20, "it was compared")
        assert door.status()["files"]["indexed"] == 5
        assert _found(door, "weir3")
        assert _mount(stick)
        for name, text in kept.items():
            if name != "4.md":
                _note(stick, name, text)
        _note(stick, "new.md", "The otter lives under Sallow Bridge.\n")
        until(lambda: _root(door, stick)["state"] == "watched", 20, "it is watched again")
        until(lambda: _found(door, "otter"), 30, "what is new on it is found")
        until(lambda: not _found(door, "weir4"), 30, "what was deleted on it is gone")
        _note(stick, "later.md", "The bittern booms at dusk.\n")
        until(lambda: _found(door, "bittern"), 30, "later changes are seen")
        assert door.status()["files"]["indexed"] == 6


# -- clocks --------------------------------------------------------------------------------------


def test_a_clock_set_back_a_day_keeps_nothing_waiting(tmp_path: Path) -> None:
    moved = tmp_path / "hours"
    moved.write_text("0")
    environment = {
        **QUICK, "TEST_CLOCK": str(moved), "NIGHTSCHOOL_LEARN_AUTOMATIC": "yes",
        "NIGHTSCHOOL_LEARN_WINDOW": "00:00-24:00",
    }  # fmt: skip
    folder = tmp_path / "notes"
    _note(folder, "a.md", "The heron nests at Fallow Weir.\n")
    with service(environment=environment, arguments=("-c", MOVED)) as door:
        door.watch(folder)
        before = door.status()["watching"]["last_compared_at"]
        moved.write_text("-24")
        until(lambda: "set back by 24 h" in door.log(), 20, "the jump is seen")
        until(lambda: door.status()["watching"]["last_compared_at"] < before, 20, "compared again")
        _note(folder, "b.md", "The otter lives under Sallow Bridge.\n")
        until(lambda: _found(door, "otter"), 20, "a saved file is found as ever")
        assert "Only about" in door.status()["night"]["reason"]
        moved.write_text("0")
        until(lambda: "slept for about 24 h" in door.log(), 20, "the way back is seen")
        assert door.status()["state"] == "ready"


# -- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone", "no folder"), ("file.md", "not a folder"), ("home", "own home"), ("", "no folder")],
)
def test_an_odd_folder_is_refused_in_words_by_command_and_route(
    name: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "file.md").write_text("x")
    with service(home=tmp_path) as door:
        given = str(tmp_path / name) if name else str(tmp_path / " ")
        said = nightschool(door.home.root, "watch", "add", given)
        assert said.code == 2
        assert words in said.complaint
        reply = door.request("POST", "/ns/watch", {"path": given})
        assert reply.status in (400, 404, 409, 500), reply.body
        assert reply.json["error"]["message"]
        assert len(door.get("/ns/watch")["roots"]) == 1  # its own notes


def test_a_home_inside_a_watched_folder_is_left_out_of_it(tmp_path: Path) -> None:
    with service(environment=QUICK, home=tmp_path) as door:
        _note(tmp_path, "a.md", "The heron nests at Fallow Weir.\n")
        door.watch(tmp_path)
        rows = door.get("/ns/files")["files"]
        assert [row["path"] for row in rows] == ["a.md"]
        door.post("/ns/remember", {"text": "The gate code is quarrel.", "title": "Gate"})
        door.wait_quiet()
        rows = door.get("/ns/files")["files"]
        assert len([row for row in rows if "Gate" in row["path"]]) == 1


# -- a home in which things are wrong -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "port", "code", "words"),
    [
        ("config.toml", '[learn]\nwindow = "x"\n', 0, 2, "not a span of time"),
        ("config.toml", '[learn]\nwindw = "x"\n', 0, 2, "Unknown setting learn.windw"),
        ("config.toml", "[learn\n", 0, 2, "not readable TOML"),
        ("nightschool.db", "no database, only some words " * 9, 0, 1, "not a database"),
        ("logs", "a file in the place of a folder", 0, 1, "cannot be made a folder"),
        ("nothing", "", 99_999, 2, "no port 99999"),
    ],
)
def test_a_start_that_cannot_succeed_says_why(
    name: str, text: str, port: int, code: int, words: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / name).write_text(text)
    said = nightschool(home, "start", NIGHTSCHOOL_SERVE_PORT=str(port or free_port()))
    assert said.code == code, said.error
    assert words in said.complaint
    assert not (home / "runtime.json").exists()


def test_status_works_with_a_damaged_pointer_and_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    home.pointer.write_text("{half a poin")
    with service(home=tmp_path) as door:
        found = door.status()
        assert found["serving"]["version"] == 0
        assert any("is damaged" in text for text in found["problems"])
        assert door.post("/ns/ask", {"question": "Hi", "mode": "raw"})["version"] == 0
        assert nightschool(home.root, "use", "0").code == 0
        assert not door.status()["problems"]


# -- requests ------------------------------------------------------------------------------------


def test_a_prompt_over_the_context_is_refused_with_the_limit_in_every_mode(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    _note(folder, "a.md", "The heron nests at Fallow Weir.\n")
    long = "word " * 4000
    with service() as door:
        door.watch(folder)
        bodies = [
            ("/ns/ask", {"question": long, **more})
            for more in ({}, {"mode": "raw"}, {"stream": True}, {"stream": True, "mode": "raw"})
        ]
        bodies += [
            ("/v1/chat/completions",
             {"model": model, "stream": stream, "messages": [{"role": "user", "content": long}]})
            for model in ("nightschool", "nightschool-raw") for stream in (True, False)
        ]  # fmt: skip
        for path, body in bodies:
            reply = door.request("POST", path, body)
            assert reply.status == 400, (path, body)
            assert "the limit is 1023" in reply.json["error"]["message"]
            assert "engine.context" in reply.json["error"]["remedy"]
        assert door.post("/ns/ask", {"question": "Where does the heron nest?"})["citations"]
