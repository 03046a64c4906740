"""What was forgotten: receipts, what must stay away, and which nights and versions saw it.

A night saw a file when its lineage (`run_document`) names the file's id, or, for lineage older than
ids, its path, or its very bytes under another name. While the same bytes are still indexed
elsewhere in a folder that is learned from, nothing has gone and no version is tainted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from nightschool.records import BlockedVersion, FileStatus, ForgottenFile, Receipt
from nightschool.store import documents, reports, state
from nightschool.store.db import Store

RELEARN = "relearn"
"""Set while a version was blocked and no night has come to an end since: `{"receipt", "at"}`."""
DELETED, ASKED, EDITED = "deleted", "asked", "edited"

_LIVE = """EXISTS (SELECT 1 FROM document d JOIN root r ON r.id=d.root_id
    WHERE d.sha256=rd.sha256 AND d.status='indexed' AND r.learn=1)"""
_SAW = """
    SELECT rd.run_id, rd.sha256, rd.document_id FROM run_document rd JOIN forgotten f
        ON f.document_id=rd.document_id WHERE rd.document_id<>0 AND {chosen}
    UNION SELECT rd.run_id, rd.sha256, rd.document_id FROM run_document rd JOIN forgotten f
        ON f.sha256=rd.sha256 WHERE f.sha256<>'' AND {chosen}
    UNION SELECT rd.run_id, rd.sha256, rd.document_id FROM run_document rd JOIN forgotten f
        ON f.path=rd.path AND f.root_path=rd.root_path WHERE rd.document_id=0 AND {chosen}
"""


# -- files ---------------------------------------------------------------------------------------


def describe(store: Store, document_ids: Iterable[int]) -> list[ForgottenFile]:
    """What is known of these files, with the names of indexed copies of the same bytes."""
    wanted = set(document_ids)
    found = []
    for number in sorted(wanted):
        for row in store.rows(
            "SELECT r.path AS root, d.path, d.sha256, "
            "(SELECT count(*) FROM chunk c WHERE c.document_id=d.id) AS passages, "
            "(SELECT count(*) FROM pair p WHERE p.document_id=d.id) AS pairs "
            "FROM document d JOIN root r ON r.id=d.root_id WHERE d.id=?",
            (number,),
        ):
            copies = store.rows(
                "SELECT d.id, r.path AS root, d.path FROM document d JOIN root r ON r.id=d.root_id "
                "WHERE d.sha256=? AND d.sha256<>'' AND d.status='indexed' ORDER BY d.id",
                (row["sha256"],),
            )
            kept = tuple(f"{c['root']}/{c['path']}" for c in copies if c["id"] not in wanted)
            found.append(ForgottenFile(**row, document_id=number, copies=kept))
    return found


def seen(store: Store, document_id: int) -> bool:
    """Whether some night's lineage names this file, under whatever content."""
    return bool(store.one("SELECT 1 FROM run_document WHERE document_id=?", (document_id,)))


def contents(store: Store, document_id: int) -> set[str]:
    """The content hashes of a file that nights have practised."""
    rows = store.rows("SELECT sha256 FROM run_document WHERE document_id=?", (document_id,))
    return {row["sha256"] for row in rows}


def take_out(store: Store, document_id: int, *, reason: str = "") -> None:
    """Remove passages, full text, vectors, pairs, and what nights noted of it in words; with
    `reason`, the file stays as skipped."""
    with store.transaction() as db:
        reports.forget(store, [document_id])
        db.execute(
            "DELETE FROM pair WHERE id IN (SELECT pc.pair_id FROM pair_chunk pc "
            "JOIN chunk c ON c.id=pc.chunk_id WHERE c.document_id=?)",
            (document_id,),
        )
        if reason:  # without one, all these die with the file's row
            db.execute("DELETE FROM answer_document WHERE document_id=?", (document_id,))
            db.execute("DELETE FROM pair WHERE document_id=?", (document_id,))
            db.execute("DELETE FROM chunk WHERE document_id=?", (document_id,))
            db.execute(
                "UPDATE document SET status=?, reason=?, sha256='', title='', redactions='{}', "
                "paired_sha='' WHERE id=?",
                (FileStatus.SKIPPED.value, reason, document_id),
            )
        else:
            db.execute("DELETE FROM document WHERE id=?", (document_id,))
        state.bump(store, documents.GENERATION)


def relink(store: Store, document_ids: Iterable[int]) -> None:
    """Lineage of files that are gone follows to an indexed copy of the same bytes, if any."""
    with store.transaction() as db:
        for number in document_ids:
            db.execute(
                "UPDATE run_document AS rd SET document_id=(SELECT d.id FROM document d "
                "JOIN root r ON r.id=d.root_id WHERE d.sha256=rd.sha256 AND d.status='indexed' "
                f"AND r.learn=1 AND d.id<>? LIMIT 1) WHERE rd.document_id=? AND {_LIVE}",
                (number, number),
            )


