"""Answers that may still be judged, and what the user said of them.

Only the newest answers are kept, and those that were judged. All of it dies with the files that an
answer cites: the schema sees to it.
"""

from __future__ import annotations

from nightschool.clock import Clock, SystemClock, iso
from nightschool.errors import NotFound, UsageError
from nightschool.records import Answer, Feedback
from nightschool.store.db import Store

VERDICTS = ("up", "down", "correct")
LONGEST = 500
"""Characters of a correction: practice teaches short answers."""


def keep(
    store: Store, question: str, answer: Answer, most: int, *, clock: Clock | None = None
) -> str:
    """Remember an answer and return its name, `vVERSION/NUMBER`; empty when `most` is 0."""
    if most <= 0:
        return ""
    now = iso((clock or SystemClock()).now())
    with store.transaction() as db:
        cursor = db.execute(
            "INSERT INTO answer(at, version, question, text, carried_by) VALUES(?,?,?,?,?)",
            (now, answer.version, question, answer.text, answer.carried_by),
        )
        number = int(cursor.lastrowid or 0)
        for chunk_id in {item.chunk_id for item in answer.citations}:
            db.execute(
                "INSERT OR IGNORE INTO answer_document SELECT ?, document_id FROM chunk WHERE id=?",
                (number, chunk_id),
            )
        db.execute(
            "DELETE FROM answer WHERE id<=? AND id NOT IN (SELECT answer_id FROM feedback)",
            (number - most,),
        )
    return f"v{answer.version}/{number}"


def give(
    store: Store, name: str, verdict: str, correction: str = "", *, clock: Clock | None = None
) -> Feedback:
    """Judge the answer called `name`; a second judgement replaces the first.

    Raises UsageError for a verdict that is none or a correction that is missing or too long,
    NotFound when the answer is not remembered (any more).
    """
    if verdict not in VERDICTS:
        raise UsageError(f"{verdict!r} is no judgement.", f"One of: {', '.join(VERDICTS)}.")
    correction = " ".join(correction.split())
    if (verdict == "correct") != bool(correction):
        raise UsageError(
            "A correction needs the right answer, and only a correction has one.",
            'For example: nightschool feedback v3/17 correct "on Friday".',
        )
    if len(correction) > LONGEST:
        raise UsageError(f"A correction may have {LONGEST} characters.", "Say it shorter.")
    number = _number(name)
    now = iso((clock or SystemClock()).now())
    with store.transaction() as db:
        if number is None or not store.one("SELECT 1 FROM answer WHERE id=?", (number,)):
            raise NotFound(
                f"There is no answer {name!r} to judge.",
                "`ask` prints the name of its answer; only the newest are remembered.",
            )
        db.execute(
            "INSERT INTO feedback(answer_id, at, verdict, correction) VALUES(?,?,?,?) "
            "ON CONFLICT(answer_id) DO UPDATE SET at=excluded.at, verdict=excluded.verdict, "
            "correction=excluded.correction",
            (number, now, verdict, correction),
        )
    return next(item for item in given(store) if item.id == number)


def given(store: Store, since: str = "") -> list[Feedback]:
    """All judgements, newest first; with `since` only those given after that time."""
    rows = store.rows(
        "SELECT a.id, a.version, a.question, a.text, f.verdict, f.correction, f.at "
        "FROM feedback f JOIN answer a ON a.id=f.answer_id WHERE f.at>? ORDER BY f.at DESC, a.id",
        (since,),
    )
    return [Feedback(**{**row, "answer": f"v{row['version']}/{row['id']}"}) for row in rows]


def learnable(store: Store) -> tuple[list[Feedback], set[int]]:
    """Judgements that may be practised, newest first, and the ids of the files they rest on.

    An answer that cites a folder marked "search only, never learn" is not among them.
    """
    rows = store.rows(
        "SELECT ad.answer_id, ad.document_id, r.learn FROM answer_document ad "
        "JOIN document d ON d.id=ad.document_id JOIN root r ON r.id=d.root_id "
        "WHERE ad.answer_id IN (SELECT answer_id FROM feedback)"
    )
    barred = {row["answer_id"] for row in rows if not row["learn"]}
    files = {row["document_id"] for row in rows if row["answer_id"] not in barred}
    return [item for item in given(store) if item.id not in barred], files


def withdraw(store: Store, name: str) -> None:
    """Take a judgement back. Raises NotFound when there is none."""
    with store.transaction() as db:
        if db.execute("DELETE FROM feedback WHERE answer_id=?", (_number(name),)).rowcount < 1:
            raise NotFound(f"{name!r} was not judged.", "See `nightschool feedback`.")


def _number(name: str) -> int | None:
    tail = name.rsplit("/", 1)[-1]
    return int(tail) if tail.isdecimal() and len(tail) < 16 else None
