"""Nights: plan, outcome, score card, and the exact documents each one practised (lineage)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from nightschool.clock import Clock, SystemClock, iso
from nightschool.records import Outcome, Plan, Run, Scorecard
from nightschool.store.db import Store


def start(
    store: Store, plan: Plan, base_sha: str, *, parent: int, clock: Clock | None = None
) -> int:
    """Open a run; it stays `running` until `finish` (or `interrupted` after a crash)."""
    with store.transaction() as db:
        cursor = db.execute(
            "INSERT INTO run(outcome, started_at, plan, base_sha, seed, parent) "
            "VALUES(?,?,?,?,?,?)",
            (
                Outcome.RUNNING.value,
                iso((clock or SystemClock()).now()),
                json.dumps(asdict(plan)),
                base_sha,
                plan.seed,
                parent,
            ),
        )
    return int(cursor.lastrowid or 0)


def record_documents(store: Store, run_id: int, counts: dict[int, int]) -> None:
    """Write the lineage: `{document id: pairs practised}`, kept by path and hash after deletion."""
    with store.transaction() as db:
        db.execute("DELETE FROM run_document WHERE run_id=?", (run_id,))
        for document_id, pairs in counts.items():
            db.execute(
                "INSERT INTO run_document SELECT ?, r.path, d.path, d.sha256, ? "
                "FROM document d JOIN root r ON r.id=d.root_id WHERE d.id=?",
                (run_id, pairs, document_id),
            )


def finish(
    store: Store,
    run_id: int,
    outcome: Outcome,
    *,
    scorecard: Scorecard | None = None,
    version: int | None = None,
    message: str = "",
    clock: Clock | None = None,
) -> None:
    """Close a run with its outcome, its score card and, if promoted or held, its version."""
    with store.transaction() as db:
        db.execute(
            "UPDATE run SET outcome=?, ended_at=?, scorecard=?, version=?, message=? WHERE id=?",
            (
                outcome.value,
                iso((clock or SystemClock()).now()),
                None if scorecard is None else json.dumps(asdict(scorecard)),
                version,
                message,
                run_id,
            ),
        )


def runs(store: Store, limit: int = 50) -> list[Run]:
    """The newest nights first."""
    return [_run(row) for row in store.rows("SELECT * FROM run ORDER BY id DESC LIMIT ?", (limit,))]


def run(store: Store, run_id: int) -> Run | None:
    """One night by id."""
    rows = store.rows("SELECT * FROM run WHERE id=?", (run_id,))
    return _run(rows[0]) if rows else None


def unfinished(store: Store) -> Run | None:
    """The newest run that was started and never finished, if any."""
    rows = store.rows(
        "SELECT * FROM run WHERE outcome IN ('running','interrupted') ORDER BY id DESC LIMIT 1"
    )
    return _run(rows[0]) if rows else None


def lineage(store: Store, run_id: int) -> list[dict[str, Any]]:
    """Which file, at which content hash, gave how many pairs to a run."""
    return store.rows(
        "SELECT root_path, path, sha256, pairs FROM run_document WHERE run_id=? ORDER BY path",
        (run_id,),
    )


def practised(store: Store, run_ids: Iterable[int]) -> set[tuple[str, str, str]]:
    """All `(root, path, sha256)` that these runs practised."""
    found: set[tuple[str, str, str]] = set()
    for run_id in run_ids:
        found |= {(row["root_path"], row["path"], row["sha256"]) for row in lineage(store, run_id)}
    return found


def _run(row: dict[str, Any]) -> Run:
    return Run(
        outcome=Outcome(row["outcome"]),
        started_at=row["started_at"],
        plan=json.loads(row["plan"]),
        base_sha=row["base_sha"],
        seed=row["seed"],
        ended_at=row["ended_at"],
        parent=row["parent"],
        version=row["version"],
        scorecard=None if row["scorecard"] is None else json.loads(row["scorecard"]),
        message=row["message"],
        id=row["id"],
    )
