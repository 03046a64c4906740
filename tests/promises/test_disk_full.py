"""A disk that is really full: one clear line, an exit code, nothing lost and nothing half-written.

Needs the right to mount a small tmpfs (root on Linux); skipped, visibly, where that is refused.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import Said, nightschool
from invented_notes import NOTES

SIZE = 80 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 80 MB: the encoders take half of it."""
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
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    assert shutil.disk_usage(disk).free == 0
    return ballast


def refused(said: Said) -> bool:
    """The last line, after the progress, says what happened and what to do; no traceback."""
    last = said.error.strip().splitlines()[-1]
    return "full" in last and "space" in last and "Traceback" not in said.error


def unsound(home: Path) -> set[str]:
    """What the doctor finds wrong. This disk stays too small for a night, which it says."""
    checks = nightschool(home, "doctor", "--json").json["checks"]
    return {check["name"] for check in checks if not check["ok"]}


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
    said = nightschool(home, "files", "--refresh")
    assert said.code == 1 and refused(said)
    ballast.unlink()
    assert unsound(home) <= {"disk"}
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
    assert said.code == 1 and refused(said)
    ballast.unlink()
    assert unsound(home) <= {"disk"}
    assert [row["number"] for row in nightschool(home, "versions", "--json").json] == [0]
