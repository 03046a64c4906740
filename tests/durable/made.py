"""Small homes in known states, made through the product's own functions, and what must be true.

Versions hold a few bytes for an adapter: nothing here loads a model (`rollbacks.py` does).
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nightschool.clock import FakeClock, iso
from nightschool.ingest import reading
from nightschool.paths import Home
from nightschool.records import (
    Locator,
    Outcome,
    Pair,
    PairKind,
    Plan,
    Split,
)
from nightschool.registry import forget, moving, pointer, versions
from nightschool.report import shelf
from nightschool.store import documents, driver, health, pairs, runs, snapshot
from nightschool.store import versions as rows
from nightschool.store.db import Store, open_store
from nightschool.store.migrations import MIGRATIONS

BASE = "b" * 64
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OLD_SCHEMA = 3
WORD = "xylomarimba"
"""Stands in one file only, the one that is forgotten."""
FILES = {
    "boiler.md": "# Boiler\n\nThe boiler was serviced on 3 May by Ms Finch.\n\nIt is a Vaillant.\n",
    "recipes.md": "# Recipes\n\nThe plum tart bakes for 40 minutes at 190 degrees.\n",
    "music.md": f"# Music\n\nThe {WORD} belongs to Oskar and stands in the attic.\n",
    "bikes.md": "# Bikes\n\nThe red bike has frame number 7731. The lock code is on the list.\n",
}


class Direct:
    """Reads a file in this process: what is tried here is the storing, not the parser's limits."""

    def read(self, file: Path, path: str) -> reading.Reading:
        from dataclasses import replace

        data = file.read_bytes()
        return replace(reading.read(data, path), sha256=hashlib.sha256(data).hexdigest())

    def start(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Place:
    """A home and the folder it watches, side by side, so that both can be copied."""

    root: Path

    @property
    def home(self) -> Home:
        return Home(self.root / "home")

    @property
    def folder(self) -> Path:
        return self.root / "watched"

    def saved(self) -> Path:
        """A copy beside it, to which `again` goes back: the paths inside stay true."""
        kept = self.root.with_name(self.root.name + ".kept")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.root, kept, symlinks=True)
        return kept

    def again(self, kept: Path) -> Place:
        """As it was when it was saved."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(kept, self.root, symlinks=True)
        return self


def clock() -> FakeClock:
    return FakeClock(NOON)


def intake(place: Place) -> Any:
    """One real comparison and intake, with vectors that cost nothing."""
    from flat_embedder import Flat
    from nightschool.config import Config
    from nightschool.intake import run_intake

    store = open_store(place.home.database, durable=False)
    try:
        return run_intake(
            place.home,
            store,
            Config(),
            embedder=Flat(),
            sandbox=Direct(),  # type: ignore[arg-type]
        )
    finally:
        store.close()


def make(root: Path) -> Place:
    """Four files indexed, pairs on each, two promoted versions, a note, a backup."""
    place = Place(root)
    home = place.home.create()
    place.folder.mkdir(parents=True)
    for name, text in FILES.items():
        (place.folder / name).write_text(text, encoding="utf-8")
    (home.notes / "remembered.md").write_text("# Remembered\n\nThe key hangs left.\n")
    home.config.write_text("[learn]\nbudget_s = 120\n")
    store = open_store(home.database)
    documents.add_root(store, str(place.folder), clock=clock())
    documents.add_root(store, str(home.notes), clock=clock())
    store.close()
    intake(place)
    store = open_store(home.database)
    for root_ in documents.roots(store):
        for item in documents.documents(store, root_.id):
            first = documents.chunks_of(store, item.id)[0]
            word = first.safe.split()[-1].strip(".")
            pair = Pair(PairKind.CLOSED, f"What of {item.path}?", word, word, item.path, 0,
                        Split.TRAIN, (first.id,))  # fmt: skip
            pairs.replace(store, item.id, [pair])
    night(home, store, ["boiler.md", "recipes.md"], "first")
    night(home, store, ["boiler.md", "recipes.md", "music.md"], "second")
    snapshot.take(store.db.conn, home.backups, snapshot.DAILY, iso(NOON))
    store.close()
    return place


def run_of(store: Store, names: list[str]) -> int:
    """A night that practised these files."""
    run = runs.start(store, Plan(), BASE, parent=0, clock=clock())
    ids = [item.id for item in documents.documents(store) if item.path in names]
    runs.record_documents(store, run, dict.fromkeys(ids, 1))
    return run


def candidate(home: Home, run: int, text: str) -> Path:
    """A finished adapter directory of a night."""
    folder = home.runs / str(run) / "candidate"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / versions.ADAPTER).write_bytes(text.encode() * 300)
    (folder / "adapter_model.safetensors").write_bytes(text.encode() * 200)
    (folder / "plan.toml").write_text("rank = 16\n")
    return folder


def night(home: Home, store: Store, names: list[str], text: str) -> int:
    """A whole night: run, version, pointer, and its page."""
    run = run_of(store, names)
    number = conclude(home, store, run, candidate(home, run, text))
    shelf.look(home, store, run)
    return number


def conclude(home: Home, store: Store, run: int, folder: Path) -> int:
    """As `cycle` ends a promoted night, step by step."""
    version = versions.register(
        home, store, folder, base_sha=BASE, status="promoted", scale=0.9, run_id=run,
        note="it knew more", clock=clock(),
    )  # fmt: skip
    forget.allow(store, run, version.number)
    versions.promote(home, store, version)
    forget.settle(home, store)
    runs.finish(store, run, Outcome.PROMOTED, version=version.number, clock=clock())
    return version.number


def old_schema(root: Path) -> Place:
    """A home whose database an earlier version wrote."""
    place = Place(root)
    home = place.home.create()
    place.folder.mkdir(parents=True)
    connection = driver.connect(home.database)
    connection.execute("PRAGMA journal_mode=WAL")
    from sqlite_utils import Database

    old = Database(connection)
    for step in MIGRATIONS[:OLD_SCHEMA]:
        step(old)
    connection.execute(f"PRAGMA user_version={OLD_SCHEMA}")
    connection.execute(
        "INSERT INTO root(path, learn, added_at) VALUES(?, 1, ?)", (str(place.folder), iso(NOON))
    )
    for number, (name, text) in enumerate(FILES.items(), start=1):
        (place.folder / name).write_text(text)
        connection.execute(
            "INSERT INTO document(root_id, path, size, mtime_ns, sha256, status, updated_at) "
            "VALUES(1, ?, ?, 1, ?, 'indexed', ?)",
            (name, len(text), hashlib.sha256(text.encode()).hexdigest(), iso(NOON)),
        )
        connection.execute(
            "INSERT INTO chunk(document_id, ordinal, title, text, safe, locator) "
            "VALUES(?, 0, ?, ?, ?, ?)",
            (number, name, text, text, documents.locator_to_json(Locator(name))),
        )
    connection.close()
    return place


# -- what must be true -----------------------------------------------------------------------------


def recover(home: Home) -> Store:
    """What any start does, unattended. Raises what a start would raise."""
    moving.opened(home)
    store = open_store(home.database)
    forget.settle(home, store)
    return store


def _told(home: Home, store: Store) -> str:
    """A page of a night that names a file which was forgotten, in words."""
    gone = {row["path"] for row in store.rows("SELECT path FROM forgotten")} - {""}
    for page in sorted(home.runs.glob(f"*/{shelf.PAGE}")):
        text = page.read_text("utf-8")
        for path in gone:
            if path in text:
                return f"the page of night {page.parent.name} names {path}, which was forgotten"
    return ""


def broken(home: Home, store: Store, *, embedded: bool = False) -> str:
    """The first thing that is wrong with a home, in words; empty when all holds."""
    with store.lock:
        if why := snapshot.unsound(store.db.conn):
            return f"database: {why}"
    if why := _told(home, store):
        return why
    if why := health.full_text(store):
        return f"full text: {why}"
    if bad := health.bad_vectors(store):
        return f"vectors: {bad}"
    if embedded and (left := documents.without_any_vector(store)):
        return f"{left} passages without a vector"
    try:
        present = pointer.read(home)
    except Exception as error:
        return f"pointer: {error}"
    if present.version:
        row = rows.version(store, present.version)
        if row is None:
            return f"the pointer names version {present.version}, which is not in the database"
        if row.status not in ("promoted", "retired"):
            return f"version {present.version} is served and {row.status}"
        if why := versions.damaged(home, row):
            return f"version {present.version} is served and damaged: {why}"
    for row in rows.versions(store):
        if row.status != "blocked" and (why := versions.damaged(home, row)):
            return f"version {row.number}: {why}"
    for item in snapshot.listed(home.backups):
        if why := snapshot.problem_of(item):
            return f"backup {item.path.name}: {why}"
    return ""


def facts(home: Home, store: Store) -> dict[str, Any]:
    """What a home knows, without times and counters: units that an operation changes as a whole."""
    found: dict[str, Any] = {}
    written = pairs.all_pairs(store)
    for item in documents.documents(store):
        chunks = documents.chunks_of(store, item.id)
        ids = {chunk.id for chunk in chunks}
        asked = [pair.question for pair in written if set(pair.chunk_ids) & ids]
        texts = [chunk.text for chunk in chunks]
        found[f"file {item.path}"] = [item.sha256, item.status.value, texts, asked]
    found["versions"] = {str(v.number): [v.status, v.sha256] for v in rows.versions(store)}
    found["runs"] = {str(r.id): r.outcome.value for r in runs.runs(store)}
    found["receipts"] = store.column("SELECT kind || ' ' || target FROM receipt ORDER BY id")
    found["roots"] = [Path(root.path).name for root in documents.roots(store)]
    present = pointer.read(home)
    found["pointer"] = [present.version, present.scale, list(present.history)]
    return found


def digest(home: Home) -> str:
    """Every byte of a home but locks and SQLite's shared memory: a second recovery changes none."""
    found = hashlib.sha256()
    for path in sorted(home.root.rglob("*")):
        if path.is_file() and not path.name.endswith((".lock", "-shm", "-wal")):
            found.update(f"{path.relative_to(home.root)}\0".encode())
            found.update(path.read_bytes())
    return found.hexdigest()
