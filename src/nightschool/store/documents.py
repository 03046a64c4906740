"""Watched folders, files, passages, full text and vectors.

Full text follows the chunk table by triggers, in the same transaction: a saved file is findable
as soon as it is stored. Every change of chunks bumps the index generation (`index_generation`),
which is how the FAISS cache knows that it is stale.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nightschool.clock import Clock, SystemClock, iso
from nightschool.records import Chunk, Document, FileStatus, Locator, Root
from nightschool.store import epochs, state
from nightschool.store.db import Store

GENERATION = "index_generation"
IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """One file as it was when it was last read. `sha256` is empty for one that was skipped."""

    id: int
    size: int
    mtime_ns: int
    sha256: str
    status: str
    reason: str


# -- watched folders ---------------------------------------------------------------------------


def add_root(
    store: Store,
    path: str,
    *,
    learn: bool = True,
    source: str = "folder",
    clock: Clock | None = None,
) -> Root:
    """Watch `path` (absolute). Adding it again only changes `learn` and `source`."""
    with store.transaction() as db:
        if store.one("SELECT id FROM root WHERE path=?", (path,)) is None:
            added = iso((clock or SystemClock()).now())
            db.table("root").insert(
                {"path": path, "learn": int(learn), "added_at": added, "source": source}
            )
        else:
            db.execute("UPDATE root SET learn=?, source=? WHERE path=?", (int(learn), source, path))
    return next(root for root in roots(store) if root.path == path)


def remove_root(store: Store, root_id: int) -> None:
    """Stop watching: its files leave the index, its pairs go; files on disk stay untouched."""
    with store.transaction() as db:
        db.execute("DELETE FROM root WHERE id=?", (root_id,))
        state.bump(store, GENERATION)


def roots(store: Store) -> list[Root]:
    """All watched folders, oldest first."""
    return [
        Root(row["path"], bool(row["learn"]), row["id"], row["added_at"], row["source"])
        for row in store.rows("SELECT * FROM root ORDER BY id")
    ]


# -- files -------------------------------------------------------------------------------------

DOCUMENT = """
    SELECT d.*,
        (SELECT count(*) FROM chunk c WHERE c.document_id = d.id) AS chunks,
        (SELECT count(*) FROM pair p WHERE p.document_id = d.id) AS pairs,
        (SELECT group_concat(DISTINCT v.number) FROM version v
            JOIN run_document rd ON rd.run_id = v.run_id
            WHERE rd.document_id = d.id AND rd.pairs > 0) AS learned_in,
        (SELECT count(*) FROM chunk c WHERE c.document_id = d.id AND NOT EXISTS
            (SELECT 1 FROM vector x WHERE x.chunk_id = c.id)) AS waiting,
        (SELECT s.value FROM state s WHERE s.key = 'root_seen:' || d.root_id) AS root_seen
    FROM document d
