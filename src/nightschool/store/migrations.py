"""Numbered schema steps. Append only: a released step never changes, each says why it exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def _run(db: Database, statements: str) -> None:
    """Run statements one by one: `executescript` would commit the surrounding transaction."""
    for statement in statements.split(";;"):
        if statement.strip():
            db.execute(statement)


def m001_first_schema(db: Database) -> None:
    """Folders, files, passages, full text, vectors, practice pairs, nights, versions, state.

    Ids of files, passages and pairs are never used again (AUTOINCREMENT): a citation, a pair's
    context or a receipt that outlives its passage must not come to name another one.
    """
    _run(
        db,
        """
        CREATE TABLE root (
            id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, learn INTEGER NOT NULL DEFAULT 1,
            added_at TEXT NOT NULL
        );;
        CREATE TABLE document (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            root_id INTEGER NOT NULL REFERENCES root(id) ON DELETE CASCADE,
            path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
            sha256 TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
            title TEXT NOT NULL DEFAULT '', format TEXT NOT NULL DEFAULT '',
            redactions TEXT NOT NULL DEFAULT '{}', updated_at TEXT NOT NULL,
            paired_sha TEXT NOT NULL DEFAULT '',
            UNIQUE (root_id, path)
        );;
        CREATE INDEX document_sha ON document(sha256);;
        CREATE TABLE chunk (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            document_id INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
            safe TEXT NOT NULL, locator TEXT NOT NULL,
            UNIQUE (document_id, ordinal)
        );;
        CREATE VIRTUAL TABLE chunk_fts USING fts5(
            title, text, content='chunk', content_rowid='id',
            tokenize="porter unicode61 remove_diacritics 2"
        );;
        CREATE TRIGGER chunk_fts_insert AFTER INSERT ON chunk BEGIN
            INSERT INTO chunk_fts(rowid, title, text) VALUES (new.id, new.title, new.text);
        END;;
        CREATE TRIGGER chunk_fts_delete AFTER DELETE ON chunk BEGIN
            INSERT INTO chunk_fts(chunk_fts, rowid, title, text)
            VALUES ('delete', old.id, old.title, old.text);
        END;;
        CREATE TRIGGER chunk_fts_update AFTER UPDATE OF title, text ON chunk BEGIN
            INSERT INTO chunk_fts(chunk_fts, rowid, title, text)
            VALUES ('delete', old.id, old.title, old.text);
            INSERT INTO chunk_fts(rowid, title, text) VALUES (new.id, new.title, new.text);
        END;;
        CREATE TABLE vector (
            chunk_id INTEGER NOT NULL REFERENCES chunk(id) ON DELETE CASCADE,
            embedder TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (chunk_id, embedder)
        );;
        CREATE TABLE pair (
            id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, question TEXT NOT NULL,
            answer TEXT NOT NULL, evidence TEXT NOT NULL, fact TEXT NOT NULL,
            phrasing INTEGER NOT NULL, split TEXT NOT NULL, context TEXT NOT NULL DEFAULT '[]',
            writer TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'auto', created_at TEXT NOT NULL,
            document_id INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE
        );;
        CREATE INDEX pair_document ON pair(document_id);;
        CREATE TABLE pair_chunk (
            pair_id INTEGER NOT NULL REFERENCES pair(id) ON DELETE CASCADE,
            chunk_id INTEGER NOT NULL REFERENCES chunk(id) ON DELETE CASCADE,
            PRIMARY KEY (pair_id, chunk_id)
        );;
        CREATE INDEX pair_chunk_chunk ON pair_chunk(chunk_id);;
        CREATE TABLE run (
            id INTEGER PRIMARY KEY, outcome TEXT NOT NULL, started_at TEXT NOT NULL,
            ended_at TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL, base_sha TEXT NOT NULL,
            seed INTEGER NOT NULL, parent INTEGER NOT NULL DEFAULT 0, version INTEGER,
            scorecard TEXT, message TEXT NOT NULL DEFAULT ''
        );;
        CREATE TABLE run_document (
            run_id INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
            root_path TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
            pairs INTEGER NOT NULL, PRIMARY KEY (run_id, root_path, path)
        );;
        CREATE TABLE version (
            number INTEGER PRIMARY KEY, base_sha TEXT NOT NULL, status TEXT NOT NULL,
            created_at TEXT NOT NULL, scale REAL NOT NULL DEFAULT 1.0,
            run_id INTEGER REFERENCES run(id), sha256 TEXT NOT NULL DEFAULT '',
            directory TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT ''
        );;
        CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL)
        """,
    )


def m002_forgetting(db: Database) -> None:
    """Receipts of what was forgotten, what must stay away, and which file a night saw by its id.

    A file keeps its id when it is moved or edited, so the id finds the versions that saw any
    content it ever had. `forgotten.state` is `gone` (deleted, or to be kept out) or `returned`.
    """
    _run(
        db,
        """
        CREATE TABLE receipt (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL,
            target TEXT NOT NULL, grace_until TEXT NOT NULL DEFAULT '', body TEXT NOT NULL,
            undone_at TEXT NOT NULL DEFAULT '', erased_at TEXT NOT NULL DEFAULT '',
            erased TEXT NOT NULL DEFAULT '{}'
        );;
        CREATE TABLE forgotten (
            receipt_id INTEGER NOT NULL REFERENCES receipt(id) ON DELETE CASCADE,
            root_path TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
            document_id INTEGER NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'gone'
        );;
        CREATE INDEX forgotten_receipt ON forgotten(receipt_id);;
        CREATE INDEX forgotten_path ON forgotten(path);;
        CREATE INDEX forgotten_sha ON forgotten(sha256);;
        CREATE INDEX forgotten_document ON forgotten(document_id);;
        ALTER TABLE run_document ADD COLUMN document_id INTEGER NOT NULL DEFAULT 0;;
        UPDATE run_document SET document_id = coalesce((
            SELECT d.id FROM document d JOIN root r ON r.id=d.root_id
            WHERE r.path=run_document.root_path AND d.path=run_document.path), 0);;
        CREATE INDEX run_document_document ON run_document(document_id);;
        CREATE INDEX run_document_sha ON run_document(sha256)
        """,
    )


def m003_sources(db: Database) -> None:
    """What kind of place a folder is (it decides which files are read), and a file's language."""
    _run(
        db,
        """
        ALTER TABLE root ADD COLUMN source TEXT NOT NULL DEFAULT 'folder';;
        ALTER TABLE document ADD COLUMN language TEXT NOT NULL DEFAULT ''
        """,
    )


