"""What the schedule knows across restarts: learning time used a day, the last night, new material.

Days are keyed by local date, so a clock that is set back a day finds that day's use again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nightschool.store import documents, receipts, state
from nightschool.store.db import Store

_USED = "schedule_used"
_LAST = "schedule_last_night"
_TRIES = "schedule_tries"
_ALLOWED = "schedule_allowed"
_PAUSED = "schedule_paused"
_DAYS = 14
PAIRS_PER_PASSAGE = 2.0
"""Expected practice pairs a passage, until this home's own ratio is known."""


@dataclass(frozen=True, slots=True)
class Material:
    """What there is to learn. `new_pairs` counts written but unpractised pairs; `expected_pairs`
    estimates those of the passages whose pairs are not written yet. `fingerprint` names the exact
    set of learnable files."""

    files: int
    new_pairs: int
    unread_files: int
    expected_pairs: int
    fingerprint: str
    generation: int
    relearn_since: str = ""
    """When a version was blocked because of what was forgotten; empty when no night is owed."""

    @property
    def pairs(self) -> int:
        return self.new_pairs + self.expected_pairs


def material(store: Store, base_sha: str = "") -> Material:
    """Count what is new since the nights on this base model that came to an end.

    Another base has practised nothing yet, so a change of the base queues a relearn.
    """
    generation = documents.generation(store)
    rows = store.rows(
        "SELECT r.path AS root, d.path, d.sha256 FROM document d JOIN root r ON r.id=d.root_id "
        "WHERE r.learn=1 AND d.status='indexed' ORDER BY r.path, d.path"
    )
    digest = hashlib.sha256(f"{base_sha}\n".encode())
    for row in rows:
        digest.update(f"{row['root']}\0{row['path']}\0{row['sha256']}\n".encode())
    new_pairs = int(
        store.one(
            "SELECT count(*) FROM pair p JOIN document d ON d.id=p.document_id "
            "JOIN root r ON r.id=d.root_id "
            "WHERE p.split='train' AND p.status NOT IN ('rejected','waiting') AND r.learn=1 "
            "AND NOT EXISTS ("
            " SELECT 1 FROM run_document rd JOIN run n ON n.id=rd.run_id "
            " WHERE n.outcome IN ('promoted','held','rejected') AND rd.pairs>0 "
            " AND rd.root_path=r.path "
            " AND rd.path=d.path AND rd.sha256=d.sha256 AND (?='' OR n.base_sha=?))",
            (base_sha, base_sha),
        )
    )
    unread = store.rows(
        "SELECT count(DISTINCT d.id) AS files, count(c.id) AS passages FROM document d "
        "JOIN root r ON r.id=d.root_id JOIN chunk c ON c.document_id=d.id "
        "WHERE r.learn=1 AND d.status='indexed' AND d.paired_sha<>d.sha256"
    )[0]
    written = store.rows(
        "SELECT count(*) AS pairs, (SELECT count(*) FROM chunk c JOIN document d "
        "ON d.id=c.document_id WHERE d.paired_sha=d.sha256) AS passages "
        "FROM pair WHERE split='train'"
    )[0]
    ratio = written["pairs"] / written["passages"] if written["passages"] else PAIRS_PER_PASSAGE
    return Material(
        files=len(rows),
        new_pairs=new_pairs,
        unread_files=unread["files"],
        expected_pairs=round(unread["passages"] * ratio),
        fingerprint=digest.hexdigest(),
        generation=generation,
        relearn_since=(receipts.relearn(store) or {"at": ""})["at"],
    )


def used_s(store: Store, day: str) -> float:
    """Seconds of learner time on a local date (`2026-11-22`)."""
    return float(state.get(store, _USED, {}).get(day, 0.0))


def add_used(store: Store, day: str, seconds: float) -> None:
    """Book learner time; only the newest days are kept."""
    with store.transaction():
        used: dict[str, float] = state.get(store, _USED, {})
        used[day] = used.get(day, 0.0) + seconds
        state.put(store, _USED, dict(sorted(used.items())[-_DAYS:]))


def last_night(store: Store) -> dict[str, Any] | None:
    """The newest night: outcome, message, run_id, version, verdict, ended_at, fingerprint, by."""
    found: dict[str, Any] | None = state.get(store, _LAST)
    return found


def record_night(store: Store, night: dict[str, Any], *, failed: bool) -> None:
    """Remember how a night ended; failures of the same material are counted."""
    with store.transaction():
        before = tries(store, night["fingerprint"])
        count = before + 1 if failed else 0
        state.put(store, _TRIES, {"fingerprint": night["fingerprint"], "failed": count})
        state.put(store, _LAST, night)


def allowed(store: Store) -> bool:
    """Whether the user said that nights may start by themselves."""
    return bool(state.get(store, _ALLOWED, False))


def allow(store: Store, yes: bool) -> None:
    """Remember what the user said."""
    state.put(store, _ALLOWED, yes)


def pause(store: Store, now: datetime, seconds: float) -> None:
    """Let no night start by itself for so long from `now` (aware) on; 0 ends the pause."""
    until = now + timedelta(seconds=seconds)
    state.put(store, _PAUSED, {"from": now.isoformat(), "until": until.isoformat()})


def pause_left(store: Store, now: datetime) -> float:
    """Seconds that are left of the pause, 0 without one. A pause that begins in the future is over:
    the clock was set back, and must not make it longer."""
    found = state.get(store, _PAUSED)
    if found is None or now < datetime.fromisoformat(found["from"]):
        return 0.0
    return max((datetime.fromisoformat(found["until"]) - now).total_seconds(), 0.0)


def tries(store: Store, fingerprint: str) -> int:
    """How many nights in a row failed with exactly this material."""
    found = state.get(store, _TRIES, {})
    return int(found.get("failed", 0)) if found.get("fingerprint") == fingerprint else 0
