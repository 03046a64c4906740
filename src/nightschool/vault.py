"""The keys of an encrypted stick, and its personal files: sealed on the stick, open in memory.

A passphrase opens `key.age` (age's scrypt, about a second); inside are the database's key and an
age identity for files, both random. A running session holds them in memory and hands them to its
own children over a socket (a pipe on Windows) in a folder that only this user can enter.

The sealed tree is a table of files, `sealed/table.age`, over blobs with random names: what is
written first are new blobs, then the table in one step, so a stick that is pulled out holds the
old state or the new one. Names are sealed too.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from nightschool.errors import Refused, StoreError, of_disk
from nightschool.paths import HOST_VARIABLE, Stick, stick

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

KEY = "key.age"
SEALED = "sealed"
TABLE = "table.age"
LEFT_OUT = ("logs", "scratch")
"""Folders of the home that live in memory only."""
TRIES = 5
"""So often a tree that changes while it is read is read anew."""


@dataclass(frozen=True, slots=True)
class Keys:
    """`database`: 64 hex digits for SQLCipher; `files`: an age identity."""

    database: str
    files: str


def create(passphrase: str) -> tuple[Keys, bytes]:
    """New keys, and them wrapped with a passphrase. Raises Refused when it is too short."""
    import pyrage

    if len(passphrase) < 8:
        raise Refused(
            "The passphrase has fewer than 8 characters.", "Several words in a row are a good one."
        )
    keys = Keys(secrets.token_hex(32), str(pyrage.x25519.Identity.generate()))
    return keys, pyrage.passphrase.encrypt(json.dumps(asdict(keys)).encode(), passphrase)


def unlock(place: Stick, passphrase: str) -> Keys:
    """The keys of a stick. Raises Refused for a wrong passphrase, and touches nothing."""
    import pyrage

    try:
        wrapped = (place.disk / KEY).read_bytes()
        return Keys(**json.loads(pyrage.passphrase.decrypt(wrapped, passphrase)))
    except pyrage.DecryptError as error:
        raise Refused(
            "That is not the passphrase of this stick; nothing was touched.", "Try again."
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            f"{place.disk / KEY} is missing or damaged: {error}.",
            "Without it nothing on the stick can be read; put it back from a backup.",
        ) from error


# -- the session and its children ------------------------------------------------------------------


def _address(place: Stick) -> str:
    if os.name == "nt":
        return rf"\\.\pipe\{place.host.name}"
    return str(place.host / "keys")


class Agent:
    """Hands the keys to processes of this user, as long as the session runs."""

    def __init__(self, place: Stick, keys: Keys) -> None:
        from multiprocessing.connection import Listener

        self._said = json.dumps(asdict(keys)).encode()
        self._listener = Listener(_address(place))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Forget them; who asks later is refused."""
        self._said = b""
        self._listener.close()

    def _serve(self) -> None:
        while self._said:
            with contextlib.suppress(OSError, EOFError):
                connection: Connection = self._listener.accept()
                connection.send_bytes(self._said)
                connection.close()


@lru_cache(maxsize=4)
def keys(place: Stick) -> Keys:
    """The keys, from the running session. Raises Refused when there is none."""
    from multiprocessing.connection import Client

    try:
        with Client(_address(place)) as connection:
            return Keys(**json.loads(connection.recv_bytes(4096)))
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise Refused(
            "This stick is locked.", "Start Nightschool with the launcher on the stick."
        ) from error


# -- the sealed tree -------------------------------------------------------------------------------

State = dict[str, tuple[int, int]]
"""Size and mtime (ns) by relative POSIX path."""


