"""A stick: what may lie on it, what it leaves behind, who can read it, and pulling it out.

The whole of it (a real interpreter carried to other computers) is `make bench NAME=portable`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import stick_host
from command import nightschool
from nightschool import paths, vault
from nightschool.config import Files
from nightschool.device.portable import runtime, session
from nightschool.device.portable.check import check
from nightschool.device.portable.copying import Plan, bytecode, misfits
from nightschool.device.portable.create import FILES
from nightschool.errors import Refused, SourceError, StoreError
from nightschool.paths import MARKER, Home, Stick
from nightschool.sources.reconcile import reconcile
from nightschool.store import documents, places
from nightschool.store.db import open_store

PASSPHRASE = "four words in a row"
ID = "0123456789abcdef" * 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stick without programs: those of this environment are used."""
    made = tmp_path / "media" / "STICK ü 1" / "NIGHTSCHOOL"
    (made / "data").mkdir(parents=True)
    (made / MARKER).write_text(json.dumps({"format": 1, "id": ID, "encrypted": False}))
    return made


@pytest.fixture(scope="module")
def wrapped() -> bytes:
    return vault.create(PASSPHRASE)[1]


@pytest.fixture
def sealed(folder: Path, wrapped: bytes) -> Path:
    (folder / MARKER).write_text(json.dumps({"format": 1, "id": ID, "encrypted": True}))
    (folder / vault.KEY).write_bytes(wrapped)
    return folder


