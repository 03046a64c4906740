"""Look a stick over: its mark, every file that was put on it, names that it cannot hold."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from nightschool import vault
from nightschool.device.portable.copying import misfits
from nightschool.device.portable.create import MANIFEST, SPARE
from nightschool.errors import NotFound
from nightschool.paths import MARKER, stick

SHOWN = 10
"""At most so many missing files are named."""


def check(folder: Path) -> list[str]:
    """What is wrong with the stick, in words; empty when nothing. Raises NotFound without one."""
    if not (folder / MARKER).is_file():
        raise NotFound(
            f"{folder} is no stick: it has no file {MARKER}.",
            "Name the folder that `nightschool portable create` made.",
        )
    place = stick(folder / "data")
    problems = [*_files(folder), *_layout(folder)]
    if place is not None and place.encrypted:
        if not (folder / vault.KEY).is_file():
            problems.append(f"{vault.KEY} is missing: without it nothing can be opened.")
        plain = [name for name in ("runs", "versions", "index", "notes", "logs", "current.json")
                 if (folder / "data" / name).exists()]  # fmt: skip
        problems += [f"data/{name} lies open on an encrypted stick." for name in plain]
    if (free := _free(folder)) < SPARE:
        problems.append(f"Only {free / 1e6:.0f} MB are free: too little for a night.")
    return problems


def _files(folder: Path) -> list[str]:
    try:
        listed: dict[str, int] = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{MANIFEST} is missing or damaged ({error}): make the stick anew."]
    wrong = []
    for name, size in listed.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            wrong.append(f"{name} is missing: copy the whole folder again, or make it anew.")
            continue
        if found != size:
            wrong.append(f"{name} has {found} bytes instead of {size}: make the stick anew.")
    more = len(wrong) - SHOWN
    return wrong[:SHOWN] + [f"… and {more} more files."] * (more > 0)


def _layout(folder: Path) -> list[str]:
    found: list[tuple[str, int]] = []
    links: list[str] = []
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here, name)
            inside = path.relative_to(folder).as_posix()
            if path.is_symlink():
                links.append(f"{inside} is a link, which exFAT and FAT cannot hold.")
            elif name in files:
                found.append((inside, path.stat().st_size))
            if name.endswith(("-wal", "-shm")):
                links.append(f"{inside} needs shared memory, which a stick does not offer.")
    return links + [f"{problem}." for problem in misfits(found)]


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