def m006_judgements(db: Database) -> None:
    """Answers that may be judged, what was said of them, and the review queue's decisions.

    An answer dies with any file that it cites. A decision is a hash: no text outlives its file.
    """
    _run(
        db,
        """
        CREATE TABLE answer (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, version INTEGER NOT NULL,
            question TEXT NOT NULL, text TEXT NOT NULL, carried_by TEXT NOT NULL
        );;
        CREATE TABLE answer_document (
            answer_id INTEGER NOT NULL REFERENCES answer(id) ON DELETE CASCADE,
            document_id INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE,
            PRIMARY KEY (answer_id, document_id)
        );;
        CREATE INDEX answer_document_document ON answer_document(document_id);;
        CREATE TRIGGER answer_dies AFTER DELETE ON answer_document BEGIN
            DELETE FROM answer WHERE id=old.answer_id;
        END;;
        CREATE TABLE feedback (
            answer_id INTEGER PRIMARY KEY REFERENCES answer(id) ON DELETE CASCADE,
            at TEXT NOT NULL, verdict TEXT NOT NULL, correction TEXT NOT NULL DEFAULT ''
        );;
        CREATE TABLE decision (key TEXT PRIMARY KEY, status TEXT NOT NULL, at TEXT NOT NULL)
        """,
    )


def m007_reports(db: Database) -> None:
    """What a night's report needs beside the night's own row: figures, and which files by id.

    Names and texts are joined from the files while those are there. What was dropped of a file
    holds its words, and so does what versions answered: both die with the content they come from
    (`sample_file` are the files whose passages an answer may rest on).
    """
    _run(
        db,
        """
        CREATE TABLE dropped (
            document_id INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE,
            reason TEXT NOT NULL, pairs INTEGER NOT NULL, facts INTEGER NOT NULL,
            examples TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (document_id, reason)
        );;
        CREATE TRIGGER dropped_dies AFTER UPDATE OF sha256 ON document
            WHEN old.sha256<>new.sha256 BEGIN DELETE FROM dropped WHERE document_id=new.id;
        END;;
        CREATE TABLE report (run_id INTEGER PRIMARY KEY, at TEXT NOT NULL, body TEXT NOT NULL);;
        CREATE TABLE report_file (
            run_id INTEGER NOT NULL REFERENCES report(run_id) ON DELETE CASCADE,
            document_id INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
            PRIMARY KEY (run_id, document_id, reason)
        );;
        CREATE INDEX report_file_document ON report_file(document_id);;
        CREATE TABLE sample (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES report(run_id) ON DELETE CASCADE,
            pair_id INTEGER NOT NULL REFERENCES pair(id) ON DELETE CASCADE,
            probe TEXT NOT NULL, said_before TEXT NOT NULL, said_after TEXT NOT NULL,
            right_before INTEGER NOT NULL, right_after INTEGER NOT NULL,
            UNIQUE (run_id, probe, pair_id)
        );;
        CREATE INDEX sample_pair ON sample(pair_id);;
        CREATE TABLE sample_file (
            document_id INTEGER NOT NULL,
            sample_id INTEGER NOT NULL REFERENCES sample(id) ON DELETE CASCADE,
            PRIMARY KEY (document_id, sample_id)
        );;
        CREATE INDEX sample_file_sample ON sample_file(sample_id)
        """,
    )


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    m001_first_schema,
    m002_forgetting,
    m003_sources,
    m006_judgements,
    m007_reports,
)
