"""Names and places that no program expects: each file is found again, or says why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flat_embedder import Flat
from nightschool.config import Config
from nightschool.ingest.sandbox import Sandbox
from nightschool.intake import run_intake
from nightschool.paths import Home
from nightschool.records import Document, FileStatus
from nightschool.store import documents
from nightschool.store.db import Store

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX names")
NAMES = (
    "[bold red]x[/bold red].md", "\x1b[31mred\x07.md", "<img src=x onerror=alert(1)>.md", "a\nb.md",
    "\u202egpj.md", "\udcff\udcfe.md", "%2e%2e%2fetc.md", "C:\\notes.md", "x" * 250 + ".md",
    "'; DROP TABLE chunk; --.md", "{{7*7}}.md", " .md", "-rf.md", "con.md",
)  # fmt: skip


def taken_in(store: Store, sandbox: Sandbox, folder: Path) -> dict[str, Document]:
    documents.add_root(store, str(folder))
    home = Home(store.path.parent).create()
    report = run_intake(home, store, Config(), embedder=Flat(), sandbox=sandbox)
    assert report.problems == ()
    return {item.path: item for item in documents.documents(store)}


def test_hostile_names_are_names(store: Store, sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "<b>").mkdir(parents=True)
    made = 0
    for number, name in enumerate((*NAMES, "<b>/x.md")):
        if "/" in name and not name.startswith("<b>"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"The mill number {number} stands here.")
        made += 1
    found = taken_in(store, sandbox, folder)
    assert len(found) == made
    assert {item.status for item in found.values()} == {FileStatus.INDEXED}
    assert len({documents.chunks_of(store, item.id)[0].text for item in found.values()}) == made
    again = run_intake(Home(store.path.parent), store, Config(), embedder=Flat(), sandbox=sandbox)
    assert (again.added, again.modified, again.deleted) == (0, 0, 0)


def test_a_path_of_4000_bytes_is_read_and_a_longer_one_says_why(
    store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "near.md").write_text("The near mill.")
    deep = folder
    while len(os.fsencode(deep)) + 210 < 4000:
        deep = deep / ("d" * 200)
        deep.mkdir()
    (deep / "far.md").write_text("The far mill.")
    # Beyond what a path may hold: only reachable step by step.
    handle = os.open(deep, os.O_RDONLY)
    steps = [handle]
    try:
        for _ in range(3):
            os.mkdir("e" * 200, dir_fd=handle)
            handle = os.open("e" * 200, os.O_RDONLY, dir_fd=handle)
            steps.append(handle)
        lost = os.open("lost.md", os.O_WRONLY | os.O_CREAT, dir_fd=handle)
        os.write(lost, b"The lost mill.")
        os.close(lost)
        found = taken_in(store, sandbox, folder)
    finally:
        for number in reversed(range(3)):
            if number == 2:
                os.unlink("lost.md", dir_fd=steps[3])
            os.rmdir("e" * 200, dir_fd=steps[number])
        for each in steps:
            os.close(each)
    indexed = {Path(path).name for path, item in found.items() if item.chunks}
    assert indexed == {"near.md", "far.md"}
    (beyond,) = [item for item in found.values() if not item.chunks]
    assert beyond.status is FileStatus.SKIPPED
    assert beyond.reason == "unreadable: file name too long"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed_says_so_and_keeps_its_files(
    store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.md").write_text("The mill.")
    taken_in(store, sandbox, folder)
    (folder / "sub").chmod(0)
    try:
        found = taken_in(store, sandbox, folder)
    finally:
        (folder / "sub").chmod(0o755)
    assert found["sub/a.md"].chunks == 1
    assert found["sub"].reason == "unreadable folder: permission denied"
    assert set(taken_in(store, sandbox, folder)) == {"sub/a.md"}
