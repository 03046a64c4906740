"""`import`: take an archive into this home, whole or not at all.

Everything is unpacked into `.import` inside the home and checked there: names, sizes, hashes, the
database. Then one small file, `import.json`, is put in place: from that moment the import is done,
and what remains, moving what was here into the quarantine and the new files to their places, is
finished by whoever opens the home next (`resume`), however often it is cut off.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nightschool.errors import Refused, StoreError, UsageError, of_disk
from nightschool.paths import Home
from nightschool.registry import archive, rescue, tombstones
from nightschool.registry.archive import DATABASE, SINGLE, TOPS, Member
from nightschool.store import driver, moved, snapshot
from nightschool.store.atomic import sync_directory, sync_file, write_bytes

SPARE = 64 << 20
"""Free bytes that an import leaves on the disk."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in. `missing` are folders that are not on this computer: their index is kept;
    `models` must be added by hand; `before` is where the former content of the home lies."""

    files: int
    versions: int
    roots: tuple[str, ...]
    missing: tuple[str, ...]
    models: tuple[str, ...]
    before: str = ""


def take_in(
    home: Home,
    source: Path,
    *,
    passphrase: str = "",
    mapped: Mapping[str, str] | None = None,
    force: bool = False,
) -> Imported:
    """Import `source`. Nobody else may use the home; its store must be closed.

    `mapped` says where folders lie on this computer (old path → new path, or the beginning of
    both). Raises Refused for a foreign, damaged, newer or dangerous archive and for a home in use
    (unless `force`), StoreError when the disk is full; then nothing has changed.
    """
    archive.plain(home)
    resume(home)
    if not force and (said := _in_use(home)):
        raise Refused(
            f"This home is not empty: {said}.",
            "Choose another with --home, or replace it with --force (what is here moves to "
            "quarantine).",
        )
    staging = home.staging
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        told, members = _unpack(source, staging, passphrase)
        roots = _prepare(home, staging, told, mapped or {})
        names = sorted(path.name for path in staging.iterdir())
        journal = {
            "why": f"Before the import of {source.name}", "from": staging.name, "names": names,
        }  # fmt: skip
        for folder in (*(path for path in staging.rglob("*") if path.is_dir()), staging):
            sync_directory(folder)
        write_bytes(home.importing, json.dumps(journal).encode())
    except (OSError, tarfile.TarError, EOFError) as error:
        _undecided(home)
        if isinstance(error, OSError) and error.errno is not None:
            raise of_disk(error) or StoreError(
                f"{source} cannot be imported: {error.strerror or error}.", "Nothing was changed."
            ) from error
        raise Refused(f"{source} is damaged: {error}.", "Export it again.") from error
    except BaseException:
        _undecided(home)
        raise
    before = resume(home)
    return Imported(
        files=len(members),
        versions=len({m.name.split("/")[1] for m in members if m.name.startswith("versions/")}),
        roots=tuple(roots),
        missing=tuple(path for path in roots if not Path(path).is_dir()),
        models=tuple(item["name"] for item in told.get("models", []) if not item["in_archive"]),
        before=before,
    )


def _undecided(home: Home) -> None:
    """Back to before: first the decision (its sync may have failed after it was written)."""
    if home.importing.exists():  # a read-only disk refuses even to take away what is not there
        home.importing.unlink()
    shutil.rmtree(home.staging, ignore_errors=True)


def opened(home: Home) -> Home:
    """The home with its folders, and with an import that was cut off finished."""
    resume(home.create())
    return home


def resume(home: Home) -> str:
    """Finish an import that was decided; where the former content lies, empty when there was none.

    Idempotent and cheap: one look for one file.
    """
    journal = home.importing
    if not journal.exists():
        return ""
    try:
        told = json.loads(journal.read_text(encoding="utf-8"))
        staging = home.root / str(told["from"])
        aside = home.quarantine / str(told["aside"]) if "aside" in told else None
        if aside is None:
            aside = rescue.room(home, str(told["why"]))
            write_bytes(journal, json.dumps(told | {"aside": aside.name}).encode())
        for name in (*SINGLE, *TOPS) if staging.exists() else ():
            _exchange(home, staging, aside, name, expected=name in told["names"])
        for stale in (home.index, home.runs, home.backups):
            _away(stale, aside)
        sync_directory(home.root)
        shutil.rmtree(staging, ignore_errors=True)
        journal.unlink()
        sync_directory(home.root)
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"The import into {home.root} cannot be finished: {error}.",
            "Free some space and check permissions; the next start goes on.",
        ) from error
    home.create()
    if {path.name for path in aside.iterdir()} <= {"why.txt"}:
        shutil.rmtree(aside)
        return ""
    return str(aside)


def _exchange(home: Home, staging: Path, aside: Path, name: str, *, expected: bool) -> None:
    """Move what is here aside, then what is new in; again after a kill, until nothing is left."""
    new = staging / name
    if expected and not new.exists():
        return  # done before
    here = archive.place(home, name)
    for ending in ("-wal", "-shm", "-journal") if name == DATABASE else ():
        # First the log: SQLite would apply it to whatever database it finds beside it.
        _away(here.with_name(here.name + ending), aside)
    _away(here, aside)
    sync_directory(here.parent)
    if expected:
        new.rename(here)
        sync_directory(here.parent)


def _away(here: Path, aside: Path) -> None:
    """Into the quarantine, under a name that is free there; an empty folder just goes."""
    if here.is_dir() and not any(here.iterdir()):
        here.rmdir()
    elif here.exists():
        free = (aside / f"{here.name}{n or ''}" for n in range(1000))
        shutil.move(here, next(path for path in free if not path.exists()))


def _unpack(source: Path, staging: Path, passphrase: str) -> tuple[dict[str, Any], list[Member]]:
    """Every file that the manifest names, none else, checked while it is written."""
    try:
        body = archive.unsealed(source, passphrase) if archive.is_sealed(source) else None
        opened = tarfile.open(source, "r:", body)  # noqa: SIM115 (closed by `with` below)
    except (tarfile.TarError, EOFError) as error:
        raise Refused(
            f"{source} is no export of Nightschool.", "Make one with `nightschool export`."
        ) from error
    with opened as tar:
        told, members = archive.read_manifest(tar)
        wanted = {member.name: member for member in members}
        total = sum(member.size for member in members)
        if shutil.disk_usage(staging).free < total + SPARE:
            raise StoreError(
                f"The disk that holds {staging.parent} is full: the import needs "
                f"{(total + SPARE) / 1e6:.0f} MB.", "Free some space and try again.",
            )  # fmt: skip
        while (entry := tar.next()) is not None:
            member = wanted.pop(entry.name, None)
            if member is None or not entry.isreg() or entry.size != member.size:
                raise Refused(
                    f"{source} holds what its list does not name: {entry.name!r}.",
                    "Nothing was changed. Take only exports that Nightschool made.",
                )
            _write(tar, entry, member, staging)
        if wanted:
            raise Refused(
                f"{source} is cut off: {len(wanted)} files are missing.", "Export it again."
            )
    return told, members


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, member: Member, staging: Path) -> None:
    target = staging / member.name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    body = tar.extractfile(entry)
    assert body is not None
    with target.open("xb") as sink:
        while block := body.read(_BLOCK):
            digest.update(block)
            sink.write(block)
    target.chmod(0o600)
    if digest.hexdigest() != member.sha256:
        raise Refused(f"{member.name} in this export is damaged.", "Export it again.")
    sync_file(target)


def _prepare(
    home: Home, staging: Path, told: Mapping[str, Any], mapped: Mapping[str, str]
) -> list[str]:
    """Check the database, give it its new places and a name of its own; the watched folders."""
    database = staging / DATABASE
    with _refusing(database):
        with snapshot.reading(database) as connection:
            problem = snapshot.unsound(connection)
        if problem:
            raise Refused(f"The database in this export is damaged: {problem}.", "Export again.")
        places = {str(told["notes"]): str(home.notes)} if told.get("notes") else {}
        places |= {_absolute(old): _absolute(new) for old, new in mapped.items()}
        roots = moved.move(database, places)
        snapshot.rename(database)
    forgotten = staging / "forgotten.json"
    if forgotten.exists():
        with _refusing(forgotten):
            files = [
                replace(item, root=moved.moved(item.root, places))
                for item in tombstones.parsed(forgotten.read_bytes())
            ]
        forgotten.write_bytes(tombstones.written(files))
        sync_file(forgotten)
    sync_file(database)
    return roots


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    refused: tuple[type[Exception], ...] = (
        *driver.database_errors(), ValueError, KeyError, TypeError,
    )  # fmt: skip
    try:
        yield
    except refused as error:
        raise Refused(
            f"{path.name} in this export is damaged: {error}.", "Export again."
        ) from error


def _absolute(given: str) -> str:
    """As it was written: the old computer's folders cannot be looked at here."""
    return given.rstrip("/\\") or given


def _in_use(home: Home) -> str:
    """What would be replaced, in words; empty for a home that nobody used yet."""
    if home.versions.exists() and any(home.versions.iterdir()):
        return "it has versions"
    if home.notes.exists() and any(home.notes.iterdir()):
        return "it has notes"
    if home.config.exists():
        return "it has settings"
    if home.database.exists() and (count := moved.watched(home.database)):
        return f"it watches {count} folders"
    return ""


def parse_map(given: Sequence[str]) -> dict[str, str]:
    """`OLD=NEW` words. Raises UsageError."""
    found = {}
    for word in given:
        old, sign, new = word.partition("=")
        if not sign or not old or not new:
            raise UsageError(f"{word!r} does not say OLD=NEW.", "--map /home/me/Notes=/Users/me/N")
        found[old] = str(Path(new).expanduser().absolute())
    return found
