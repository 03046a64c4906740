"""The operations that are interrupted: how each is prepared, done, and judged.

    python tests/durable/ops.py NAME PLACE [BREAK]

does one in this process, so that it can be killed at any system call. BREAK is a deliberate
defect, which the bench must notice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from durable import made
from durable.made import Place
from nightschool.config import Forget
from nightschool.errors import NightschoolError
from nightschool.records import Outcome
from nightschool.registry import archive, erase, moving, pointer, rescue, versions
from nightschool.registry.request import request
from nightschool.store import db, driver, runs, snapshot
from nightschool.store import versions as rows
from nightschool.store.db import open_store


def ingest(place: Place) -> None:
    made.intake(place)


def promote(place: Place) -> None:
    """The end of a night; a resumed one whose version is there already goes on from it."""
    store = open_store(place.home.database)
    run = runs.unfinished(store)
    if run is not None:
        made.conclude(place.home, store, run.id, place.home.runs / str(run.id) / "candidate")
    store.close()


def rollback(place: Place) -> None:
    store = open_store(place.home.database)
    if pointer.read(place.home).version == 2:
        versions.rollback(place.home, store)
    store.close()


def forgetting(place: Place) -> None:
    store = open_store(place.home.database)
    request(
        place.home, store, str(place.folder / "music.md"), Forget(), confirmed=True,
        clock=made.clock(),
    )  # fmt: skip
    store.close()


def migrate(place: Place) -> None:
    open_store(place.home.database).close()


def vacuum(place: Place) -> None:
    store = open_store(place.home.database)
    report = erase.vacuum(place.home, store, now=True, clock=made.clock())
    store.close()
    if report.problem:  # as the command does
        raise NightschoolError(report.problem)


def backup(place: Place) -> None:
    store = open_store(place.home.database)
    snapshot.take(store.db.conn, place.home.backups, snapshot.DAILY, "2026-11-23")
    store.close()


def export(place: Place) -> None:
    store = open_store(place.home.database)
    archive.export(place.home, store, place.root / "out.tar", force=True, clock=made.clock())
    store.close()


def take_in(place: Place) -> None:
    """Into a second home beside the first one."""
    from nightschool.paths import Home

    target = Home(place.root / "second").create()
    moving.opened(target)
    if not target.pointer.exists():
        moving.take_in(target, place.root / "ready.tar", force=True)


def restore(place: Place) -> None:
    """`doctor --repair` on a damaged database."""
    if rescue.health.damage(place.home.database):
        rescue.database(place.home, "a test damaged it")
    made.recover(place.home).close()


OPS: dict[str, Callable[[Place], None]] = {
    "ingest": ingest,
    "delete": ingest,
    "promote": promote,
    "rollback": rollback,
    "forget": forgetting,
    "migrate": migrate,
    "vacuum": vacuum,
    "backup": backup,
    "export": export,
    "import": take_in,
    "restore": restore,
}


def prepare(name: str, root: Path) -> Place:
    """A place in which the operation has something to do, made anew."""
    shutil.rmtree(root, ignore_errors=True)
    if name == "migrate":
        return made.old_schema(root)
    place = made.make(root)
    home = place.home
    if name == "ingest":
        (place.folder / "boiler.md").write_text("# Boiler\n\nMr Crane serviced it on 4 June.\n")
        (place.folder / "garden.md").write_text("# Garden\n\nThe roses are cut in March.\n")
        (place.folder / "bikes.md").rename(place.folder / "cycles.md")
    if name == "delete":
        (place.folder / "music.md").unlink()
    if name == "promote":
        store = open_store(home.database)
        made.candidate(home, made.run_of(store, ["bikes.md"]), "third")
        store.close()
    if name == "vacuum":
        forgetting(place)
        (home.logs / "engine.log").write_text(f"asked for {made.WORD}\n")
    if name == "import":
        export(place)
        (place.root / "out.tar").rename(place.root / "ready.tar")
        second = made.Home(place.root / "second").create()
        store = open_store(second.database)
        made.documents.add_root(store, str(place.folder), clock=made.clock())
        store.close()
        (second.notes / "mine.md").write_text("mine\n")
    if name == "restore":
        with home.database.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(3 * 4096))
    return place


# -- judging ---------------------------------------------------------------------------------------

UNITS = {"ingest", "delete"}
"""Each file is a step of its own."""


def known(name: str, place: Place) -> dict[str, Any]:
    """What counts as a state of this operation. For a home that can be opened."""
    home = made.Home(place.root / "second") if name == "import" else place.home
    store = made.recover(home)
    try:
        found = made.facts(home, store)
    finally:
        store.close()
    if name == "migrate":
        found["schema"] = len(db.MIGRATIONS)
    return found


def judge(name: str, place: Place, old: dict[str, Any], new: dict[str, Any]) -> str:
    """What is wrong after a kill, in words; empty when the state is the old or the new one."""
    if name == "migrate" and (why := _migrated(place)):
        return why
    home = made.Home(place.root / "second") if name == "import" else place.home
    if name == "restore" and not home.database.exists():
        return "there is no database any more"
    if name == "restore":
        restore(place)  # attended by nature: the user says --repair again
    store = made.recover(home)
    try:
        if why := made.broken(home, store):
            return why
        now = made.facts(home, store)
    finally:
        store.close()
    if name == "migrate":
        now["schema"] = len(db.MIGRATIONS)
    first = made.digest(home)
    made.recover(home).close()
    if made.digest(home) != first:
        return "a second recovery changed something"
    if name == "export" and (why := _exported(place)):
        return why
    return _between(name, now, old, new)


def _between(name: str, now: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> str:
    if name in UNITS or name == "promote":
        for unit in now.keys() | old.keys() | new.keys():
            value = now.get(unit)
            if name == "ingest" and unit == "file cycles.md" and value is not None:
                continue  # moved, and its passages follow in the same step: checked at the end
            if name == "promote" and unit in ("pointer", "versions", "runs"):
                continue
            if value not in (old.get(unit), new.get(unit)):
                return f"{unit} is neither old nor new: {value}"
        if name == "promote":
            served = now["pointer"][0]
            if served not in (old["pointer"][0], new["pointer"][0]):
                return f"version {served} is served"
            if served == new["pointer"][0] and now["versions"] != new["versions"]:
                return "the new version is served and not recorded"
        return ""
    if now not in (old, new):
        parts = [key for key in now if now[key] not in (old.get(key), new.get(key))]
        return f"between old and new: {parts or 'a mixture'}"
    return ""


def _migrated(place: Place) -> str:
    """Before anybody opens it: the schema is the old or the new one, with a backup of the old."""
    with contextlib.closing(driver.connect(place.home.database)) as raw:
        version = int(raw.execute("PRAGMA user_version").fetchone()[0])
        names = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
    if version not in (made.OLD_SCHEMA, len(db.MIGRATIONS)):
        return f"schema {version} is neither old nor new"
    if ("answer" in names) != (version == len(db.MIGRATIONS)):
        return f"schema {version} with tables of the other one"
    kept = [b for b in snapshot.listed(place.home.backups) if b.reason == snapshot.UPGRADE]
    if version == len(db.MIGRATIONS) and not any(not snapshot.problem_of(b) for b in kept):
        return "upgraded without a good backup"
    return ""


def _exported(place: Place) -> str:
    """The archive is not there, or can be imported."""
    file = place.root / "out.tar"
    if not file.exists():
        return ""
    target = made.Home(place.root / "tried").create()
    try:
        moving.take_in(target, file)
    except Exception as error:
        return f"the export cannot be imported: {error}"
    return ""


def finished(name: str, place: Place, new: dict[str, Any]) -> str:
    """Doing it again after a kill comes to the new state."""
    OPS[name](place)
    if name in UNITS or name == "ingest":
        home = place.home
        store = made.recover(home)
        try:
            if why := made.broken(home, store, embedded=True):
                return f"after doing it again: {why}"
        finally:
            store.close()
    now = known(name, place)
    if name == "promote":
        store = open_store(place.home.database)
        try:
            served = rows.version(store, pointer.read(place.home).version)
            done = runs.runs(store, 1)[0].outcome
        finally:
            store.close()
        well = served is not None and served.run_id == 3 and done is Outcome.PROMOTED
        return "" if well else "after doing it again the new version is not served"
    if name == "vacuum":
        left = [p for p in place.home.root.rglob("*") if p.is_file()
                and made.WORD.encode() in p.read_bytes()]  # fmt: skip
        if left:
            return f"after doing it again {left[0].name} still holds the word"
    if now != new:
        parts = [key for key in {*now, *new} if now.get(key) != new.get(key)]
        return f"after doing it again, not the new state: {parts}"
    return ""


# -- deliberate defects ----------------------------------------------------------------------------


def sabotage(name: str) -> None:
    """Break the product on purpose."""
    from nightschool.store import atomic

    if name == "write-in-place":

        def in_place(path: Path, data: bytes) -> None:
            with path.open("wb") as sink:  # two writes, as a buffer would do
                sink.write(data[: len(data) // 2])
                sink.flush()
                sink.write(data[len(data) // 2 :])

        pointer.write_bytes = in_place  # type: ignore[assignment]
    elif name == "no-transaction":

        @contextlib.contextmanager
        def none(self: Any) -> Any:
            yield self.db

        db.Store.transaction = none  # type: ignore[method-assign]
    elif name == "no-fsync":
        atomic.os.fsync = lambda handle: None  # type: ignore[assignment]
    elif name == "status-first":

        def wrong(home: Any, store: Any) -> Any:
            rows.set_status(store, 2, "retired", "rolled back by the user")
            version = rows.version(store, 1)
            assert version is not None
            pointer.write(home, versions._pointer(version, (0,)))
            return version

        versions.rollback = wrong  # type: ignore[assignment]
    elif name == "retry-fsync":
        real = os.fsync

        def again(handle: int) -> None:
            with contextlib.suppress(OSError):
                real(handle)

        atomic.os.fsync = again  # type: ignore[assignment]
    else:
        raise SystemExit(f"no defect is called {name}")


def main() -> None:
    name, place = sys.argv[1], Place(Path(sys.argv[2]))
    if len(sys.argv) > 3:
        sabotage(sys.argv[3])
    try:
        OPS[name](place)
    except NightschoolError as error:  # as the command does
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
