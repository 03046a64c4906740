"""Looks at the files of a home, one finding each, and knows how to mend what it finds.

A finding that can be mended carries its repair; nothing is repaired unless somebody calls it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightschool.errors import StoreError
from nightschool.paths import Home
from nightschool.registry import forget, pointer, rescue, tombstones, versions
from nightschool.registry.leftovers import torn
from nightschool.store import documents, snapshot
from nightschool.store import health as database
from nightschool.store import versions as rows
from nightschool.store.db import Store

REPAIR = "Run `nightschool doctor --repair`."
IN_USE_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `repair` mends it and says what it did; None: it cannot be."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    repair: Callable[[], str] | None = None


def sound_database(home: Home) -> Finding:
    """The database file as SQLite sees it. Needs no open store."""
    why = database.damage(home.database)
    empty = not home.database.exists() or not home.database.stat().st_size
    if empty and (snapshot.listed(home.backups) or home.pointer.exists()):
        why = "it is missing or empty, though it was there"
    if why:
        return Finding(
            "database", False, f"{home.database} is damaged: {why}.", REPAIR,
            lambda: _mend_database(home, why),
        )  # fmt: skip
    size = home.database.stat().st_size / 1e6 if home.database.exists() else 0.0
    return Finding("database", True, f"{size:.1f} MB, sound")


def _mend_database(home: Home, why: str) -> str:
    """What is made from the rest is made again; only what cannot be is taken from a backup."""
    said = database.mend_derived(home.database)
    if said and not database.damage(home.database):
        return said
    return rescue.database(home, why)


def backups(home: Home) -> Finding:
    """Whether each backup can be restored."""
    present = snapshot.listed(home.backups)
    bad = [(item, why) for item in present if (why := snapshot.problem_of(item))]
    if bad:
        named = "; ".join(f"{item.path.name}: {why}" for item, why in bad)
        return Finding(
            "backups", False, f"{len(bad)} of {len(present)} cannot be restored: {named}.", REPAIR,
            lambda: _aside(home, [item.path for item, _ in bad], f"Damaged backups: {named}"),
        )  # fmt: skip
    if not present:
        return Finding("backups", True, "none yet: the service makes one a day")
    when = snapshot.about(present[0])["at"]
    return Finding("backups", True, f"{len(present)}, the newest of {when or 'an unknown time'}")


def leftovers(home: Home) -> Finding:
    """Temporary files of something that was cut off; those of the last minute may be in use."""
    now = time.time()
    found = [path for path in torn(home) if abs(now - path.lstat().st_mtime) > IN_USE_S]
    if not found:
        return Finding("leftovers", True, "none")
    names = ", ".join(path.relative_to(home.root).as_posix() for path in found[:5])
    return Finding(
        "leftovers", False, f"{len(found)} left by something that was cut off: {names}.",
        f"They only take room. {REPAIR}", lambda: _delete(found),
    )  # fmt: skip


def version_files(home: Home, store: Store) -> Finding:
    """Every version's files against the hashes of its manifest, and folders that nobody knows."""
    bad: list[tuple[int, str]] = []
    known: set[str] = set()
    for version in rows.versions(store):
        known.add(version.directory)
        if version.directory and (why := versions.damaged(home, version)):
            if version.status == "blocked" and not (home.root / version.directory).exists():
                continue  # a vacuum that was cut off; the next one goes on
            bad.append((version.number, f"version {version.number}: {why}"))
    strange = [
        path
        for path in sorted(home.versions.iterdir())
        if not path.name.startswith(".") and f"{home.versions.name}/{path.name}" not in known
    ]
    count = len(known - {""})
    if bad:
        return Finding(
            "version files", False, "; ".join(text for _, text in bad) + ".",
            f"A damaged version is not served; learn again. {REPAIR}",
            lambda: _retire(home, store, [number for number, _ in bad]),
        )  # fmt: skip
    if strange:
        names = ", ".join(path.name for path in strange)
        return Finding(
            "version files", False, f"In versions/ lies what the database does not know: {names}.",
            REPAIR, lambda: _aside(home, strange, f"Versions without a record: {names}"),
        )  # fmt: skip
    return Finding("version files", True, f"{count} stored, as their manifests say")


def served(home: Home, store: Store) -> Finding:
    """Whether the pointer names a version that is there, whole, and passed its exams."""
    repair = lambda: rescue.serve_good(home, store) or "Nothing had to be done."  # noqa: E731
    try:
        present = pointer.read(home)
    except StoreError as error:
        return Finding(
            "served version", False, f"{error.message} The base answers.", REPAIR, repair
        )
    if not present.version:
        return Finding("served version", True, "base")
    row = rows.version(store, present.version)
    why = ""
    if row is None:
        why = "is not in the database"
    elif row.status not in ("promoted", "retired"):
        why = f"is {row.status}"
    elif (present.base_sha, present.scale, present.directory) != (
        row.base_sha, row.scale, row.directory,
    ):  # fmt: skip
        why = "is not as the database knows it"
    elif damage := versions.damaged(home, row):
        why = f"is damaged: {damage}"
    if why:
        return Finding(
            "served version", False, f"Version {present.version} {why}. The base answers.",
            f"`nightschool rollback`, or: {REPAIR}", repair,
        )  # fmt: skip
    return Finding("served version", True, f"version {present.version}")


