"""What `forget` took away, outside the database: no backup that is restored brings it back.

The file repeats the `forgotten` rows that a person asked for. A row that stands in the file and not
in the database means that an older database took the place of the one that knew it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from nightschool.errors import StoreError
from nightschool.paths import Home
from nightschool.store import receipts
from nightschool.store.atomic import write_bytes
from nightschool.store.db import Store


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One file that must stay away. `at` and `document_id` tell it from all others."""

    at: str
    document_id: int
    root: str
    path: str
    sha256: str


def read(home: Home) -> list[Tombstone]:
    """What the file says; nothing when there is none. Raises StoreError when it is damaged."""
    try:
        return parsed(home.forgotten.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{home.forgotten} is damaged: {error}.", "Run `nightschool doctor --repair`."
        ) from error


def parsed(data: bytes) -> list[Tombstone]:
    """The file's content. Raises ValueError, KeyError or TypeError when it is not what we wrote."""
    told = json.loads(data)
    files = [Tombstone(**item) for item in told["files"]]
    if told["check"] != _check(files):
        raise ValueError("its check sum is another")
    return files


def written(files: list[Tombstone]) -> bytes:
    """The content of a file that says this."""
    told = {"check": _check(files), "files": [asdict(item) for item in files]}
    return json.dumps(told, indent=1).encode()


def _check(files: list[Tombstone]) -> str:
    text = json.dumps([asdict(item) for item in files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lost(home: Home, store: Store) -> list[Tombstone]:
    """What the file says and the database does not know; nothing when the file is damaged."""
    try:
        told = read(home)
    except StoreError:
        return []
    if not told:
        return []
    known = {(row["at"], row["document_id"]) for row in receipts.asked_for(store)}
    return [item for item in told if (item.at, item.document_id) not in known]


def mirror(home: Home, store: Store) -> None:
    """Make the file say what the database says. Does nothing when it does already."""
    wanted = [
        Tombstone(row["at"], row["document_id"], row["root_path"], row["path"], row["sha256"])
        for row in receipts.asked_for(store)
        if row["state"] == "gone"
    ]
    try:
        same = read(home) == wanted
    except StoreError:
        same = False
    if not same:
        write_bytes(home.forgotten, written(wanted))
