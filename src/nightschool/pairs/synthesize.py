"""Write the practice pairs of every file that has none yet: the door of this stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nightschool.config import Pairs as Settings
from nightschool.pairs import curate, reading, split
from nightschool.pairs.dropped import Dropped
from nightschool.pairs.phrasing import HELD_OUT
from nightschool.ports import PairWriter, PassageReader, Progress, Retriever, silent
from nightschool.records import Chunk, Document, FileStatus, Pair, PairKind
from nightschool.store import documents, pairs, reports, review
from nightschool.store.db import Store


@dataclass(slots=True)
class PairReport:
    """What one call wrote: files, facts, pairs by `kind/split`, and what was dropped and why."""

    documents: int = 0
    facts: int = 0
    pairs: Counter[str] = field(default_factory=Counter)
    dropped: Dropped = field(default_factory=Dropped)
    reader: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


NOT_PRACTISED = frozenset({"code", "json", "json lines", "commits", "history", "bookmarks"})
"""Formats that are only searched: what is written for machines makes no questions of a person's."""


def write_pairs(
    store: Store,
    writers: Sequence[PairWriter],
    reader: PassageReader | None,
    retriever: Retriever | None,
    progress: Progress = silent,
    avoid: Collection[str] = (),
    languages: Collection[str] = ("en",),
    settings: Settings | None = None,
) -> PairReport:
    """Write, curate, split and store the pairs of all unpaired files of learnable folders.

    `reader` confirms answers (None: not checked), `retriever` finds distractors (None: other
    passages at random), `avoid` are probe questions that must not be practised, `languages` those
    (ISO 639-1) whose files are practised, `settings` what waits for the user, and the caps.
    Deterministic for the same store, writers, reader and
    retriever. Raises StoreError.
    """
    settings = settings or Settings()
    report = PairReport()
    todo = pairs.unpaired(store, languages, NOT_PRACTISED)
    if not todo:
        return report
    known = {item.id: item for item in _learnable(store)}
    stock = {chunk.id: chunk for item in known for chunk in documents.chunks_of(store, item)}
    old = [
        pair
        for pair in pairs.all_pairs(store)
        if pair.kind is not PairKind.UNANSWERABLE and not _any_of(pair, todo, stock)
    ]
    written: list[Pair] = []
    for number, document_id in enumerate(todo):
        progress("questions", number, len(todo))
        written += _one(
            known[document_id], documents.chunks_of(store, document_id), writers, report
        )
    written = curate.decontaminate(written, avoid, report.dropped)
    written, rejected = curate.duplicates(written, report.dropped, old)
    written = curate.near(written, settings.near_duplicates, report.dropped, old)
    progress("checking answers", 0, 0)
    excerpts = {pair.chunk_ids[0]: stock[pair.chunk_ids[0]].safe for pair in written}
    written = curate.agreement(
        written, reader, excerpts, report.dropped, report.reader, settings.auto_approve
    )
    owner = {chunk.id: chunk.document_id for chunk in stock.values()}
    passages_of: dict[int, list[int]] = {document_id: [] for document_id in known}
    for chunk_id, document_id in owner.items():
        passages_of[document_id].append(chunk_id)
    by_document: dict[int, list[Pair]] = {document_id: [] for document_id in todo}
    for pair in written:
        by_document[owner[pair.chunk_ids[0]]].append(pair)
    kept_out = frozenset(i for i, item in known.items() if split.held_out(item.sha256, len(known)))
    practised = {i for i, item in known.items() if item.pairs or by_document.get(i)}
    shown = {i: chunk for i, chunk in stock.items() if chunk.document_id in practised}
    passages = reading.Passages(shown, kept_out, retriever)
    exam = [p for p in (*old, *written) if p.kind is PairKind.CLOSED and p.phrasing >= HELD_OUT]
    few = len(exam) < split.FEW_FACTS
    for number, document_id in enumerate(todo):
        progress("distractors", number, len(todo))
        found = curate.cap(by_document[document_id], report.dropped, settings.facts_per_file)
        final = _finish(found, known[document_id], passages, document_id in kept_out, few)
        lost = report.dropped.of(passages_of[document_id])
        with store.transaction():
            pairs.replace(store, document_id, _waiting(found, final))
            reports.note_dropped(store, document_id, lost)
            review.apply(store, document_id)
        report.documents += 1
        report.facts += len({pair.fact for pair in found})
        report.pairs.update(f"{pair.kind}/{pair.split}" for pair in final)
    if rejected:
        pairs.set_status(store, sorted(rejected), "rejected")
    report.notes += [note for writer in writers if (note := getattr(writer, "note", ""))]
    progress("questions", len(todo), len(todo))
    return report


def _learnable(store: Store) -> list[Document]:
    learn = {root.id for root in documents.roots(store) if root.learn}
    return [
        item
        for item in documents.documents(store)
        if item.root_id in learn and item.status is FileStatus.INDEXED
    ]


def _any_of(pair: Pair, todo: Sequence[int], stock: Mapping[int, Chunk]) -> bool:
    return any(i in stock and stock[i].document_id in todo for i in pair.chunk_ids)


def _one(
    document: Document, chunks: Sequence[Chunk], writers: Sequence[PairWriter], report: PairReport
) -> list[Pair]:
    """One file's closed-book pairs, grounded in its own passages."""
    title = document.title or (chunks[0].locator.headings[:1] or ("",))[0] if chunks else ""
    found = curate.merge([writer.write(chunks, title) for writer in writers], report.dropped)
    return curate.ground(found, {chunk.id: chunk for chunk in chunks}, report.dropped)


def _waiting(found: Sequence[Pair], final: Sequence[Pair]) -> list[Pair]:
    """What was made from a fact that waits for the user waits with it."""
    unsure = {pair.fact for pair in found if pair.status == "waiting"}
    return [replace(p, status="waiting") if p.fact in unsure else p for p in final]


def _finish(
    found: list[Pair], document: Document, passages: reading.Passages, held_out: bool, few: bool
) -> list[Pair]:
    closed = split.by_phrasing(found, few)
    own = [c for c in passages.chunks.values() if c.document_id == document.id]
    own.sort(key=lambda chunk: chunk.ordinal)
    items = reading.items(closed, passages, exam_only=held_out)
    lacking = reading.missing(own, document.title, passages, exam_only=held_out) if found else []
    return ([] if held_out else closed) + items + lacking
