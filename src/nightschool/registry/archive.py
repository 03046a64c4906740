"""`export`: one file with all that another computer needs, and nothing that can be made again.

A plain tar (so nothing in it can unfold to more than it is) whose first member, `manifest.json`,
names every other one with size and SHA-256: a checked copy of the database, the pointer, settings,
versions, notes, models that were copied into the home, the list of what was forgotten. Not in it:
the token, logs, nights under way, caches, and models that lie elsewhere, which are described.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from nightschool import __version__
from nightschool.clock import Clock, SystemClock, iso
from nightschool.errors import Refused, StoreError, UsageError, of_disk
from nightschool.paths import Home
from nightschool.store import documents, snapshot, state
from nightschool.store import versions as rows
from nightschool.store.atomic import sync_directory
from nightschool.store.db import Store
from nightschool.store.migrations import MIGRATIONS

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "nightschool.db"
MOST_MANIFEST = 64 << 20
"""Bytes that a manifest may have: that of a hundred thousand notes has 15 MB."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What went into an archive: bytes, files, and models that must be brought along by hand."""

    path: str
    bytes: int
    files: int
    models: tuple[str, ...]
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive: its name there, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


SEALED = b"age-encryption.org/v1"
"""How a sealed archive begins: the age format with a passphrase (scrypt)."""
MOST_SEALED = 2 << 30
"""Bytes that are sealed at most: it happens in memory, so that nothing open touches the disk."""


def export(
    home: Home,
    store: Store,
    target: Path,
    *,
    passphrase: str = "",
    force: bool = False,
    clock: Clock | None = None,
) -> Exported:
    """Write the archive at `target`: whole, or not at all. The home may be in use meanwhile.

    With a passphrase it is sealed. Raises UsageError when there is a file already (unless
    `force`), StoreError when the database is damaged, a version's file is not the one of its
    exams, or the disk is full, Refused for a passphrase that is too short.
    """
    plain(home)
    target = target.expanduser().absolute()
    if target.exists() and not force:
        raise UsageError(f"{target} exists already.", "Choose another name, or say --force.")
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", "Name the file to write.")
    clock = clock or SystemClock()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    copy = home.root / f".export.{os.getpid()}.tmp"  # never open beside the target: a stick, say
    try:
        snapshot.write(store.db.conn, copy, {"reason": "export", "at": iso(clock.now())})
        members = [_member(DATABASE, copy), *_members(home, store)]
        manifest = _manifest(home, store, members, clock)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as sink:
            if passphrase:
                body = io.BytesIO()
                _write(home, copy, manifest, members, body)
                sink.write(_sealed(body.getvalue(), passphrase))
            else:
                _write(home, copy, manifest, members, sink)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        raise of_disk(error) or StoreError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Choose another place for it.",
        ) from error
    finally:
        for left in (temporary, copy, copy.with_name(copy.name + "-journal")):
            left.unlink(missing_ok=True)
    told = json.loads(manifest)
    elsewhere = tuple(item["name"] for item in told["models"] if not item["in_archive"])
    roots = tuple(item["path"] for item in told["roots"])
    return Exported(str(target), target.stat().st_size, len(members), elsewhere, roots)


def _write(home: Home, copy: Path, manifest: bytes, members: list[Member], sink: IO[bytes]) -> None:
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, io.BytesIO(manifest), len(manifest))
        for member in members:
            source = copy if member.name == DATABASE else place(home, member.name)
            with source.open("rb") as file:
                _add(tar, member.name, _Hashed(file, member), member.size)


def _sealed(body: bytes, passphrase: str) -> bytes:
    import pyrage

    if len(passphrase) < 8:
        raise Refused(
            "The passphrase has fewer than 8 characters.", "Several words in a row are a good one."
        )
    if len(body) > MOST_SEALED:
        raise Refused(
            f"{len(body) / 1e9:.1f} GB are too much to seal in memory.",
            "Export without --encrypt onto an encrypted disk, or remove models from the home.",
        )
    sealed: bytes = pyrage.passphrase.encrypt(body, passphrase)
    return sealed


def unsealed(source: Path, passphrase: str) -> IO[bytes]:
    """A sealed archive's content. Raises Refused for a wrong passphrase or a damaged file."""
    import pyrage

    try:
        return io.BytesIO(pyrage.passphrase.decrypt(source.read_bytes(), passphrase))
    except pyrage.DecryptError as error:
        raise Refused(
            f"That is not the passphrase of {source.name}, or the file is damaged.", "Try again."
        ) from error


def is_sealed(source: Path) -> bool:
    """Whether an archive needs a passphrase. Raises UsageError when there is no such file."""
    try:
        with source.open("rb") as file:
            return file.read(len(SEALED)) == SEALED
    except OSError as error:
        raise UsageError(
            f"{source} cannot be read: {error.strerror or error}.", "Check the path."
        ) from error