def seal(place: Stick, tree: Path, using: Keys | None = None) -> int:
    """Bring the stick in step with the files below `tree`; the number of blobs written.

    Raises StoreError when the stick is full or gone: then it holds the state from before.
    """
    import pyrage

    using = using or keys(place)
    identity = pyrage.x25519.Identity.from_str(using.files)
    sealed = place.disk / SEALED
    with FileLock(place.host / "seal.lock", mode=0o600), _of_stick(place):
        sealed.mkdir(exist_ok=True)
        table = _table(sealed, identity)
        blobs = {str(item["blob"]) for item in table.values()}
        made = table
        for _ in range(TRIES):
            before = state(tree)
            made = _blobs(tree, sealed, before, table | made, identity)
            if state(tree) == before:
                break
        if made == table:
            return 0
        _write(sealed / TABLE, pyrage.encrypt(json.dumps(made).encode(), [identity.to_public()]))
        present = {str(item["blob"]) for item in made.values()}
        for left in (*sealed.glob("*.age"), *sealed.glob("*.tmp")):
            if left.name != TABLE and left.name not in present:
                left.unlink(missing_ok=True)
        return len(present - blobs)


Table = dict[str, dict[str, object]]


def _blobs(tree: Path, sealed: Path, there: State, old: Table, identity: object) -> Table:
    import pyrage

    made: Table = {}
    for name, (size, mtime) in there.items():
        known = old.get(name)
        if known and (known["size"], known["mtime"]) == (size, mtime):
            made[name] = known
            continue
        with contextlib.suppress(FileNotFoundError):  # gone since: the next look sees that too
            data = (tree / name).read_bytes()
            blob = f"{secrets.token_hex(12)}.age"
            _write(sealed / blob, pyrage.encrypt(data, [identity.to_public()]))  # type: ignore[attr-defined]
            made[name] = {"size": size, "mtime": mtime, "blob": blob}
    return made


def push(path: Path) -> None:
    """Something was committed at `path`: on an encrypted stick it is sealed before we go on.

    Elsewhere it does nothing. Raises StoreError when the stick is full or gone.
    """
    if HOST_VARIABLE not in os.environ:
        return
    for folder in (path, *path.parents):
        place = stick(folder)
        if place is not None:
            if place.root != place.disk:
                seal(place, folder)
            return


def unseal(place: Stick, tree: Path, using: Keys) -> int:
    """Open the sealed files below `tree`; how many. Raises StoreError when one is damaged."""
    import pyrage

    identity = pyrage.x25519.Identity.from_str(using.files)
    sealed = place.disk / SEALED
    with _of_stick(place):
        table = _table(sealed, identity)
        for name, item in table.items():
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                data = pyrage.decrypt((sealed / str(item["blob"])).read_bytes(), [identity])
            except (pyrage.DecryptError, FileNotFoundError) as error:
                raise StoreError(
                    f"A sealed file of this stick ({name}) is damaged: {error}.",
                    "Copy the stick's folder `sealed` from a backup.",
                ) from error
            target.write_bytes(data)
            mtime = int(str(item["mtime"]))
            os.utime(target, ns=(mtime, mtime))
        return len(table)


def _table(sealed: Path, identity: object) -> Table:
    import pyrage

    try:
        read: Table = json.loads(pyrage.decrypt((sealed / TABLE).read_bytes(), [identity]))
        return read
    except FileNotFoundError:
        return {}
    except (pyrage.DecryptError, ValueError) as error:
        raise StoreError(
            f"{sealed / TABLE} is damaged: {error}.",
            "Copy the stick's folder `sealed` from a backup.",
        ) from error


def state(tree: Path) -> State:
    """What is there to be sealed; equal states need no sealing."""
    found: State = {}
    for folder, names, files in os.walk(tree):
        if Path(folder) == tree:
            names[:] = [name for name in names if name not in LEFT_OUT]
        for name in files:
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if not name.endswith(".lock"):
                    status = path.stat()
                    found[path.relative_to(tree).as_posix()] = (status.st_size, status.st_mtime_ns)
    return found


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())
    temporary.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _of_stick(place: Stick) -> Iterator[None]:
    """Only this very stick is written; what the disk refuses is said in words."""
    if not place.present:
        raise StoreError(
            f"The stick is not at {place.disk} any more.", "Put it back and start again."
        )
    try:
        yield
    except OSError as error:
        raise of_disk(error) or StoreError(
            f"The stick cannot be read or written: {error.strerror or error}.",
            "Put it back, or free some space on it, and start again.",
        ) from error