"""


def document_of(row: dict[str, Any]) -> Document:
    learned = row.get("learned_in") or ""
    return Document(
        root_id=row["root_id"],
        path=row["path"],
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        sha256=row["sha256"],
        status=FileStatus(row["status"]),
        reason=row["reason"],
        title=row["title"],
        format=row["format"],
        redactions=json.loads(row["redactions"]),
        chunks=row.get("chunks", 0),
        pairs=row.get("pairs", 0),
        learned_in=tuple(sorted(int(number) for number in learned.split(",") if number)),
        updated_at=row["updated_at"],
        id=row["id"],
        language=row["language"],
        waiting=row.get("waiting", 0),
        last_seen=max(row["updated_at"], json.loads(row.get("root_seen") or '""')),
    )


def seen(store: Store, root_id: int, clock: Clock | None = None) -> None:
    """A whole folder was compared with the disk: what is known of it was there as it is known."""
    state.put(store, f"root_seen:{root_id}", iso((clock or SystemClock()).now()))


def documents(store: Store, root_id: int | None = None) -> list[Document]:
    """All known files (of one root), by path."""
    where = "" if root_id is None else "WHERE d.root_id=?"
    arguments = () if root_id is None else (root_id,)
    return [
        document_of(row) for row in store.rows(f"{DOCUMENT} {where} ORDER BY d.path", arguments)
    ]


def known(store: Store, root_id: int) -> dict[str, KnownFile]:
    """What a reconcile compares with: by path, without the counts that cost a join a row."""
    return {
        row["path"]: KnownFile(
            row["id"], row["size"], row["mtime_ns"], row["sha256"], row["status"], row["reason"]
        )
        for row in store.rows(
            "SELECT id, path, size, mtime_ns, sha256, status, reason FROM document WHERE root_id=?",
            (root_id,),
        )
    }


def by_path(store: Store, root_id: int, path: str) -> Document | None:
    """One file by its folder and stored path."""
    rows = store.rows(f"{DOCUMENT} WHERE d.root_id=? AND d.path=?", (root_id, path))
    return document_of(rows[0]) if rows else None


def any_file(store: Store, root_id: int) -> bool:
    """Whether any file of one folder is known, skipped ones too."""
    return store.one("SELECT 1 FROM document WHERE root_id=? LIMIT 1", (root_id,)) is not None


def number_of_files(store: Store, root_id: int) -> int:
    """How many files of one folder are known, skipped ones too."""
    return int(store.one("SELECT count(*) FROM document WHERE root_id=?", (root_id,)))


def document(store: Store, document_id: int) -> Document | None:
    """One file by id."""
    rows = store.rows(f"{DOCUMENT} WHERE d.id=?", (document_id,))
    return document_of(rows[0]) if rows else None


def save(
    store: Store, item: Document, chunks: Sequence[Chunk], *, clock: Clock | None = None
) -> int:
    """Insert or replace one file with its passages and full text, in one transaction.

    Passages whose text, title and headings are unchanged keep their id, so that their vectors and
    pairs survive an edit elsewhere in the file. Returns the document id.
    """
    with store.transaction() as db:
        found = store.one(
            "SELECT id FROM document WHERE root_id=? AND path=?", (item.root_id, item.path)
        )
        row = {
            "root_id": item.root_id,
            "path": item.path,
            "size": item.size,
            "mtime_ns": item.mtime_ns,
            "sha256": item.sha256,
            "status": item.status.value,
            "reason": item.reason,
            "title": item.title,
            "format": item.format,
            "redactions": json.dumps(item.redactions),
            "language": item.language,
            "updated_at": iso((clock or SystemClock()).now()),
        }
        if found is None:
            document_id = int(db.table("document").insert(row).last_rowid or 0)
        else:
            document_id = int(found)
            db.table("document").update(document_id, row)
        _replace_chunks(store, document_id, item.title, chunks)
        state.bump(store, GENERATION)
    return document_id


def _replace_chunks(store: Store, document_id: int, title: str, chunks: Sequence[Chunk]) -> None:
    old: dict[tuple[str, str, str, tuple[str, ...]], list[int]] = {}
    for row in store.rows(
        "SELECT id, title, text, safe, locator FROM chunk WHERE document_id=? "
        "ORDER BY ordinal DESC",
        (document_id,),
    ):
        headings = locator_from_json(row["locator"]).headings
        old.setdefault((row["title"], row["text"], row["safe"], headings), []).append(row["id"])
    kept: list[tuple[int, Chunk]] = []
    fresh: list[Chunk] = []
    for chunk in chunks:
        ids = old.get((title, chunk.text, chunk.safe, chunk.locator.headings))
        if ids:
            kept.append((ids.pop(), chunk))
        else:
            fresh.append(chunk)
    for ids in old.values():
        for chunk_id in ids:
            _drop_pairs_of(store, chunk_id)
            store.db.execute("DELETE FROM chunk WHERE id=?", (chunk_id,))
    if any(old.values()):  # an answer that quotes what is no longer there
        store.db.execute("DELETE FROM answer_document WHERE document_id=?", (document_id,))
    if fresh or any(old.values()):
        # Pairs may be missing now although the file's bytes are the same (a new way of reading).
        store.db.execute("UPDATE document SET paired_sha='' WHERE id=?", (document_id,))
    # Two passes, because ordinals are unique and kept chunks may change places.
    for chunk_id, _ in kept:
        store.db.execute("UPDATE chunk SET ordinal=-id WHERE id=?", (chunk_id,))
    for chunk_id, chunk in kept:
        store.db.execute(
            "UPDATE chunk SET ordinal=?, locator=? WHERE id=?",
            (chunk.ordinal, locator_to_json(chunk.locator), chunk_id),
        )
    for chunk in fresh:
        store.db.execute(
            "INSERT INTO chunk(document_id, ordinal, title, text, safe, locator) "
            "VALUES(?,?,?,?,?,?)",
            (
                document_id,
                chunk.ordinal,
                title,
                chunk.text,
                chunk.safe,
                locator_to_json(chunk.locator),
            ),
        )


def _drop_pairs_of(store: Store, chunk_id: int) -> None:
    store.db.execute(
        "DELETE FROM pair WHERE id IN (SELECT pair_id FROM pair_chunk WHERE chunk_id=?)",
        (chunk_id,),
    )


def move(
    store: Store, root_id: int, old_path: str, new_path: str, mtime_ns: int, title: str = ""
) -> None:
    """A file was renamed: everything known of it follows, nothing is read again.

    `title` is the new title of a file that is called by its name; its vectors, which hold the
    title, are made again.
    """
    with store.transaction() as db:
        row = store.rows("SELECT id FROM document WHERE root_id=? AND path=?", (root_id, old_path))[
            0
        ]
        db.execute("DELETE FROM document WHERE root_id=? AND path=?", (root_id, new_path))
        db.execute(
            "UPDATE document SET path=?, mtime_ns=? WHERE id=?", (new_path, mtime_ns, row["id"])
        )
        for chunk in store.rows("SELECT id, locator FROM chunk WHERE document_id=?", (row["id"],)):
            locator = json.loads(chunk["locator"]) | {"path": new_path}
            db.execute("UPDATE chunk SET locator=? WHERE id=?", (json.dumps(locator), chunk["id"]))
        if title:
            db.execute("UPDATE document SET title=? WHERE id=?", (title, row["id"]))
            db.execute("UPDATE chunk SET title=? WHERE document_id=?", (title, row["id"]))
            moved = store.rows("SELECT id FROM chunk WHERE document_id=?", (row["id"],))
            epochs.renew(store, [chunk["id"] for chunk in moved])
        state.bump(store, GENERATION)


def touch(store: Store, document_id: int, size: int, mtime_ns: int) -> None:
    """Only size or time changed, not the content: remember them, so it is not hashed again."""
    with store.transaction() as db:
        db.execute(
            "UPDATE document SET size=?, mtime_ns=? WHERE id=?", (size, mtime_ns, document_id)
        )
        state.bump(store, GENERATION)  # a search may ask for files of a time


def delete(store: Store, root_id: int, path: str) -> None:
    """A file is gone: it leaves passages, full text, vectors and pairs at once."""
    with store.transaction() as db:
        db.execute("DELETE FROM document WHERE root_id=? AND path=?", (root_id, path))
        state.bump(store, GENERATION)


# -- passages ----------------------------------------------------------------------------------


def locator_to_json(locator: Locator) -> str:
    return json.dumps(
        {
            "path": locator.path,
            "headings": locator.headings,
            "lines": locator.lines,
            "page": locator.page,
            "place": locator.place,
        }
    )


def locator_from_json(text: str) -> Locator:
    return Locator.of(json.loads(text))


def _chunk(row: dict[str, Any]) -> Chunk:
    return Chunk(
        ordinal=row["ordinal"],
        text=row["text"],
        safe=row["safe"],
        locator=locator_from_json(row["locator"]),
        id=row["id"],
        document_id=row["document_id"],
    )


def chunks_of(store: Store, document_id: int) -> list[Chunk]:
    """The passages of one file, in reading order."""
    return [
        _chunk(row)
        for row in store.rows(
            "SELECT * FROM chunk WHERE document_id=? ORDER BY ordinal", (document_id,)
        )
    ]


def owners(store: Store, ids: Sequence[int]) -> dict[int, int]:
    """The file of each passage, of a few hundred; ids that no longer exist are left out."""
    marks = ",".join("?" * len(ids))
    rows = store.rows(f"SELECT id, document_id FROM chunk WHERE id IN ({marks})", list(ids))
    return {row["id"]: row["document_id"] for row in rows}


def chunks(store: Store, ids: Iterable[int]) -> dict[int, Chunk]:
    """Passages by id; ids that no longer exist are left out."""
    wanted = list(ids)
    found: dict[int, Chunk] = {}
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        marks = ",".join("?" * len(part))
        for row in store.rows(f"SELECT * FROM chunk WHERE id IN ({marks})", part):
            found[row["id"]] = _chunk(row)
    return found


# -- vectors -----------------------------------------------------------------------------------


def without_vector(store: Store, embedder: str, limit: int = 1000) -> list[tuple[str, Chunk]]:
    """The backlog: `(title, passage)` that `embedder` has not embedded yet, oldest first."""
    return [
        (row["title"], _chunk(row))
        for row in store.rows(
            "SELECT c.* FROM chunk c LEFT JOIN vector v ON v.chunk_id=c.id AND v.embedder=? "
            "WHERE v.chunk_id IS NULL ORDER BY c.id LIMIT ?",
            (embedder, limit),
        )
    ]


def backlog(store: Store, embedder: str) -> int:
    """How many passages wait for their vector."""
    return int(
        store.one(
            "SELECT count(*) FROM chunk c LEFT JOIN vector v "
            "ON v.chunk_id=c.id AND v.embedder=? WHERE v.chunk_id IS NULL",
            (embedder,),
        )
    )


def save_vectors(store: Store, embedder: str, rows: Iterable[tuple[int, bytes]]) -> None:
    """Store little-endian float32 vectors; passages deleted meanwhile are left out."""
    with store.transaction() as db:
        db.conn.executemany(
            "INSERT OR REPLACE INTO vector(chunk_id, embedder, data) "
            "SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM chunk WHERE id=?1)",
            [(chunk_id, embedder, data) for chunk_id, data in rows],
        )
        state.bump(store, GENERATION)


def generation(store: Store) -> int:
    """The number that changes with every change of passages or vectors."""
    return int(state.get(store, GENERATION, 0))


def without_any_vector(store: Store) -> int:
    """Passages that no embedder has embedded: what a killed intake left behind."""
    return int(
        store.one(
            "SELECT count(*) FROM chunk c WHERE NOT EXISTS "
            "(SELECT 1 FROM vector v WHERE v.chunk_id=c.id)"
        )
    )


# -- the per-file table ------------------------------------------------------------------------


def page(
    store: Store, *, status: FileStatus | None = None, limit: int = 100, offset: int = 0
) -> list[Document]:
    """One page of all known files, by folder and path."""
    where = "" if status is None else "WHERE d.status=?"
    arguments: list[Any] = [] if status is None else [status.value]
    rows = store.rows(
        f"{DOCUMENT} {where} ORDER BY d.root_id, d.path LIMIT ? OFFSET ?",
        [*arguments, limit, offset],
    )
    return [document_of(row) for row in rows]


def counts(store: Store) -> dict[str, int]:
    """Files by status, and passages and those of them without a vector."""
    found = {status.value: 0 for status in FileStatus}
    for row in store.rows("SELECT status, count(*) AS n FROM document GROUP BY status"):
        found[row["status"]] = row["n"]
    found["passages"] = int(store.one("SELECT count(*) FROM chunk"))
    found["without_vector"] = without_any_vector(store)
    return found


def identity(store: Store) -> str:
    """A random name that this database keeps: tells it from another one put in its place."""
    name = state.get(store, IDENTITY)
    if name is None:
        with store.transaction():
            name = state.get(store, IDENTITY) or secrets.token_hex(8)
            state.put(store, IDENTITY, name)
    return str(name)