def kept_out(store: Store, root_path: str, path: str, sha256: str = "") -> int:
    """The receipt because of which this path, or this content, must not be read again; or 0."""
    found = store.one(
        "SELECT receipt_id FROM forgotten WHERE kind='asked' AND state='gone' "
        "AND ((root_path=? AND path=?) OR (sha256=? AND sha256<>'')) ORDER BY receipt_id",
        (root_path, path, sha256),
    )
    return int(found or 0)


def asked_for(store: Store) -> list[dict[str, Any]]:
    """All that a person had forgotten: `at`, `document_id`, `root_path`, `path`, `sha256`,
    `state`, oldest first."""
    return store.rows(
        "SELECT p.at, f.document_id, f.root_path, f.path, f.sha256, f.state FROM forgotten f "
        "JOIN receipt p ON p.id=f.receipt_id WHERE f.kind='asked' ORDER BY f.rowid"
    )


def matching(
    store: Store, places: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], int]:
    """Which file is meant by `(root path, path, content hash)`: by its place, else its content."""
    found = {}
    for place in places:
        number = store.one(
            "SELECT d.id FROM document d JOIN root r ON r.id=d.root_id "
            "WHERE (r.path=?1 AND d.path=?2) OR (d.sha256=?3 AND ?3<>'') "
            "ORDER BY r.path=?1 AND d.path=?2 DESC, d.id",
            place,
        )
        if number is not None:
            found[place] = int(number)
    return found


def freed(store: Store, root_path: str, path: str) -> None:
    """A forgotten file was deleted: its name may be used again, its content stays away."""
    with store.transaction() as db:
        db.execute(
            "UPDATE forgotten SET path='' WHERE kind='asked' AND root_path=? AND path=?",
            (root_path, path),
        )


def back(store: Store, sha256: str, now: str) -> set[int]:
    """Content that was deleted is there again: the receipts, within their grace, that it ends."""
    if not sha256:
        return set()
    with store.transaction() as db:
        rows = store.rows(
            "SELECT DISTINCT f.receipt_id FROM forgotten f JOIN receipt p ON p.id=f.receipt_id "
            "WHERE f.sha256=? AND f.kind='deleted' AND f.state='gone' AND p.erased_at='' "
            "AND p.grace_until>?",
            (sha256, now),
        )
        found = {int(row["receipt_id"]) for row in rows}
        for number in found:
            db.execute(
                "UPDATE forgotten SET state='returned' WHERE receipt_id=? AND sha256=?",
                (number, sha256),
            )
    return found


# -- receipts ------------------------------------------------------------------------------------


def open_receipt(store: Store, kind: str, target: str, at: str, grace_until: str) -> int:
    """Reserve a receipt number; `settle` fills it in, in the same transaction."""
    with store.transaction() as db:
        cursor = db.execute(
            "INSERT INTO receipt(at, kind, target, grace_until, body) VALUES(?,?,?,?,'{}')",
            (at, kind, target, grace_until),
        )
    return int(cursor.lastrowid or 0)


def keep_away(
    store: Store, number: int, kind: str, rows: Iterable[tuple[str, str, str, int]]
) -> None:
    """What a receipt is about, as `(root path, path, content hash, file id)`."""
    with store.transaction() as db:
        for row in rows:
            db.execute(
                "INSERT INTO forgotten(receipt_id, root_path, path, sha256, document_id, kind) "
                "VALUES(?,?,?,?,?,?)",
                (number, *row, kind),
            )


def settle(store: Store, receipt: Receipt) -> Receipt:
    """Store what a receipt turned out to say; the same with its hash."""
    body = _body(receipt)
    with store.transaction() as db:
        db.execute("UPDATE receipt SET body=? WHERE id=?", (json.dumps(body), receipt.id))
    return replace(receipt, sha256=_digest(body))


def receipt(store: Store, number: int) -> Receipt | None:
    """One receipt by number."""
    rows = store.rows("SELECT * FROM receipt WHERE id=?", (number,))
    return _receipt(rows[0]) if rows else None


def grace(store: Store, number: int) -> str:
    """Until when a receipt can be undone; empty for one without grace."""
    return str(store.one("SELECT grace_until FROM receipt WHERE id=?", (number,)) or "")


def receipts(store: Store, limit: int = 100) -> list[Receipt]:
    """The newest receipts first."""
    rows = store.rows("SELECT * FROM receipt ORDER BY id DESC LIMIT ?", (limit,))
    return [_receipt(row) for row in rows]


def of_path(store: Store, root_path: str, path: str) -> Receipt | None:
    """The newest receipt that took this file away and still holds."""
    for row in store.rows("SELECT * FROM receipt WHERE undone_at='' ORDER BY id DESC"):
        found = _receipt(row)
        if any((item.root, item.path) == (root_path, path) for item in found.files):
            return found
    return None