def read_manifest(tar: tarfile.TarFile) -> tuple[dict[str, Any], list[Member]]:
    """The first member and what it promises. Raises Refused for anything that is not ours."""
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MOST_MANIFEST:
        raise Refused("This is no export of Nightschool.", "Make one with `nightschool export`.")
    try:
        body = tar.extractfile(first)
        assert body is not None
        told: dict[str, Any] = json.loads(body.read())
        members = [
            Member(str(item["name"]), int(item["size"]), str(item["sha256"]))
            for item in told["files"]
        ]
        if int(told["format"]) > FORMAT or int(told["schema"]) > len(MIGRATIONS):
            raise Refused(
                f"This export was made by a newer Nightschool ({told.get('nightschool', '?')}).",
                "Update Nightschool on this computer first.",
            )
        names = [member.name for member in members]
        if len(set(names)) != len(names) or DATABASE not in names:
            raise ValueError("its list of files makes no sense")
        for member in members:
            safe(member.name)
            if member.size < 0 or len(member.sha256) != 64:
                raise ValueError(f"{member.name!r} has no proper size or hash")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"This export is damaged: {error}.", "Make it again.") from error
    return told, members


TOPS = ("versions", "notes", "models")
SINGLE = (DATABASE, "current.json", "config.toml", "forgotten.json")


def safe(name: str) -> str:
    """A name that stays where it belongs, on every system. Raises Refused."""
    parts = name.split("/")
    bad = (
        any(part in ("", ".", "..") for part in parts)
        or "\0" in name
        or (os.name == "nt" and any(sign in name for sign in "\\:"))
    )
    known = name in SINGLE or (len(parts) > 1 and parts[0] in TOPS)
    if bad or not known:
        raise Refused(
            f"This export holds a file that has no place here: {name!r}.",
            "Nothing was changed. Take only exports that Nightschool made.",
        )
    return name


def plain(home: Home) -> None:
    """Raises Refused for a home on an encrypted stick, which moves as a whole."""
    if home.stick is not None and home.stick.encrypted:
        raise Refused(
            "This home lies on an encrypted stick, and an export would not be encrypted.",
            "Copy the whole folder of the stick instead.",
        )


def place(home: Home, name: str) -> Path:
    """Where a member lies in a home."""
    if name == DATABASE:
        return home.database
    top, _, rest = name.partition("/")
    return home.models / rest if top == "models" else home.root / name


def _members(home: Home, store: Store) -> Iterator[Member]:
    for path in (home.pointer, home.config, home.forgotten):
        if path.is_file():
            yield _member(path.name, path)
    for version in rows.versions(store):
        folder = home.root / version.directory
        if version.directory and folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.is_file() and not path.is_symlink():
                    found = _member(f"versions/{folder.name}/{path.name}", path)
                    if path.name == "adapter.gguf" and found.sha256 != version.sha256:
                        raise StoreError(
                            f"Version {version.number} was changed after its exams.",
                            "Run `nightschool doctor --repair` first.",
                        )
                    yield found
    for path in sorted(home.notes.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield _member(f"notes/{path.relative_to(home.notes).as_posix()}", path)
    for item in _models(home, store):
        if item["in_archive"]:
            path = home.models / item["file"]
            yield _member(f"models/{item['file']}", path)


def _models(home: Home, store: Store) -> list[dict[str, Any]]:
    """The models that were added: those copied into the home go along, the others are described."""
    found = []
    hashes: dict[str, Any] = state.get(store, "models:hashes", {})
    for name, entry in sorted(state.get(store, "models:added", {}).items()):
        given = Path(entry["path"])
        here = given if given.is_absolute() else home.root / given
        inside = here.is_file() and here.parent == home.models
        entry_hash = hashes.get(str(here))
        found.append({
            "name": name,
            "source": entry.get("source", ""),
            "file": here.name,
            "size": here.stat().st_size if here.is_file() else 0,
            "sha256": str(entry_hash[2]) if entry_hash else "",
            "in_archive": inside,
        })  # fmt: skip
    return found


def _manifest(home: Home, store: Store, members: list[Member], clock: Clock) -> bytes:
    told = {
        "format": FORMAT,
        "nightschool": __version__,
        "schema": int(store.one("PRAGMA user_version")),
        "created_at": iso(clock.now()),
        "home": str(home.root),
        "notes": str(home.notes),
        "roots": [{"path": root.path, "learn": root.learn} for root in documents.roots(store)],
        "models": _models(home, store),
        "files": [asdict(member) for member in members],
    }
    return json.dumps(told, indent=1).encode()


def _member(name: str, path: Path) -> Member:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(name, file.tell(), digest)


def _add(tar: tarfile.TarFile, name: str, body: Any, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, 0
    tar.addfile(entry, body)


@dataclass
class _Hashed:
    """Reads a file and makes sure that it is still the one that the manifest names."""

    file: IO[bytes]
    member: Member

    def __post_init__(self) -> None:
        self._digest = hashlib.sha256()
        self._left = self.member.size

    def read(self, count: int = -1) -> bytes:
        data = self.file.read(self._left if count < 0 else min(count, self._left))
        self._digest.update(data)
        self._left -= len(data)
        if not self._left and self._digest.hexdigest() != self.member.sha256:
            raise StoreError(f"{self.member.name} changed while it was exported.", "Try again.")
        return data
