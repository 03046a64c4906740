"""Nights: plan, outcome, score card, and the exact documents each one practised (lineage)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from nightschool.clock import Clock, SystemClock, iso
from nightschool.errors import Forgotten
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
    """Write the lineage: `{document id: pairs practised}`, kept by path and hash after deletion.

    0 pairs means that passages of the file were shown (as a distractor, as plain text) without a
    question on it. Raises Forgotten when a file has gone since the pairs were chosen.
    """
    with store.transaction() as db:
        db.execute("DELETE FROM run_document WHERE run_id=?", (run_id,))
        for document_id, pairs in counts.items():
            cursor = db.execute(
                "INSERT INTO run_document(run_id, root_path, path, sha256, pairs, document_id) "
                "SELECT ?, r.path, d.path, d.sha256, ?, d.id "
                "FROM document d JOIN root r ON r.id=d.root_id WHERE d.id=? AND d.sha256<>''",
                (run_id, pairs, document_id),
            )
            if cursor.rowcount != 1:
                raise Forgotten(
                    "A file was forgotten while the night was being planned.",
                    "`nightschool learn` starts anew without it.",
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


def starved(store: Store, message: str, clock: Clock | None = None) -> None:
    """The process of the running night was ended because memory ran out: the night is over."""
    run = unfinished(store)
    if run is not None and run.outcome is Outcome.RUNNING:
        finish(store, run.id, Outcome.OUT_OF_MEMORY, message=message, clock=clock)


def spoilt(store: Store, base_sha: str) -> int:
    """How many nights on this base, the newest in a row, ended in bad numbers or without memory."""
    count = 0
    for run in runs(store, 20):
        if run.base_sha != base_sha:
            break
        if run.outcome in (Outcome.NAN, Outcome.OUT_OF_MEMORY):
            count += 1
        elif run.outcome in (Outcome.PROMOTED, Outcome.HELD, Outcome.REJECTED):
            break
    return count


def runs(store: Store, limit: int = 50) -> list[Run]:
    """The newest nights first."""
    return [_run(row) for row in store.rows("SELECT * FROM run ORDER BY id DESC LIMIT ?", (limit,))]


def run(store: Store, run_id: int) -> Run | None:
    """One night by id."""
    rows = store.rows("SELECT * FROM run WHERE id=?", (run_id,))
    return _run(rows[0]) if rows else None


def plan_of(run: Run) -> Plan:
    """The plan of a stored night; settings that are newer than the night have their defaults."""
    lists = {name: tuple(value) for name, value in run.plan.items() if isinstance(value, list)}
    return Plan(**{**run.plan, **lists})


def unfinished(store: Store) -> Run | None:
    """The newest run that was started and never finished, if any."""
    rows = store.rows(
        "SELECT * FROM run WHERE outcome IN ('running','interrupted') ORDER BY id DESC LIMIT 1"
    )
    return _run(rows[0]) if rows else None


def lineage(store: Store, run_id: int) -> list[dict[str, Any]]:
    """Which file, at which content hash, gave how many pairs to a run (0: it was only shown)."""
    return store.rows(
        "SELECT root_path, path, sha256, pairs FROM run_document WHERE run_id=? ORDER BY path",
        (run_id,),
    )


def seen(store: Store, run_id: int) -> list[dict[str, Any]]:
    """As `lineage`, by the files' ids: `document_id`, `path`, `sha256` and `pairs`."""
    return store.rows(
        "SELECT document_id, path, sha256, pairs FROM run_document WHERE run_id=? ORDER BY path",
        (run_id,),
    )


def practised(store: Store, run_ids: Iterable[int]) -> set[tuple[str, str, str]]:
    """All `(root, path, sha256)` that these runs practised questions on."""
    return {
        (row["root_path"], row["path"], row["sha256"])
        for run_id in run_ids
        for row in lineage(store, run_id)
        if row["pairs"]
    }


def revoked(store: Store, run_id: int) -> str:
    """Why a night may not go on (a file it practised was forgotten), or empty."""
    return str(
        store.one("SELECT message FROM run WHERE id=? AND outcome='forgotten'", (run_id,)) or ""
    )


def tries(store: Store, base_sha: str, sources: set[tuple[str, str, str]]) -> int:
    """How many nights on this base reached a verdict on exactly these `(root, path, sha256)`."""
    concluded = (Outcome.PROMOTED, Outcome.HELD, Outcome.REJECTED)
    return sum(
        run.outcome in concluded
        and run.base_sha == base_sha
        and practised(store, [run.id]) == sources
        for run in runs(store, 200)
    )


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
