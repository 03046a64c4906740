"""Promote, use, roll back. None of these loads a model: they check hashes and move the pointer."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from nightschool.clock import Clock, SystemClock, iso
from nightschool.errors import NightschoolError, NotFound, Refused, StoreError
from nightschool.paths import Home
from nightschool.records import Version
from nightschool.registry import pointer
from nightschool.store import atomic
from nightschool.store import versions as rows
from nightschool.store.db import Store

ADAPTER = "adapter.gguf"
MANIFEST = "manifest.json"
HISTORY = 50
"""How many earlier pointers rollback can walk through."""


def register(
    home: Home,
    store: Store,
    candidate: Path,
    *,
    base_sha: str,
    status: str,
    scale: float,
    run_id: int,
    note: str = "",
    clock: Clock | None = None,
) -> Version:
    """Turn a candidate directory into the next immutable version (not yet served).

    The copy is made under a temporary name, synced, and renamed; the manifest, written last,
    carries the adapter's SHA-256. Raises StoreError when the disk is full (nothing is left
    behind).
    """
    clock = clock or SystemClock()
    # A directory that a crash left without a row must not be overwritten or adopted.
    taken = [int(p.name[1:]) for p in home.versions.glob("v*") if p.name[1:].isdigit()]
    number = max([rows.next_number(store), *(n + 1 for n in taken)])
    target = home.versions / f"v{number}"
    temporary = home.versions / f".v{number}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for source in sorted(candidate.iterdir()):
            if source.is_file() and source.name != MANIFEST:
                shutil.copy2(source, temporary / source.name)
                atomic.sync_file(temporary / source.name)
        digest = sha256(temporary / ADAPTER)
        created = iso(clock.now())
        manifest = {
            "version": number,
            "base_sha": base_sha,
            "adapter_sha": digest,
            "scale": scale,
            "run": run_id,
            "created_at": created,
            "files": {path.name: sha256(path) for path in sorted(temporary.iterdir())},
        }
        atomic.write_bytes(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
        temporary.rename(target)
        atomic.sync_directory(home.versions)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StoreError(
            f"Cannot store version {number}: {error.strerror or error}.",
            "Free some space; the night's result is still in its run directory.",
        ) from error
    version = Version(
        number=number,
        base_sha=base_sha,
        status=status,
        created_at=created,
        scale=scale,
        run_id=run_id,
        sha256=digest,
        directory=target.relative_to(home.root).as_posix(),
        note=note,
    )
    rows.add(store, version, clock=clock)
    return version


def use(home: Home, store: Store, number: int, *, base_sha: str = "") -> Version:
    """Serve version `number` (0 = the base) from the next request on.

    Raises NotFound when there is no such version, Refused when it is blocked, failed its exams,
    belongs to another base model than `base_sha` (checked when given), or its file was changed.
    """
    present = pointer.read(home) if _pointer_is_sound(home) else pointer.Pointer()
    finish_rollback(store, present)
    if number == 0:
        base = Version(0, base_sha or present.base_sha, "base", "", current=True)
        _move(home, present, base)
        return base
    version = rows.version(store, number)
    if version is None:
        raise NotFound(f"There is no version {number}.", "See `nightschool versions`.")
    if version.status not in ("promoted", "retired"):
        raise Refused(
            f"Version {number} is {version.status}: {version.note or 'it did not pass its exams'}.",
            "Only versions that passed their exams can be served; see `nightschool versions`.",
        )
    if base_sha and version.base_sha != base_sha:
        raise Refused(
            f"Version {number} was fitted to another base model.",
            "Switch back to that model first (`nightschool model use`), or learn again.",
        )
    verify(home, version)
    _move(home, present, version)
    return replace(version, current=True)


def rollback(home: Home, store: Store) -> Version:
    """Serve what was served before. Raises Refused when there is nothing to go back to.

    The pointer moves first; a kill before the status follows is made good by `finish_rollback`.
    """
    present = pointer.read(home)
    history = list(present.history)
    while history:
        number = history.pop()
        if number == present.version:
            continue  # a forgetting had gone back to it already
        version = rows.version(store, number) if number else None
        if number and (version is None or version.status not in ("promoted", "retired")):
            continue  # blocked or forgotten meanwhile: never come back to it
        if number and version is not None and version.base_sha != present.base_sha:
            continue
        if version is not None and not _whole(home, version):
            continue
        target = version or Version(0, present.base_sha, "base", "", current=True)
        moved = replace(_pointer(target, tuple(history)), left=present.version)
        pointer.write(home, moved)
        finish_rollback(store, moved)
        return replace(target, current=True)
    if present.version:  # all that came before is gone or damaged: the base is always there
        return use(home, store, 0)
    raise Refused(
        "There is nothing to roll back to: the base model is being served.",
        "Promoted versions appear in `nightschool versions`.",
    )


def finish_rollback(store: Store, present: pointer.Pointer) -> None:
    """The version that a rollback left is retired, also when a kill came between. Idempotent."""
    row = rows.version(store, present.left) if present.left else None
    if row is not None and row.status == "promoted":
        rows.set_status(store, present.left, "retired", "rolled back by the user")


def promote(home: Home, store: Store, version: Version) -> None:
    """Serve a freshly registered version; its row and files are already complete."""
    verify(home, version)
    present = pointer.read(home) if _pointer_is_sound(home) else pointer.Pointer()
    finish_rollback(store, present)
    _move(home, present, version)


def verify(home: Home, version: Version) -> Path:
    """The adapter file of a version, after its hash was checked.

    Raises Refused when the file is missing or is not the one that passed its exams.
    """
    path = home.root / version.directory / ADAPTER
    if not path.is_file():
        raise Refused(
            f"The adapter of version {version.number} is missing.",
            "Roll back, or learn again.",
        )
    if sha256(path) != version.sha256:
        raise Refused(
            f"The adapter of version {version.number} was changed after its exams.",
            "Roll back, or learn again.",
        )
    return path


def damaged(home: Home, version: Version) -> str:
    """What is wrong with a version's files, in words; empty when they are those of its exams.

    Compares every file with the hashes of the manifest, and the manifest with the database's row.
    """
    folder = home.root / version.directory
    try:
        verify(home, version)
        told = manifest(home, version.number)
        facts = {
            "version": version.number,
            "base_sha": version.base_sha,
            "adapter_sha": version.sha256,
            "scale": version.scale,
            "run": version.run_id,
            "created_at": version.created_at,
        }
        for name, value in facts.items():
            if name in told and told[name] != value:
                return f"its {MANIFEST} says another {name} than the database"
        for name, digest in dict(told.get("files", {})).items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if sha256(folder / name) != digest:
                return f"{name} was changed"
    except NightschoolError as error:
        return error.message
    except (OSError, ValueError, TypeError) as error:
        return f"it cannot be read: {error}"
    return ""


def fits(candidate: Path, base_sha: str) -> None:
    """Raises Refused for a candidate without manifest, changed since, or of another base."""
    try:
        named = json.loads((candidate / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(
            f"{candidate} has no readable manifest: its origin is unknown.",
            "Only adapters that Nightschool trained can be examined.",
        ) from error
    if named.get("base_sha") != base_sha:
        raise Refused(
            f"The adapter was fitted to another base model "
            f"({str(named.get('base_sha'))[:12]}…, this one is {base_sha[:12]}…).",
            "Adapters fit only the base they were trained on; learn again on this one.",
        )
    if named.get("adapter_sha") != sha256(candidate / ADAPTER):
        raise Refused("The adapter was changed after training.", "Learn again.")


def describe(home: Home, store: Store) -> list[Version]:
    """All versions, newest first, the base last; the served one is marked `current`."""
    present = pointer.read(home)
    found = [replace(v, current=v.number == present.version) for v in rows.versions(store)]
    return [*found, Version(0, present.base_sha, "base", "", current=present.version == 0)]


def manifest(home: Home, number: int) -> dict[str, Any]:
    """The manifest of a version. Raises NotFound when it is not there."""
    path = home.versions / f"v{number}" / MANIFEST
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotFound(f"Version {number} has no manifest.", "Run `nightschool doctor`.") from error
    return loaded


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _pointer_is_sound(home: Home) -> bool:
    try:
        pointer.read(home)
    except StoreError:
        return False
    return True


def _whole(home: Home, version: Version) -> bool:
    try:
        verify(home, version)
    except Refused:
        return False
    return True


def _pointer(version: Version, history: tuple[int, ...]) -> pointer.Pointer:
    return pointer.Pointer(
        version.number, version.base_sha, version.scale, version.directory, history[-HISTORY:]
    )


def _move(home: Home, present: pointer.Pointer, version: Version) -> None:
    history = present.history
    if version.number != present.version:
        history = (*history, present.version)
    pointer.write(home, _pointer(version, history))