def stick(folder: Path) -> Stick:
    paths.stick.cache_clear()
    found = paths.stick(folder / "data")
    assert found is not None
    return found


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the launcher runs."""
    return subprocess.run(
        [sys.executable, "-m", "nightschool", "portable", "run", "--", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "NIGHTSCHOOL_HOME": str(folder / "data"), **environment},
    )  # fmt: skip


def everything(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_exfat_fat_and_windows_cannot_hold_is_named() -> None:
    found = misfits([("a/Read.md", 1), ("a/read.md", 1), ("b:c", 1), ("d/aux.txt", 1),
                     ("e/trailing. ", 1), ("model.gguf", 1 << 32), ("fine.py", 10)])  # fmt: skip
    assert [next(word for word in ("case", "Windows", "device", "4 GB") if word in line)
            for line in found] == ["case", "Windows", "device", "Windows", "4 GB"]  # fmt: skip


def test_bytecode_holds_at_any_time_of_its_source_and_names_no_folder_of_the_maker(
    tmp_path: Path,
) -> None:
    source = tmp_path / "stick" / "greet.py"
    source.parent.mkdir()
    source.write_text("def hello():\n    return 'compiled'\n")
    code = bytecode(source, "app/greet.py")
    assert code is not None
    assert str(tmp_path).encode() not in code
    cached = source.parent / "__pycache__" / f"greet.{sys.implementation.cache_tag}.pyc"
    cached.parent.mkdir()
    cached.write_bytes(code)
    source.write_text("def hello():\n    return 'compiled again'\n")
    os.utime(source, (1, 1))
    said = subprocess.run(
        [sys.executable, "-B", "-c", "import greet; print(greet.hello())"],
        cwd=source.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "compiled\n"


def test_a_home_on_a_stick_keeps_its_token_on_the_host_and_no_log_needs_shared_memory(
    folder: Path,
) -> None:
    place = stick(folder)
    said = run(folder, "token")
    assert said.returncode == 0, said.stderr
    assert Path(said.stdout.strip()).parent == place.host
    assert not place.host.exists(), "the folder on the host is removed at exit"
    names = {path.name for path in folder.rglob("*")}
    assert "nightschool.db" in names
    assert not {name for name in names if name.endswith(("-wal", "-shm")) or "token" in name}
    assert check_layout(folder) == []


def check_layout(folder: Path) -> list[str]:
    return [line for line in check(folder) if "manifest.json" not in line and "free" not in line]


def test_libraries_are_told_to_write_on_the_stick_alone(folder: Path, tmp_path: Path) -> None:
    given = session.environment(tmp_path / "scratch")
    kept = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME", "TRITON_CACHE_DIR")
    assert all(given[name].startswith(str(tmp_path)) for name in kept)
    shown = run(folder, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    assert not (folder / "scratch").exists(), "and that is removed at exit"


def test_nothing_is_installed_on_the_host_of_a_stick(folder: Path) -> None:
    for words in (("service", "install"), ("mcp", "install", "cursor")):
        said = run(folder, *words)
        assert said.returncode == 3
        assert "nothing is installed" in said.stderr
    assert run(folder, "start").returncode == 3


def test_watched_folders_follow_the_stick_and_nothing_of_the_host_stays(folder: Path) -> None:
    store = open_store(folder / "data" / "nightschool.db")
    here = places.Place(str(folder), str(folder / "data"))
    places.arrive(store, here)
    for path in (folder.parent / "Notes", folder / "data" / "notes"):
        documents.add_root(store, str(path))
    there = places.Place("/run/media/bo/X/NIGHTSCHOOL", "/dev/shm/open/data")
    places.arrive(store, there)  # as after a pull: nobody took leave
    assert [root.path for root in documents.roots(store)] == [
        "/run/media/bo/X/Notes", "/dev/shm/open/data/notes",
    ]  # fmt: skip
    places.leave(store)
    assert [root.path for root in documents.roots(store)] == ["stick:../Notes", "home:notes"]
    store.close()


def test_a_folder_of_the_host_is_not_watched_from_a_stick(folder: Path) -> None:
    outside = folder.parents[2] / "host"
    outside.mkdir()
    said = run(folder, "watch", "add", str(outside))
    assert said.returncode == 3
    assert "does not lie on the stick" in said.stderr


def test_another_stick_in_its_place_deletes_nothing(folder: Path) -> None:
    notes = folder.parent / "Notes"
    notes.mkdir()
    store = open_store(folder / "data" / "nightschool.db")
    root = documents.add_root(store, str(notes))
    stick(folder)
    assert reconcile(store, root, Files()) == []
    (folder / MARKER).write_text(json.dumps({"format": 1, "id": "f" * 32, "encrypted": False}))
    with pytest.raises(SourceError, match="not at"):
        reconcile(store, root, Files())
    store.close()


def test_a_wrong_passphrase_is_one_line_exit_3_and_touches_nothing(sealed: Path) -> None:
    before = everything(sealed)
    said = run(sealed, "status", NIGHTSCHOOL_PASSPHRASE="wrong")
    assert said.returncode == 3
    assert len(said.stderr.splitlines()) == 1
    assert everything(sealed) == before
    assert not stick(sealed).host.exists()


def test_two_commands_at_once_wait_for_each_other(sealed: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        said = list(
            both.map(lambda _: run(sealed, "versions", NIGHTSCHOOL_PASSPHRASE=PASSPHRASE), range(2))
        )
    assert [one.returncode for one in said] == [0, 0], [one.stderr for one in said]
    assert not stick(sealed).host.exists()


def test_a_locked_stick_cannot_be_opened_beside_its_launcher(sealed: Path) -> None:
    said = nightschool(sealed / "data", "versions")
    assert said.code == 3
    assert "launcher" in said.complaint


def test_what_is_learned_is_sealed_with_its_names_and_comes_back(sealed: Path) -> None:
    place = stick(sealed)
    asked: list[str] = []

    def passphrase() -> str:
        asked.append("once")
        return PASSPHRASE

    assert session.run(place, ["config", "path"], passphrase, lambda home: None) in (0, 2)
    keys = vault.unlock(place, PASSPHRASE)
    tree = sealed.parent / "tree"
    (tree / "notes").mkdir(parents=True)
    (tree / "notes" / "Ottilie.md").write_text("Ottilie lives at wharf 42.")
    (tree / "runs/1").mkdir(parents=True)
    (tree / "runs/1/report.html").write_text("What was learned: where Ottilie lives.")
    place.host.mkdir(mode=0o700)
    assert vault.seal(place, tree, keys) >= 1
    assert vault.seal(place, tree, keys) == 0, "what has not changed is not written again"
    seen = b"".join(path.read_bytes() for path in sealed.rglob("*") if path.is_file())
    names = " ".join(path.name for path in sealed.rglob("*"))
    assert b"Ottilie" not in seen
    assert "Ottilie" not in names
    assert not (sealed / "data" / "nightschool.db").read_bytes().startswith(b"SQLite format")
    back = sealed.parent / "back"
    vault.unseal(place, back, keys)
    assert (back / "notes" / "Ottilie.md").read_text() == "Ottilie lives at wharf 42."
    assert "Ottilie" in (back / "runs/1/report.html").read_text()
    assert asked == ["once"]
    shutil.rmtree(place.host)


def test_a_stick_pulled_while_it_is_sealed_holds_the_state_from_before(sealed: Path) -> None:
    place = stick(sealed)
    keys = vault.unlock(place, PASSPHRASE)
    place.host.mkdir(mode=0o700)
    tree = sealed.parent / "tree"
    tree.mkdir()
    (tree / "current.json").write_text("old")
    vault.seal(place, tree, keys)
    (tree / "current.json").write_text("new, and longer")
    os.truncate(sealed / MARKER, 0)  # gone, as far as anybody can see
    with pytest.raises(StoreError, match="Put it back"):
        vault.seal(place, tree, keys)
    (sealed / MARKER).write_text(json.dumps({"format": 1, "id": ID, "encrypted": True}))
    (sealed / "sealed" / "0123.age").write_bytes(b"torn")  # written, but in no table yet
    back = sealed.parent / "back"
    vault.unseal(place, back, keys)
    assert (back / "current.json").read_text() == "old"
    shutil.rmtree(place.host)


@pytest.mark.parametrize(("options", "word"), [("size=48k", "full"), ("ro", "read")])
def test_a_stick_that_is_full_or_read_only_is_refused_in_words(
    folder: Path, options: str, word: str
) -> None:
    if why := stick_host.missing():
        pytest.skip(f"a real file system cannot be mounted: {why}")
    data, script = folder / "data", 'mount -t tmpfs -o "$2" none "$1" && shift 2 && exec "$@"'
    said = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "-", str(data), options,
         sys.executable, "-m", "nightschool", "portable", "run", "--", "status"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "NIGHTSCHOOL_HOME": str(data)},
    )  # fmt: skip
    assert said.returncode == 1
    assert word in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_a_stick_is_made_in_an_empty_folder_outside_the_home(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "photo.jpg").write_bytes(b"mine")
    home = tmp_path / "home"
    for target in (full, home / "stick", full / "photo.jpg"):
        said = nightschool(home, "portable", "create", str(target), "--same-processor")
        assert said.code == 2, said
        assert said.complaint
    assert (full / "photo.jpg").read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform != "linux", reason="sticks are made on Linux")
def test_the_copied_interpreter_finds_packages_where_they_are_put(tmp_path: Path) -> None:
    plan = Plan()
    binary = tmp_path / runtime.plan_runtime(plan, "python")
    for item in plan.items:
        target = tmp_path / item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(item.source, target)
    put = tmp_path / "python" / runtime.packages_folder()
    put.mkdir(parents=True, exist_ok=True)
    (put / "carried.py").write_text("print('here')\n")
    libraries = str(tmp_path / "python" / "lib")
    said = subprocess.run(
        [runtime.loader(binary), "--library-path", libraries, binary, "-I", "-m", "carried"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.stdout.strip() == "here", said.stderr


def test_the_launchers_are_sound_and_say_what_is_missing(tmp_path: Path) -> None:
    for name in ("start-linux.sh", "start-mac.command"):
        subprocess.run(["sh", "-n", str(FILES / name)], check=True)
    for name in ("start-mac.command", "start-windows.bat"):
        text = (FILES / name).read_text(encoding="utf-8")
        assert "NOT TESTED" in text
        assert re.findall(r"\b[0-9a-f]{64}\b", text), "what it fetches is pinned by its hash"
        assert "github.com" in text
    linux = (FILES / "start-linux.sh").read_text(encoding="utf-8")
    system = f"linux-{os.uname().machine}"
    for flags, there, word in (("no_such_unit", True, "processor lacks"), ("", False, "missing")):
        shown = tmp_path / f"stick {there}"
        (shown / "runtime" / system / "bin").mkdir(parents=True)
        if there:
            (shown / "runtime" / system / "bin" / "python").touch()
        text = linux.replace("@SYSTEM@", system).replace("@FLAGS@", flags)
        text = text.replace("@LOADER@", "/bin/sh").replace("@BINARY@", "bin/python")
        (shown / "start-linux.sh").write_text(text)
        said = subprocess.run(
            ["sh", str(shown / "start-linux.sh"), "status"], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert said.returncode in (1, 3)
        assert word in said.stderr


def test_short_passphrases_are_refused() -> None:
    with pytest.raises(Refused, match="fewer than 8"):
        vault.create("short")


def test_an_installed_home_is_no_stick(tmp_path: Path) -> None:
    home = Home(tmp_path / "installed")
    assert home.stick is None
    assert home.token == home.root / "token"
    assert home.disk == home.root
