"""The review queue: facts that wait for the user, and decisions that outlive a file's rereading.

A fact is decided as a whole, with all its wordings. A decision is remembered by a hash of question
and answer, so that a rejected fact does not come back when its file is read again; the text itself
is not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from nightschool.clock import Clock, SystemClock, iso
from nightschool.errors import NotFound, UsageError
from nightschool.records import FactItem
from nightschool.store.db import Store

STATUSES = ("waiting", "auto", "agreed", "approved", "rejected")
_FACT = "SELECT document_id, fact FROM pair WHERE id=?"


def facts(store: Store, status: str = "", limit: int = 1000) -> list[FactItem]:
    """Facts of learnable folders, those that wait first. Raises UsageError for no such status."""
    if status and status not in STATUSES:
        raise UsageError(f"{status!r} is no status.", f"One of: {', '.join(STATUSES)}.")
    rows = store.rows(
        "SELECT min(p.id) AS id, p.question, p.answer, p.evidence, p.writer, p.status, "
        "count(*) AS wordings, d.path, r.path AS root FROM pair p "
        "JOIN document d ON d.id=p.document_id JOIN root r ON r.id=d.root_id "
        "WHERE r.learn=1 AND p.kind IN ('closed','reading') AND (?='' OR p.status=?) "
        "GROUP BY p.document_id, p.fact ORDER BY p.status<>'waiting', min(p.id) LIMIT ?",
        (status, status, limit),
    )
    return [FactItem(**row) for row in rows]


def counts(store: Store) -> dict[str, int]:
    """Facts by status."""
    found = store.rows(
        "SELECT status, count(*) AS n FROM (SELECT p.status FROM pair p "
        "JOIN document d ON d.id=p.document_id JOIN root r ON r.id=d.root_id "
        "WHERE r.learn=1 AND p.kind IN ('closed','reading') GROUP BY p.document_id, p.fact) "
        "GROUP BY status"
    )
    return {row["status"]: row["n"] for row in found}


def decide(
    store: Store, ids: Sequence[int], status: str, *, clock: Clock | None = None
) -> list[FactItem]:
    """Approve or reject the facts that these pairs belong to. Raises NotFound; then none is."""
    if status not in ("approved", "rejected"):
        raise UsageError(f"{status!r} is no decision.", "Approve or reject.")
    now = iso((clock or SystemClock()).now())
    with store.transaction() as db:
        for pair_id in ids:
            document, fact = _fact(store, pair_id)
            db.execute(
                "UPDATE pair SET status=? WHERE document_id=? AND fact=?", (status, document, fact)
            )
            for row in store.rows(
                "SELECT question, answer FROM pair WHERE document_id=? AND fact=?",
                (document, fact),
            ):
                db.execute(
                    "INSERT INTO decision(key, status, at) VALUES(?,?,?) ON CONFLICT(key) "
                    "DO UPDATE SET status=excluded.status, at=excluded.at",
                    (_key(row["question"], row["answer"]), status, now),
                )
    return [_item(store, pair_id) for pair_id in ids]


def edit(
    store: Store, pair_id: int, *, question: str = "", answer: str = "", clock: Clock | None = None
) -> FactItem:
    """Change the wording of one pair, or the answer of its whole fact; the fact is then approved.

    The answer must be literal words of the passage, else it would not be grounded in the file: say
    what the files do not with `feedback … correct`. Raises NotFound and UsageError.
    """
    question, answer = " ".join(question.split()), answer.strip()
    if not question and not answer:
        raise UsageError("There is nothing to change.", "Give --question or --answer.")
    with store.transaction() as db:
        document, fact = _fact(store, pair_id)
        if answer:
            texts = store.rows(
                "SELECT DISTINCT c.safe FROM chunk c JOIN pair_chunk pc ON pc.chunk_id=c.id "
                "JOIN pair p ON p.id=pc.pair_id WHERE p.document_id=? AND p.fact=?",
                (document, fact),
            )
            line = _line_with(answer, [str(row["safe"]) for row in texts])
            if not line:
                raise UsageError(
                    "The passage does not say that in these words.",
                    "Copy the answer from the passage, or correct the file.",
                )
            db.execute(
                "UPDATE pair SET answer=?, evidence=? WHERE document_id=? AND fact=? "
                "AND kind IN ('closed','reading')",
                (answer, line, document, fact),
            )
        if question:
            db.execute("UPDATE pair SET question=? WHERE id=?", (question, pair_id))
    decide(store, [pair_id], "approved", clock=clock)
    return _item(store, pair_id)


def apply(store: Store, document_id: int) -> int:
    """Give pairs that were written anew the status that was decided for them; how many facts."""
    known = {row["key"]: row["status"] for row in store.rows("SELECT key, status FROM decision")}
    if not known:
        return 0
    decided: dict[str, str] = {}
    for row in store.rows(
        "SELECT question, answer, fact FROM pair WHERE document_id=?", (document_id,)
    ):
        if status := known.get(_key(row["question"], row["answer"])):
            decided[row["fact"]] = status
    with store.transaction() as db:
        for fact, status in decided.items():
            db.execute(
                "UPDATE pair SET status=? WHERE document_id=? AND fact=?",
                (status, document_id, fact),
            )
    return len(decided)


def _fact(store: Store, pair_id: int) -> tuple[int, str]:
    rows = store.rows(_FACT, (pair_id,))
    if not rows:
        raise NotFound(f"There is no practice pair {pair_id}.", "See `nightschool pairs list`.")
    return int(rows[0]["document_id"]), str(rows[0]["fact"])


def _item(store: Store, pair_id: int) -> FactItem:
    rows = store.rows(
        "SELECT p.id, p.question, p.answer, p.evidence, p.writer, p.status, d.path, "
        "r.path AS root, (SELECT count(*) FROM pair o WHERE o.document_id=p.document_id "
        "AND o.fact=p.fact AND o.kind IN ('closed','reading')) AS wordings FROM pair p "
        "JOIN document d ON d.id=p.document_id JOIN root r ON r.id=d.root_id WHERE p.id=?",
        (pair_id,),
    )
    return FactItem(**rows[0])


def _line_with(answer: str, texts: Sequence[str]) -> str:
    for text in texts:
        for line in text.splitlines():
            if answer in line:
                return line.strip()
    return ""


def _key(question: str, answer: str) -> str:
    plain = "\n".join(" ".join(text.casefold().split()) for text in (question, answer))
    return hashlib.sha256(plain.encode()).hexdigest()