def forgotten(home: Home, store: Store) -> Finding:
    """The list of what must stay away, outside the database."""

    def repair() -> str:
        tombstones.mirror(home, store)
        return "Written again from the database."

    try:
        count = len(tombstones.read(home))
    except StoreError as error:
        return Finding("forgotten files", False, error.message, REPAIR, repair)
    if lost := tombstones.lost(home, store):
        return Finding(
            "forgotten files", False, f"{len(lost)} are not forgotten in this database.",
            REPAIR, lambda: _forget_again(home, store),
        )  # fmt: skip
    return Finding("forgotten files", True, f"{count} kept away")


def search_cache(home: Home, store: Store) -> Finding:
    """The FAISS file against its sidecar; a stale one is well, it is brought in step."""
    bad: list[Path] = []
    stale = 0
    for sidecar in sorted(home.index.glob("*.json")):
        data = sidecar.with_suffix(".faiss")
        try:
            told = json.loads(sidecar.read_text(encoding="utf-8"))
            ours = told["store"] == documents.identity(store)
            stale += not ours or int(told["generation"]) != documents.generation(store)
            if _sha256(data) != told["sha256"]:
                bad += [sidecar, data]
        except (OSError, ValueError, KeyError, TypeError):
            bad += [sidecar, data]
    lone = [p for p in sorted(home.index.glob("*.faiss")) if not p.with_suffix(".json").exists()]
    if bad or lone:
        names = ", ".join(dict.fromkeys(path.name for path in [*bad, *lone]))
        return Finding(
            "search cache", False, f"Damaged: {names}.", f"It is built again by itself. {REPAIR}",
            lambda: _delete([*bad, *lone]) + " It is built again at the next search.",
        )  # fmt: skip
    return Finding("search cache", True, "stale: the next search renews it" if stale else "whole")


def built_models(home: Home) -> Finding:
    """Converted encoders against the hash beside them; a damaged one is built again."""
    bad = []
    for sidecar in sorted(home.models.glob("*.gguf.json")):
        data = sidecar.with_name(sidecar.name.removesuffix(".json"))
        try:
            if _sha256(data) != json.loads(sidecar.read_text(encoding="utf-8"))["sha256"]:
                bad += [sidecar, data]
        except (OSError, ValueError, KeyError, TypeError):
            bad += [sidecar, data]
    if bad:
        names = ", ".join(path.name for path in bad)
        return Finding(
            "encoders", False, f"Damaged: {names}.", f"They can be made again. {REPAIR}",
            lambda: _delete(bad) + " They are made again when they are needed.",
        )  # fmt: skip
    return Finding("encoders", True, "whole")


def rotten_notes(home: Home, store: Store) -> Finding:
    """Remembered notes whose bytes changed while their time did not: the disk is failing."""
    bad = []
    for root in documents.roots(store):
        if Path(root.path) not in (home.notes, home.notes.resolve()):
            continue
        for path, item in documents.known(store, root.id).items():
            with contextlib.suppress(OSError):
                file = Path(root.path) / path
                found = file.stat()
                written = found.st_mtime_ns != item.mtime_ns or not item.sha256
                if not written and (found.st_size != item.size or _sha256(file) != item.sha256):
                    bad.append(path)
    if bad:
        return Finding(
            "notes", False, f"Changed without being written: {', '.join(bad)}.",
            "The disk may be failing: restore them from a backup of yours.",
        )  # fmt: skip
    return Finding("notes", True, "as they were read")


def full_text(store: Store) -> Finding:
    """Whether each passage is found by its words."""
    if why := database.full_text(store):

        def repair() -> str:
            database.rebuild_full_text(store)
            return "Made again from the passages."

        return Finding("full text", False, f"It is not as the passages: {why}.", REPAIR, repair)
    return Finding("full text", True, "as the passages")


def vectors(store: Store) -> Finding:
    """Whether each vector can be one."""
    if bad := database.bad_vectors(store):

        def repair() -> str:
            database.drop_vectors(store, bad)
            return f"{len(bad)} dropped, to be made again."

        return Finding("vectors", False, f"{len(bad)} are damaged.", REPAIR, repair)
    return Finding("vectors", True, "sound")


def rows_as_before(home: Home, store: Store) -> Finding:
    """Whether what is written once is as in the newest good backup."""
    backup = rescue.newest_good(home)
    if backup is None:
        return Finding("records", True, "no backup to compare them with")
    found = database.changed(store, backup)
    if found:
        named = ", ".join(f"{len(keys)} of {table}" for table, keys in found.items())

        def repair() -> str:
            database.mend(store, backup, found)
            return (
                f"Files are read again, vectors made again, records taken from backup "
                f"{backup.sequence}."
            )

        return Finding(
            "records", False, f"Changed since backup {backup.sequence}, though never written "
            f"again: {named}.", REPAIR, repair,
        )  # fmt: skip
    return Finding("records", True, f"as in backup {backup.sequence}")


def _forget_again(home: Home, store: Store) -> str:
    forget.settle(home, store)
    return "Forgotten again."


def _retire(home: Home, store: Store, numbers: list[int]) -> str:
    """Damaged versions are not offered any more; their files move aside with what is whole."""
    named = ", ".join(f"v{number}" for number in numbers)
    present = [home.versions / f"v{number}" for number in numbers]
    for number in numbers:
        rows.set_status(store, number, "blocked", "its files are damaged (doctor)")
        rows.clear_directory(store, number)
    said = _aside(home, present, f"Damaged versions: {named}")
    return f"{said} {rescue.serve_good(home, store)}".strip()


def _aside(home: Home, paths: list[Path], why: str) -> str:
    folder = rescue.aside(home, paths, why)
    return f"Moved to {folder.relative_to(home.root).as_posix()}."


def _delete(paths: list[Path]) -> str:
    """Only what can be made again, or was never finished."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return f"{len(paths)} removed."


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
