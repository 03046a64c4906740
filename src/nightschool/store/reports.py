"""What the nights' reports rest on: figures, and files and questions by their ids.

Names and texts are joined when a report is drawn, so what was forgotten is in none of them. What a
file's curation dropped, and what versions answered, are words: they die with the file's content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nightschool.store.db import Store

NO_RUN = 0
"""The newest night that came to its end before it opened a run: nothing new, or too little."""
_BATCH = 500
_KNOWN = "NOT EXISTS (SELECT 1 FROM forgotten f WHERE f.document_id=d.id AND f.state='gone')"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What curation dropped of one file for one reason: wordings, their facts, and a few of them
    as `(question, answer)`."""

    pairs: int
    facts: int
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One exam question, answered by the version before and by the candidate. `sources` are the
    ids of the files whose passages were at hand; none for an answer from memory."""

    pair_id: int
    probe: str
    before: str
    after: str
    right_before: bool
    right_after: bool
    sources: tuple[int, ...] = ()


# -- of files --------------------------------------------------------------------------------------


def note_dropped(store: Store, document_id: int, found: Mapping[str, Dropped]) -> None:
    """What was dropped when the file's present content was written, by reason."""
    with store.transaction() as db:
        db.execute("DELETE FROM dropped WHERE document_id=?", (document_id,))
        for reason, item in found.items():
            db.execute(
                "INSERT INTO dropped(document_id, reason, pairs, facts, examples) "
                "SELECT id, ?, ?, ?, ? FROM document WHERE id=?",
                (reason, item.pairs, item.facts, json.dumps(item.examples), document_id),
            )


def dropped(store: Store) -> list[dict[str, Any]]:
    """`document_id`, `reason`, `pairs`, `facts` and `examples` of all files that are learned from,
    most pairs first."""
    rows = store.rows(
        "SELECT x.* FROM dropped x JOIN document d ON d.id=x.document_id "
        "JOIN root r ON r.id=d.root_id WHERE r.learn=1 AND d.status='indexed' "
        "ORDER BY x.reason, x.pairs DESC, x.document_id"
    )
    return [{**row, "examples": json.loads(row["examples"])} for row in rows]


def undecided(store: Store) -> list[dict[str, Any]]:
    """Facts that wait for a review or were rejected: `document_id`, `status`, `facts`."""
    return store.rows(
        "SELECT p.document_id, p.status, count(DISTINCT p.fact) AS facts FROM pair p "
        "JOIN document d ON d.id=p.document_id JOIN root r ON r.id=d.root_id "
        "WHERE r.learn=1 AND p.status IN ('waiting', 'rejected') AND p.kind='closed' "
        "GROUP BY p.document_id, p.status ORDER BY facts DESC, p.document_id"
    )


def files(store: Store) -> list[dict[str, Any]]:
    """Every known file, as little of it as says whether it can be practised: `id`, `status`,
    `language`, `format`, `learn`, `written` (its questions are) and `pairs`."""
    return store.rows(
        "SELECT d.id, d.status, d.language, d.format, r.learn, d.paired_sha=d.sha256 AS written, "
        "EXISTS (SELECT 1 FROM pair p WHERE p.document_id=d.id) AS pairs "
        f"FROM document d JOIN root r ON r.id=d.root_id WHERE {_KNOWN} ORDER BY d.id"
    )