def undone(store: Store, number: int, at: str) -> None:
    """A receipt holds no longer: its files may be read again, from the beginning."""
    with store.transaction() as db:
        db.execute("UPDATE receipt SET undone_at=? WHERE id=? AND undone_at=''", (at, number))
        for row in store.rows(
            "SELECT document_id FROM forgotten WHERE receipt_id=? AND state='gone'", (number,)
        ):
            # A size that no file has makes the next comparison read it again, under the same id.
            db.execute(
                "UPDATE document SET size=-1, reason='waits to be read again' "
                "WHERE id=? AND sha256=''",
                (row["document_id"],),
            )
        db.execute("UPDATE forgotten SET state='returned' WHERE receipt_id=?", (number,))


def pending(store: Store, number: int) -> bool:
    """Whether something of a receipt is still gone."""
    return bool(store.one("SELECT 1 FROM forgotten WHERE receipt_id=? AND state='gone'", (number,)))


def unerased(store: Store) -> list[Receipt]:
    """Receipts whose adapters and night folders may still be on the disk, oldest first."""
    rows = store.rows("SELECT * FROM receipt WHERE erased_at='' AND undone_at='' ORDER BY id")
    return [_receipt(row) for row in rows]


def erased(store: Store, number: int, at: str, what: dict[str, Any]) -> None:
    """Note in the receipt what was removed from the disk."""
    with store.transaction() as db:
        db.execute(
            "UPDATE receipt SET erased_at=?, erased=? WHERE id=?", (at, json.dumps(what), number)
        )


# -- nights and versions -------------------------------------------------------------------------


def tainted_runs(store: Store, number: int | None = None) -> set[int]:
    """The nights that practised what is gone (by one receipt, or by any)."""
    chosen = "f.state='gone'" + ("" if number is None else " AND f.receipt_id=:receipt")
    rows = store.rows(
        f"SELECT DISTINCT rd.run_id FROM ({_SAW.format(chosen=chosen)}) AS rd WHERE NOT {_LIVE}",
        {} if number is None else {"receipt": number},
    )
    return {int(row["run_id"]) for row in rows}


def block(store: Store, run_ids: Iterable[int], note: str) -> list[BlockedVersion]:
    """Block every version that these nights made; those that were not blocked before."""
    found = []
    with store.transaction() as db:
        for run_id in sorted(set(run_ids)):
            for row in store.rows(
                "SELECT number, status, run_id, sha256 FROM version "
                "WHERE run_id=? AND status<>'blocked'",
                (run_id,),
            ):
                db.execute(
                    "UPDATE version SET status='blocked', note=? WHERE number=?",
                    (note, row["number"]),
                )
                # What it said from memory may be what it must not know any more.
                db.execute(
                    "DELETE FROM answer WHERE version=? AND carried_by='weights'", (row["number"],)
                )
                found.append(BlockedVersion(**row))
    return found


def end_nights(store: Store, run_ids: Sequence[int], message: str, at: str) -> tuple[int, ...]:
    """Nights among these that are under way or interrupted may not go on."""
    with store.transaction() as db:
        for run_id in run_ids:
            db.execute(
                "UPDATE run SET outcome='forgotten', message=?, ended_at=? "
                "WHERE id=? AND outcome IN ('running','interrupted')",
                (message, at, run_id),
            )
    ended = store.rows("SELECT id FROM run WHERE outcome='forgotten' AND ended_at=?", (at,))
    return tuple(row["id"] for row in ended if row["id"] in set(run_ids))


def relearn(store: Store) -> dict[str, Any] | None:
    """Why a night is wanted although nothing new was written: `{"receipt", "at"}`, or None."""
    found: dict[str, Any] | None = state.get(store, RELEARN)
    return found


def relearned(store: Store, started_at: str) -> None:
    """A night that began at `started_at` came to an end: what was asked before it is done."""
    wish = relearn(store)
    if wish is not None and wish["at"] <= started_at:
        state.put(store, RELEARN, None)


def _body(receipt: Receipt) -> dict[str, Any]:
    """The facts, without what changes later."""
    later = ("id", "sha256", "undone_at", "erased_at", "erased", "grace_until")
    return {name: value for name, value in asdict(receipt).items() if name not in later}


def _digest(body: dict[str, Any]) -> str:
    """SHA-256 of the facts in one fixed spelling, so that anybody can compute it again."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _receipt(row: dict[str, Any]) -> Receipt:
    body = json.loads(row["body"])
    parts = {
        "files": tuple(
            ForgottenFile(**item | {"copies": tuple(item["copies"])}) for item in body["files"]
        ),
        "versions": tuple(BlockedVersion(**item) for item in body["versions"]),
        "nights": tuple(body["nights"]),
    }
    return Receipt(
        **body | parts,
        grace_until=row["grace_until"],
        sha256=_digest(body),
        undone_at=row["undone_at"],
        erased_at=row["erased_at"],
        erased=json.loads(row["erased"]),
        id=row["id"],
    )
