"""Practice pairs and which passages they rest on. Pairs die with their passages."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from nightschool.clock import Clock, SystemClock, iso
from nightschool.records import Pair, PairKind, Split
from nightschool.store.db import Store


def unpaired(
    store: Store, languages: Collection[str] = ("en",), without: Collection[str] = ()
) -> list[int]:
    """Ids of indexed files in learnable folders whose present content has no pairs written yet.

    Only files in one of these `languages`, or in none that could be told, and `without` those of
    these formats.
    """
    return [
        row["id"]
        for row in store.rows(
            "SELECT d.id, d.language, d.format FROM document d JOIN root r ON r.id=d.root_id "
            "WHERE r.learn=1 AND d.status='indexed' AND d.paired_sha<>d.sha256 ORDER BY d.id"
        )
        if (not row["language"] or row["language"] in languages) and row["format"] not in without
    ]


def replace(
    store: Store, document_id: int, pairs: Sequence[Pair], *, clock: Clock | None = None
) -> None:
    """Set the pairs of one file and mark its present content as written.

    Pairs on passages that went away while they were being written (an edit, a deletion) are left
    out, and the file then counts as not written yet.
    """
    now = iso((clock or SystemClock()).now())
    with store.transaction() as db:
        there = {
            row["id"]
            for row in store.rows(
                "SELECT c.id FROM chunk c JOIN document d ON d.id=c.document_id "
                "WHERE d.id=? AND d.status='indexed'",
                (document_id,),
            )
        }
        kept = [pair for pair in pairs if there.issuperset(pair.chunk_ids)]
        db.execute("DELETE FROM pair WHERE document_id=?", (document_id,))
        for pair in kept:
            cursor = db.execute(
                "INSERT INTO pair(kind, question, answer, evidence, fact, phrasing, split, "
                "context, writer, status, created_at, document_id) "
                "VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    pair.kind.value,
                    pair.question,
                    pair.answer,
                    pair.evidence,
                    pair.fact,
                    pair.phrasing,
                    pair.split.value,
                    json.dumps(pair.context),
                    pair.writer,
                    pair.status,
                    now,
                    document_id,
                ),
            )
            pair_id = cursor.lastrowid
            for chunk_id in dict.fromkeys(pair.chunk_ids):
                db.execute("INSERT INTO pair_chunk VALUES(?, ?)", (pair_id, chunk_id))
        if len(kept) == len(pairs):
            db.execute("UPDATE document SET paired_sha=sha256 WHERE id=?", (document_id,))


def set_status(store: Store, pair_ids: Sequence[int], status: str) -> None:
    """Mark pairs `auto`, `agreed`, `approved`, `waiting` or `rejected` (see `store.review`)."""
    with store.transaction() as db:
        for pair_id in pair_ids:
            db.execute("UPDATE pair SET status=? WHERE id=?", (status, pair_id))


def clear(store: Store) -> None:
    """Forget every pair, so that all are written again (another writer, another model)."""
    with store.transaction() as db:
        db.execute("DELETE FROM pair")
        db.execute("UPDATE document SET paired_sha=''")


def all_pairs(
    store: Store,
    *,
    split: Split | None = None,
    kind: PairKind | None = None,
    document_id: int | None = None,
) -> list[Pair]:
    """Pairs of learnable folders, by id; rejected ones and those that wait are left out."""
    where, arguments = ["p.status NOT IN ('rejected', 'waiting')", "r.learn=1"], []
    for column, value in (("split", split), ("kind", kind), ("document_id", document_id)):
        if value is not None:
            where.append(f"p.{column}=?")
            arguments.append(value)
    rows = store.rows(
        "SELECT p.*, (SELECT group_concat(chunk_id) FROM pair_chunk pc WHERE pc.pair_id=p.id) "
        "AS chunk_ids FROM pair p JOIN document d ON d.id=p.document_id "
        f"JOIN root r ON r.id=d.root_id WHERE {' AND '.join(where)} ORDER BY p.id",
        [str(a) if not isinstance(a, int) else a for a in arguments],
    )
    return [_pair(row) for row in rows]


def counts(store: Store) -> dict[str, int]:
    """Pairs per split, and `documents` that have any."""
    found = {
        row["split"]: row["n"]
        for row in store.rows("SELECT split, count(*) AS n FROM pair GROUP BY split")
    }
    found["documents"] = int(store.one("SELECT count(DISTINCT document_id) FROM pair"))
    return found


def owners(store: Store) -> dict[int, int]:
    """The file id of every pair, by pair id."""
    return {row["id"]: row["document_id"] for row in store.rows("SELECT id, document_id FROM pair")}


def documents_of(store: Store, pair_ids: Sequence[int]) -> dict[int, int]:
    """How many of these pairs rest on each document: `{document id: pairs}`."""
    wanted = set(pair_ids)
    found: dict[int, int] = {}
    for row in store.rows("SELECT id, document_id FROM pair"):
        if row["id"] in wanted:
            found[row["document_id"]] = found.get(row["document_id"], 0) + 1
    return found


def _pair(row: dict[str, Any]) -> Pair:
    return Pair(
        kind=PairKind(row["kind"]),
        question=row["question"],
        answer=row["answer"],
        evidence=row["evidence"],
        fact=row["fact"],
        phrasing=row["phrasing"],
        split=Split(row["split"]),
        chunk_ids=tuple(int(part) for part in (row["chunk_ids"] or "").split(",") if part),
        context=tuple(json.loads(row["context"])),
        writer=row["writer"],
        status=row["status"],
        id=row["id"],
    )