def names(store: Store, document_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """`path`, `root` and `reason` by id; nothing of a file that is forgotten or gone."""
    found: dict[int, dict[str, str]] = {}
    wanted = sorted(set(document_ids))
    for start in range(0, len(wanted), _BATCH):
        some = wanted[start : start + _BATCH]
        for row in store.rows(
            "SELECT d.id, d.path, d.reason, r.path AS root FROM document d "
            f"JOIN root r ON r.id=d.root_id WHERE {_KNOWN} AND d.id IN ({_marks(some)})",
            some,
        ):
            found[row.pop("id")] = row
    return found


def questions(store: Store, pair_ids: Iterable[int]) -> list[dict[str, Any]]:
    """`id`, `document_id`, `question` and `answer` of the pairs that are still there, by id."""
    found: list[dict[str, Any]] = []
    wanted = sorted(set(pair_ids))
    for start in range(0, len(wanted), _BATCH):
        some = wanted[start : start + _BATCH]
        found += store.rows(
            "SELECT id, document_id, question, answer FROM pair "
            f"WHERE id IN ({_marks(some)}) ORDER BY id",
            some,
        )
    return found


# -- of nights -------------------------------------------------------------------------------------


def put(
    store: Store,
    run_id: int,
    at: str,
    body: Mapping[str, Any],
    left_out: Mapping[tuple[str, int], int] | None = None,
) -> None:
    """Store what is known of a night; `left_out` counts facts by `(reason, file id)`, with 0 for a
    file that was left out as a whole. None leaves those that are stored."""
    with store.transaction() as db:
        db.execute(
            "INSERT INTO report(run_id, at, body) VALUES(?,?,?) "
            "ON CONFLICT(run_id) DO UPDATE SET at=excluded.at, body=excluded.body",
            (run_id, at, json.dumps(body)),
        )
        if left_out is not None:
            db.execute("DELETE FROM report_file WHERE run_id=?", (run_id,))
            for (reason, document_id), count in left_out.items():
                db.execute(
                    "INSERT INTO report_file VALUES(?,?,?,?)", (run_id, document_id, reason, count)
                )


def get(store: Store, run_id: int) -> tuple[str, dict[str, Any]] | None:
    """When it was stored, and what; None for a night that left nothing."""
    rows = store.rows("SELECT at, body FROM report WHERE run_id=?", (run_id,))
    return (rows[0]["at"], json.loads(rows[0]["body"])) if rows else None


def left_out(store: Store, run_id: int) -> list[dict[str, Any]]:
    """`reason`, `document_id` and `count`, most first."""
    return store.rows(
        "SELECT reason, document_id, count FROM report_file WHERE run_id=? "
        "ORDER BY reason, count DESC, document_id",
        (run_id,),
    )


def put_samples(store: Store, run_id: int, found: Iterable[Sample]) -> None:
    """Set a night's samples; those whose pair has gone meanwhile are left out."""
    with store.transaction() as db:
        db.execute("DELETE FROM sample WHERE run_id=?", (run_id,))
        for item in found:
            said = (item.probe, item.before, item.after, item.right_before, item.right_after)
            cursor = db.execute(
                "INSERT INTO sample(run_id, pair_id, probe, said_before, said_after, right_before, "
                "right_after) SELECT ?,id,?,?,?,?,? FROM pair WHERE id=?",
                (run_id, *said, item.pair_id),
            )
            for number in item.sources if cursor.rowcount == 1 else ():
                db.execute("INSERT INTO sample_file VALUES(?,?)", (number, cursor.lastrowid))


def samples(store: Store, run_id: int) -> list[dict[str, Any]]:
    """A night's samples in the order of their drawing, each with `question` and `answer`."""
    return store.rows(
        "SELECT s.*, p.question, p.answer, p.document_id FROM sample s "
        "JOIN pair p ON p.id=s.pair_id WHERE s.run_id=? ORDER BY s.id",
        (run_id,),
    )


# -- forgetting ------------------------------------------------------------------------------------


def naming(store: Store, document_ids: Iterable[int]) -> set[int]:
    """The nights whose reports may name these files, and the one without a run."""
    found = {NO_RUN}
    dropped = False
    for number in document_ids:
        found |= set(
            store.column(
                "SELECT run_id FROM run_document WHERE document_id=?1 "
                "UNION SELECT run_id FROM report_file WHERE document_id=?1 "
                "UNION SELECT s.run_id FROM sample_file f JOIN sample s ON s.id=f.sample_id "
                "WHERE f.document_id=?1 "
                "UNION SELECT s.run_id FROM pair p JOIN sample s ON s.pair_id=p.id "
                "WHERE p.document_id=?1",
                (number,),
            )
        )
        dropped = dropped or bool(store.one("SELECT 1 FROM dropped WHERE document_id=?", (number,)))
    if dropped:  # any report may show one of its examples
        found |= set(store.column("SELECT run_id FROM report"))
    return found


def forget(store: Store, document_ids: Iterable[int]) -> None:
    """Take away what was dropped of these files, and all answers of versions that saw them: what
    a version says may be what it must not know any more."""
    with store.transaction() as db:
        for number in document_ids:
            db.execute("DELETE FROM dropped WHERE document_id=?", (number,))
            db.execute(
                "DELETE FROM sample WHERE "
                "id IN (SELECT sample_id FROM sample_file WHERE document_id=?1) OR run_id IN ("
                "SELECT run_id FROM run_document WHERE document_id=?1 UNION "
                "SELECT n.id FROM run_document rd JOIN version v ON v.run_id=rd.run_id "
                "JOIN run n ON n.parent=v.number WHERE rd.document_id=?1)",
                (number,),
            )


def _marks(values: list[int]) -> str:
    return ",".join("?" * len(values))
