"""What tonight practises and what the exam asks, from the stored pairs.

Sits beside `cycle` (same layer): it joins `pairs` (forms), `store` and `evaluate` (questions).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from nightschool.evaluate.subject import Material, Question, Secret
from nightschool.pairs.forms import ABSTAIN, fit, prompt, question_prompt
from nightschool.records import Chunk, Pair, PairKind, Split
from nightschool.store import documents, pairs
from nightschool.store.db import Store

MAX_RECALL = 300
MAX_SERVED = 100
MAX_OWN_TEXTS = 60
MISSING = "rules:missing"
"""The writer of questions about attributes that no file mentions (see `pairs.reading`)."""
KEPT_OUT = 64
"""Rehearsal prompts kept out of practice, for the KL probe."""


@dataclass(frozen=True, slots=True)
class Syllabus:
    """`closed`, `context` and `rehearsal` are `(prompt, answer)`; `documents` counts pairs per
    file id; `sources` are the `(root, path, sha256)` that are practised; `facts` of `available`
    are learned by heart."""

    closed: tuple[tuple[str, str], ...]
    context: tuple[tuple[str, str], ...]
    rehearsal: tuple[tuple[str, str], ...]
    texts: tuple[str, ...]
    material: Material
    facts: int
    available: int
    documents: dict[int, int]
    sources: set[tuple[str, str, str]]


def syllabus(store: Store, known: set[tuple[str, str, str]], limit: int = 0) -> Syllabus:
    """Everything one night needs. `known` are the sources that the served version practised.

    `limit` bounds the facts to learn by heart (0 = all): a few facts well, rather than all badly.
    """
    train = pairs.all_pairs(store, split=Split.TRAIN)
    available = list(dict.fromkeys(p.fact for p in train if p.kind is PairKind.CLOSED))
    chosen = set(_choose(train, limit or len(available)))
    train = [p for p in train if p.fact in chosen or p.fact not in set(available)]
    hidden = pairs.all_pairs(store, split=Split.HIDDEN)
    stock = documents.chunks(
        store, {i for p in (*train, *hidden) for i in (*p.chunk_ids, *p.context)}
    )
    items = _documents(store)
    practised = {_document_of(pair, stock) for pair in train}
    context = [
        (prompt(pair, _contexts(pair, stock)), pair.answer)
        for pair in train
        if pair.kind is not PairKind.CLOSED
    ]
    rehearsal = _rehearsal()
    closed = [p for p in hidden if p.kind is PairKind.CLOSED and p.fact in chosen]
    recall = [_question(pair, stock, items) for pair in _spread(closed, MAX_RECALL)]
    old = [q for q in recall if q.group in {f"{root}/{path}@{sha}" for root, path, sha in known}]
    return Syllabus(
        closed=tuple(_by_heart(train)),
        context=tuple(context),
        rehearsal=tuple(
            (question_prompt(q, [c] if c else []), a) for c, q, a in rehearsal[KEPT_OUT:]
        ),
        texts=tuple(_texts(stock.values())),
        material=Material(
            recall=tuple(recall),
            served=tuple(_served(hidden, stock, items)),
            old=tuple(old),
            rehearsed=tuple(_rehearsed(rehearsal[:KEPT_OUT])),
            secrets=tuple(_secrets(store)),
        ),
        facts=len(chosen),
        available=len(available),
        documents=pairs.documents_of(store, [pair.id for pair in train]),
        sources={items[i] for i in practised if i in items},
    )


def _choose(train: list[Pair], limit: int) -> list[str]:
    """Facts in turn from every passage, so that no long file crowds the others out."""
    queues: dict[int, list[str]] = {}
    for pair in train:
        if pair.kind is PairKind.CLOSED:
            queue = queues.setdefault(pair.chunk_ids[0], [])
            if pair.fact not in queue:
                queue.append(pair.fact)
    found: list[str] = []
    for turn in range(max((len(queue) for queue in queues.values()), default=0)):
        found += [queue[turn] for queue in queues.values() if turn < len(queue)]
    return found[:limit]


def _by_heart(train: list[Pair]) -> Iterable[tuple[str, str]]:
    """Facts to recall, and what nothing in the files says, to be answered with "I don't know".

    Without the latter a small model answers every question of the practised form with some fact.
    """
    for pair in train:
        if pair.kind is PairKind.CLOSED or pair.writer == MISSING:
            yield prompt(pair), pair.answer


def _served(
    hidden: list[Pair], stock: dict[int, Chunk], items: dict[int, tuple[str, str, str]]
) -> Iterable[Question]:
    """Hidden questions as a user would ask them: bare, and right if the files' answer is given."""
    asked = [p for p in hidden if p.kind in (PairKind.CLOSED, PairKind.READING)]
    unique = list({pair.question: pair for pair in asked}.values())
    return [_question(pair, stock, items) for pair in _spread(unique, MAX_SERVED)]


def _question(
    pair: Pair, stock: dict[int, Chunk], items: dict[int, tuple[str, str, str]]
) -> Question:
    root, path, sha = items.get(_document_of(pair, stock), ("", "", ""))
    return Question(pair.question, (pair.answer,), group=f"{root}/{path}@{sha}")


def _rehearsed(rows: list[tuple[str, str, str]]) -> Iterable[Question]:
    return [Question(q, () if a == ABSTAIN else (a,), c) for c, q, a in rows]


def _spread(found: list[Pair], limit: int) -> list[Pair]:
    """At most `limit`, evenly over the list (which is ordered by document)."""
    if len(found) <= limit:
        return found
    return [found[i * len(found) // limit] for i in range(limit)]


def _contexts(pair: Pair, stock: dict[int, Chunk]) -> list[str]:
    shown = [stock[i] for i in pair.context if i in stock]
    return fit([(c.safe, pair.evidence if c.id in pair.chunk_ids else "") for c in shown])


def _document_of(pair: Pair, stock: dict[int, Chunk]) -> int:
    for chunk_id in pair.chunk_ids:
        if chunk_id in stock:
            return stock[chunk_id].document_id
    return 0


def _documents(store: Store) -> dict[int, tuple[str, str, str]]:
    roots = {root.id: root.path for root in documents.roots(store)}
    return {d.id: (roots[d.root_id], d.path, d.sha256) for d in documents.documents(store)}


def _rehearsal() -> list[tuple[str, str, str]]:
    """`(context, question, answer)` of the shipped rehearsal prompts, in their fixed order."""
    source = files("nightschool.pairs").joinpath("data/rehearsal.jsonl")
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines() if line]
    return [(row["context"], row["question"], row["answer"]) for row in rows]


def _texts(chunks: Iterable[Chunk]) -> Iterable[str]:
    """Plain text whose distribution must not move: prose, and the user's own passages."""
    source = files("nightschool.pairs").joinpath("data/prose.jsonl")
    prose = [json.loads(line)["text"] for line in source.read_text(encoding="utf-8").splitlines()]
    own = [chunk.safe for chunk in chunks][:MAX_OWN_TEXTS]
    return [*prose, *own]


def _secrets(store: Store) -> Iterable[Secret]:
    """What was redacted: the words of `text` that `safe` lacks, each with the text before it."""
    found = []
    for item in documents.documents(store):
        if not item.redactions:
            continue
        for chunk in documents.chunks_of(store, item.id):
            if chunk.safe == chunk.text:
                continue
            kept = set(chunk.safe.split())
            for word in dict.fromkeys(chunk.text.split()):
                if word not in kept and len(word) >= 6:
                    at = chunk.text.find(word)
                    found.append(Secret(chunk.text[max(0, at - 80) : at].strip() or "?", word))
    return found[:50]
