"""G18: the stick is pulled. Run under `unshare -m`, so that its mounts are nobody else's.

    unshare -m python tests/durable/stick.py ROOM PULLS

A folder is bound to where the stick would be and taken away lazily, in the middle of an operation:
whoever has a file open goes on writing to what nobody sees, and every path leads into an empty
folder. Then another stick is put in, and then the right one. The last line is JSON.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from durable import crash, made, ops
from durable.made import Place
from nightschool.sources import reconcile
from nightschool.store import documents
from nightschool.store.db import open_store

WITH_HOME = ("ingest", "delete", "promote", "rollback", "forget", "vacuum", "backup", "export")


def bind(backing: Path, at: Path) -> None:
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(backing), str(at)], check=True)


def pull(at: Path) -> None:
    subprocess.run(["umount", "-l", str(at)], check=True)


def reset(backing: Path, kept: Path) -> None:
    """The stick as it was, without moving its mount point."""
    for path in backing.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(kept, backing, dirs_exist_ok=True)


def pulled(name: str, place: Place, at: Path, luck: random.Random, *, kill: bool) -> None:
    """The operation, with the stick pulled somewhere in it."""
    run = subprocess.Popen(
        crash.command(name, place), env=crash.ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # The interpreter needs some time before it writes at all; then it takes a few milliseconds.
    deadline = time.monotonic() + luck.uniform(0.15, 0.6)
    while run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    pull(at)
    if kill:
        run.kill()
    run.wait(60)


def with_home(room: Path, count: int, luck: random.Random) -> tuple[int, list[str]]:
    """Home and folder on the stick: what is there after it comes back is old or new."""
    tried, wrong = 0, []
    for name in WITH_HOME:
        backing = room / "disk" / name
        backing.mkdir(parents=True)
        at = room / "stick" / name
        bind(backing, at)
        place = ops.prepare(name, at)
        kept = room / "kept" / name
        shutil.copytree(at, kept)
        old = ops.known(name, place)
        reset(backing, kept)
        ops.OPS[name](place)
        new = ops.known(name, place)
        for number in range(count):
            reset(backing, kept)
            pulled(name, place, at, luck, kill=number % 2 == 0)
            bind(backing, at)
            tried += 1
            try:
                said = ops.judge(name, place, old, new) or ops.finished(name, place, new)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            if said:
                wrong.append(f"home on the stick, {name}, pull {number}: {said}")
        pull(at)
    return tried, wrong


def indexed(place: Place) -> dict[str, str]:
    store = open_store(place.home.database)
    found = {item.path: item.sha256 for item in documents.documents(store)}
    store.close()
    return found


def with_folder(room: Path, count: int, luck: random.Random) -> tuple[int, list[str]]:
    """Only the watched folder on the stick: nothing of it is ever taken for deleted."""
    tried, wrong = 0, []
    for name in ("ingest", "delete"):
        place = ops.prepare(name, room / "host" / name)
        backing = room / "files" / name
        shutil.move(place.folder, backing)
        bind(backing, place.folder)
        made.recover(place.home).close()
        kept = room / "homes" / name
        shutil.copytree(place.home.root, kept)
        foreign = room / "foreign" / name
        foreign.mkdir(parents=True)
        (foreign / "other.md").write_text("# Another\n\nThis is somebody else's stick.\n")
        whole = indexed(place)
        made.intake(place)
        after = indexed(place)
        for number in range(count):
            shutil.rmtree(place.home.root)
            shutil.copytree(kept, place.home.root)
            pulled(name, place, place.folder, luck, kill=number % 3 == 0)
            tried += 1
            said = _without(place, whole, after, "pulled")
            bind(foreign, place.folder)
            said = said or _without(place, whole, after, "foreign")
            pull(place.folder)
            bind(backing, place.folder)
            if not said:
                report = made.intake(place)
                if report.problems or indexed(place) != after:
                    said = f"the right stick is not taken: {report.problems}"
            if said:
                wrong.append(f"folder on the stick, {name}, pull {number}: {said}")
        pull(place.folder)
    return tried, wrong


def _without(place: Place, whole: dict[str, str], after: dict[str, str], how: str) -> str:
    """A comparison while the folder is gone, or another one: it says so, and takes nothing away."""
    made.recover(place.home).close()
    before = indexed(place)
    report: Any = made.intake(place)
    now = indexed(place)
    if not report.problems:
        return f"{how}: nothing was said"
    if now != before:
        return f"{how}: {sorted(set(before.items()) ^ set(now.items()))}"
    lost = [p for p in whole if p not in now and p in after]
    if lost:
        return f"{how}: {lost} are gone"
    if "other.md" in now:
        return "the foreign stick was taken in"
    return ""


def main() -> None:
    room, count = Path(sys.argv[1]), int(sys.argv[2])
    luck = random.Random(18)
    tried, wrong = with_home(room, count, luck)
    more, also = with_folder(room, count, luck)
    reconcile._check_vanished = lambda *given: None  # a deliberate defect
    _, noticed = with_folder(room / "unguarded", 1, luck)
    told = {"tried": tried + more, "wrong": wrong + also, "noticed": noticed}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
