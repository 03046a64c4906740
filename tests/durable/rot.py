"""G19: bits flip, files are cut, blocks become zeros. `doctor` names what matters and mends it.

The damage is done to one file of a copied home; its times stay, as when a disk rots. Whether it
matters is asked of the content, not of `doctor`: a byte in a free page of the database or in a log
says nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durable import made
from durable.made import Place
from nightschool.api import Nightschool
from nightschool.cli import checkup
from nightschool.config import Config
from nightschool.errors import NightschoolError
from nightschool.ports import Progress, silent
from nightschool.registry import tombstones
from nightschool.store import driver, snapshot
from nightschool.store.db import open_store

OWN = ("config.toml", "notes/")
"""The user's own: what is damaged there is named, and not mended by us."""
NOTHING = (".lock", ".log", "runs/")
"""Says nothing that is not elsewhere."""


@dataclass
class Outcome:
    tried: int = 0
    mattered: int = 0
    by_file: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Door(Nightschool):
    """Reads files in this process, so that a repair costs milliseconds."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.home.root, settings=Config())
        self.place = place

    def refresh(self, progress: Progress = silent) -> list[dict[str, Any]]:
        return [{"embedded": made.intake(self.place).embedded}]


def prepare(root: Path) -> Place:
    """A home with one of everything, closed, made anew."""
    shutil.rmtree(root, ignore_errors=True)
    place = made.make(root)
    home = place.home
    store = open_store(home.database)
    from nightschool.config import Forget
    from nightschool.registry.request import request

    request(home, store, str(place.folder / "bikes.md"), Forget(), clock=made.clock())
    snapshot.take(store.db.conn, home.backups, snapshot.DAILY, "2026-11-22T13:00:00+00:00")
    store.close()
    data = home.models / "encoder.gguf"
    data.write_bytes(b"converted" * 999)
    facts = {"recipe": "", "size": 8991, "sha256": hashlib.sha256(data.read_bytes()).hexdigest()}
    (home.models / "encoder.gguf.json").write_text(json.dumps(facts))
    (home.logs / "daemon.log").write_text("started\n" * 50)
    return place


def damage(path: Path, luck: random.Random) -> str:
    """One wound; what it was. The file's time stays."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    kind = luck.choice(("flip", "flip", "cut", "zero"))
    at = luck.randrange(len(data))
    if kind == "flip":
        data[at] ^= 1 << luck.randrange(8)
    elif kind == "cut":
        data = data[:at]
    else:
        data[at : at + 512] = bytes(min(512, len(data) - at))
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return f"{kind} at {at}"


def dump(database: Path) -> list[str] | None:
    """Everything that a database says but counters and times; None when it cannot be read."""
    found = []
    try:
        with snapshot.reading(database) as connection:
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'chunk_fts%' "
                "AND name NOT LIKE 'sqlite_%' AND name<>'state' ORDER BY name"
            ).fetchall()
            for (name,) in tables:
                rows = connection.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall()
                found += [f"{name} {row!r}" for row in rows]
            if snapshot.unsound(connection):
                return None
    except (*driver.database_errors(), ValueError, OSError):
        return None
    return found


def matters(place: Place, name: str, whole: list[str] | None, before: bytes) -> bool:
    """Whether the damaged file says something else than it did."""
    path = place.home.root / name
    after = path.read_bytes()
    if after == before or any(part in name for part in NOTHING):
        return False
    if name == "nightschool.db":
        return dump(path) != whole
    if name in ("current.json", "forgotten.json"):
        return _parsed(after) != _parsed(before)
    if name == "config.toml":
        with contextlib.suppress(UnicodeDecodeError, tomllib.TOMLDecodeError):
            tomllib.loads(after.decode())
            return False  # another value that is a value: nobody can know
        return True
    if name.endswith("manifest.json"):
        return _parsed(after) != _parsed(before)
    if name.endswith(".json"):  # beside a cache: only what is looked at
        return (_parsed(after) or {}).get("sha256") != (_parsed(before) or {}).get("sha256")
    return True


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def look(place: Place, *, repair: bool = False) -> list[checkup.Check]:
    """All of `doctor` but the engine."""
    found = list(checkup.of_home(place.home, repair=repair))
    if any(not check.ok and check.name == "database" for check in found):
        return found
    try:
        with Door(place) as door:
            found += checkup.of_school(door, repair=repair, start_engine=False)
    except NightschoolError as error:
        found.append(checkup.Check("records", False, error.message, error.remedy))
    return found


def sweep(room: Path, count: int, seed: int, only: Sequence[str] = ()) -> Outcome:
    """`count` wounds in random files of one home, each in a fresh copy."""
    luck = random.Random(seed)
    place = prepare(room / "rot")
    first = [check for check in look(place) if not check.ok]
    found = Outcome()
    if first:
        found.wrong.append(f"the healthy home is not: {first}")
        return found
    kept = place.saved()
    root = place.home.root
    names = [
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.stat().st_size and not path.name.endswith(("-shm", "-wal"))
    ]
    names = [name for name in names if not only or any(part in name for part in only)]
    big = [name for name in names if name == "nightschool.db"]
    whole = dump(root / "nightschool.db")
    store = open_store(place.home.database)
    expected = made.facts(place.home, store)
    store.close()
    for _ in range(count):
        place.again(kept)
        name = luck.choice(big) if big and luck.random() < 0.4 else luck.choice(names)
        before = (root / name).read_bytes()
        said = damage(root / name, luck)
        found.tried += 1
        weighty = matters(place, name, whole, before)
        found.mattered += weighty
        found.by_file[name] = found.by_file.get(name, 0) + 1
        try:
            wrong = judge(place, name, weighty, expected)
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            found.wrong.append(f"{name}, {said}: {wrong}")
    return found


def judge(place: Place, name: str, weighty: bool, expected: dict[str, Any]) -> str:
    """What is wrong with how `doctor` took it; empty when nothing is."""
    size = sum(p.stat().st_size for p in place.home.root.rglob("*") if p.is_file())
    red = [check for check in look(place) if not check.ok]
    if weighty and not red:
        return "doctor says that all is well"
    look(place, repair=True)
    left = [check for check in look(place) if not check.ok]
    if left and not name.startswith(OWN):
        return f"after the repair: {[(check.name, check.found) for check in left]}"
    if name.startswith(OWN):
        return ""
    # Damaged caches and temporary files may go; whatever else was there lies somewhere still.
    after = sum(p.stat().st_size for p in place.home.root.rglob("*") if p.is_file())
    if after < size * 0.5:
        return f"after the repair {size - after} bytes are gone"
    store = open_store(place.home.database)
    try:
        if why := made.broken(place.home, store, embedded=True):
            return why
        now = made.facts(place.home, store)
        tombstones.read(place.home)
    finally:
        store.close()
    spared = {"pointer", "versions"} if name.startswith(("versions/", "current.json")) else set()
    parts = [key for key in expected if key not in spared and now.get(key) != expected[key]]
    return f"after the repair it is not what it was: {parts}" if parts else ""
