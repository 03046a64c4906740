"""Goal G8: no name that a client or a swapped folder can give leads out of the watched folders."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import pytest

from nightschool.errors import NightschoolError, ParseError
from nightschool.ingest.contents import contents
from nightschool.ingest.sandbox import Sandbox
from nightschool.paths import Home
from nightschool.registry import target
from nightschool.sources.files import resolve
from nightschool.store import documents
from nightschool.store.db import open_store

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs links and directory handles")
SECRET = "swordfish"
NAMES = (
    "../outside/secret.md", "../../etc/passwd", "/etc/passwd", "/etc/shadow", "~/.ssh/id_rsa",
    "~nobody-of-that-name/x", "~root/.bashrc", "a\x00b", "\x00", "x" * 5000, "../" * 400 + "etc",
    "..\\outside\\secret.md", "..%2foutside%2fsecret.md", "C:\\Windows\\win.ini",
    "\\\\server\\share\\x", "//server/share/x", "\\\\.\\PhysicalDrive0", "CON", "NUL", "/dev/zero",
    "/dev/stdin", "/proc/self/environ", "/proc/self/root/etc/passwd", "file:///etc/passwd",
    "sub/../../outside/secret.md", "./../outside/./secret.md", "#999999999999999999", "#1; drop",
    "\ud800", "\u202e../x",
)  # fmt: skip
FORMS = ("{}", "{}/", "sub/{}", "./{}", "{}\n", " {}", "{}/..", "a.md/{}", "/{}", "{}#")


def test_three_hundred_names_of_what_to_forget_name_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.md").write_text(SECRET)
    (folder / "a.md").write_text("The boiler.")
    if os.name == "posix":
        (folder / "sub").symlink_to(tmp_path / "outside")
    home = Home(tmp_path / "home").create()
    store = open_store(home.database)
    documents.add_root(store, str(folder))
    cases = [form.format(name) for form, name in itertools.product(FORMS, NAMES)]
    assert len(cases) == 300
    for text in cases:
        try:
            found = target.find(store, text)
        except NightschoolError:
            continue  # said in words: never a traceback
        assert all(not (folder / one.path).is_symlink() for one in found.files), text
        for one in found.files:
            assert (folder / one.path).resolve().is_relative_to(folder), text
    for text in cases:
        there = resolve(folder, text)
        assert there is None or there.parent.resolve().is_relative_to(folder), text
    store.close()


@posix_only
def test_a_folder_that_becomes_a_link_after_the_check_is_not_followed(tmp_path: Path) -> None:
    """The file's own name was safe before; now the folders above it are too."""
    inside, outside = tmp_path / "notes" / "sub", tmp_path / "outside"
    for place, text in ((inside, "ours"), (outside, SECRET)):
        place.mkdir(parents=True)
        (place / "a.md").write_text(text)
    file = resolve(tmp_path / "notes", "sub/a.md")
    assert file is not None and contents(file, 99, inner=2) == b"ours"
    inside.rename(tmp_path / "aside")
    inside.symlink_to(outside)  # swapped between the check and the reading
    with pytest.raises(ParseError, match="unreadable"):
        contents(file, 99, inner=2)
    with Sandbox(tmp_path / "log") as sandbox, pytest.raises(ParseError, match="unreadable"):
        sandbox.read(file, "sub/a.md")
    assert contents(file, 99) == SECRET.encode()  # G0: what the defence is for


@posix_only
def test_no_reading_in_a_race_of_swaps_ever_sees_what_lies_outside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "notes" / "sub", tmp_path / "outside"
    for place, text in ((inside, "ours"), (outside, SECRET)):
        place.mkdir(parents=True)
        (place / "a.md").write_text(text)
    link, aside = tmp_path / "link", tmp_path / "aside"
    link.symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for one, two in ((inside, aside), (link, inside), (inside, link), (aside, inside)):
                one.rename(two)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: dict[bytes, int] = {}
    try:
        for _ in range(3000):
            try:
                data = contents(inside / "a.md", 99, inner=2)
            except ParseError:
                data = b"refused"
            seen[data] = seen.get(data, 0) + 1
    finally:
        stop.set()
        thread.join(10)
    assert set(seen) <= {b"ours", b"refused"} and seen[b"ours"]
