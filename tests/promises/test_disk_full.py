"""A disk that is really full: one clear line, an exit code, nothing lost and nothing half-written.

Needs the right to mount a small tmpfs (root on Linux); skipped, visibly, where that is refused.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import nightschool
from invented_notes import NOTES

SIZE = 3 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command here")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def notes(folder: Path) -> Path:
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def fill(disk: Path) -> Path:
    """Take every free byte of the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while file.write(b"\0" * 4096):
                file.flush()
        except OSError:
            pass
    assert shutil.disk_usage(disk).free == 0
    return ballast


def test_on_a_full_disk_one_line_says_so_and_nothing_is_lost(tmp_path: Path, disk: Path) -> None:
    home, folder = disk / "home", notes(tmp_path / "notes")
    assert nightschool(home, "watch", "add", str(folder)).code == 0
    before = nightschool(home, "files", "--json").json
    ballast = fill(disk)
    for number in range(400):
        (folder / f"new{number}.md").write_text(
            f"# Note {number}\n\nThe locker code {number} is {number * 7919}.\n" * 40,
            encoding="utf-8",
        )
    said = nightschool(home, "index")
    assert said.code == 1 and "full" in said.complaint and "space" in said.complaint
    ballast.unlink()
    assert nightschool(home, "doctor").code == 0
    after = {row["path"] for row in nightschool(home, "files", "--json").json}
    assert {row["path"] for row in before} <= after


@pytest.mark.slow
def test_a_night_that_runs_out_of_disk_ends_in_one_line_and_the_next_one_is_fine(
    tmp_path: Path, disk: Path
) -> None:
    home, folder = disk / "home", notes(tmp_path / "notes")
    assert nightschool(home, "watch", "add", str(folder)).code == 0
    assert nightschool(home, "ask", "Who serviced the boiler?").code == 0
    ballast = fill(disk)
    said = nightschool(home, "learn", "--minutes", "0.1")
    assert said.code == 1 and "full" in said.complaint and "space" in said.complaint
    ballast.unlink()
    assert nightschool(home, "doctor").code == 0
    assert [row["number"] for row in nightschool(home, "versions", "--json").json] == [0]
