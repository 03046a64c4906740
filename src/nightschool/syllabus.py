"""What tonight practises and what the exam asks, from the stored pairs.

Sits beside `cycle` (same layer): it joins `pairs` (forms), `store` and `evaluate` (questions).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

from nightschool.config import Config
from nightschool.engine.examinee import Remembered
from nightschool.engine.runtime import Runtime
from nightschool.evaluate.probes import questions
from nightschool.evaluate.subject import Material, Question, Secret
from nightschool.ingest import redact as secrets
from nightschool.pairs import model_writer, synthesize
from nightschool.pairs.crowds import crowded
from nightschool.pairs.feedback import preferences
from nightschool.pairs.feedback import to_pairs as from_feedback
from nightschool.pairs.forms import ABSTAIN, fit, prompt, question_prompt
from nightschool.pairs.model_writer import PROMPT, SPELLED_OUT, ModelWriter
from nightschool.pairs.rules import RuleWriter
from nightschool.ports import PairWriter, Progress
from nightschool.records import Chunk, Pair, PairKind, Split
from nightschool.store import documents, feedback, pairs
from nightschool.store.db import Store

if TYPE_CHECKING:
    from nightschool.train.night import Lesson

MIN_FACTS = 8
"""Fewer facts than this teach nothing that an exam could see."""
MAX_RECALL = 300
MAX_SERVED = 100
MAX_OWN_TEXTS = 60
MISSING = "rules:missing"
"""The writer of questions about attributes that no file mentions (see `pairs.reading`)."""
OLD = 0.25
"""Of the facts of a night that continues, the share that earlier nights practised."""
CROWD = "too many facts agree (pairs.alike)"
NO_ROOM = "no room in tonight's budget"
SHARES = ("more than one file may give (pairs.file_share)",
          "more than one folder may give (pairs.folder_share)")  # fmt: skip
"""Why a fact is not learned by heart; the shares in the order of their caps."""
KEPT_OUT = 64
"""Rehearsal prompts kept out of practice, for the KL probe."""


@dataclass(frozen=True, slots=True)
class Syllabus:
    """`closed`, `context` and `rehearsal` are `(prompt, answer)`; `documents` counts pairs per
    file id, with 0 for files of which passages are only shown; `sources` are the
    `(root, path, sha256)` that are practised; `facts` of `available` are learned by heart
    (`chosen` names them), `new` of all were never practised."""

    closed: tuple[tuple[str, str], ...]
    context: tuple[tuple[str, str], ...]
    rehearsal: tuple[tuple[str, str], ...]
    texts: tuple[str, ...]
    material: Material
    facts: int
    available: int
    documents: dict[int, int]
    sources: set[tuple[str, str, str]]
    chosen: frozenset[str] = frozenset()
    new: int = 0
    judged: tuple[tuple[str, str, bool], ...] = ()
    """`(question, answer, liked)`: what the user said of answers."""
    with_passage: tuple[tuple[str, str, str], ...] = ()
    """`(prompt, answer, the prompt with its passage)` of the facts to recall."""
    crowded: int = 0
    """Facts that were left out because too many agree."""
    left_out: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Facts that are not learned by heart tonight, by the reason and their file's id."""
    taught: tuple[int, ...] = ()
    """The id of one pair of each fact that is, and of each file that says it."""
    forms: Mapping[str, int] = field(default_factory=dict)
    """Pairs that are practised, by their kind."""
    asked: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The pairs behind `material.recall` and `material.served`, in their order."""

    def lesson(self, texts: Sequence[str]) -> Lesson:
        """What the learner practises, with these plain texts."""
        from nightschool.train.night import Lesson  # torch, which counting pairs does not need

        return Lesson(
            self.closed, self.context, self.rehearsal, texts, self.judged, self.with_passage
        )


def syllabus(
    store: Store,
    known: set[tuple[str, str, str]],
    limit: int = 0,
    share: float = 0.0,
    earlier: frozenset[str] | None = None,
    folder_share: float = 0.0,
    alike: int = 0,
) -> Syllabus:
    """Everything one night needs. `known` are the sources that the served version practised.

    `limit` bounds the facts to learn by heart (0 = all): a few facts well, rather than all badly;
    `share` how many of them one file may give (0 = as many as come), `folder_share` how many one
    folder (a watched one, or one right inside it) may give where there are several. Facts of
    which more than `alike` agree are left out (0 = none, see `pairs.crowds`). A night
    that continues takes facts that were not `earlier` practised first, with some that were, and
    asks about all of them.
    """
    every = pairs.all_pairs(store, split=Split.TRAIN)
    crowd = crowded(every, alike)
    train = [pair for pair in every if pair.fact not in crowd]
    available = list(dict.fromkeys(p.fact for p in train if p.kind is PairKind.CLOSED))
    owner = pairs.owners(store)
    items = _documents(store)
    before = earlier or frozenset()
    caps = ((share, owner), (folder_share, _folders(owner, items)))
    some, capped = _choose(train, limit or len(available), caps, before)
    chosen = set(some)
    left_out = _left_out(every, owner, {**dict.fromkeys(crowd, CROWD), **capped}, chosen)
    train = [p for p in train if p.fact in chosen or p.fact not in set(available)]
    hidden = [p for p in pairs.all_pairs(store, split=Split.HIDDEN) if p.fact not in crowd]
    judged, opinions, resting = _judged(store, hidden)
    stock = documents.chunks(
        store, {i for p in (*train, *hidden) for i in (*p.chunk_ids, *p.context)}
    )
    practised = {_document_of(pair, stock) for pair in train}
    context = [
        (prompt(pair, _contexts(pair, stock)), pair.answer)
        for pair in train
        if pair.kind is not PairKind.CLOSED
    ]
    rehearsal = _rehearsal()
    own = list(stock.values())[:MAX_OWN_TEXTS]
    shown = {stock[i] for p in train for i in p.context if i in stock}
    closed = [p for p in hidden if p.kind is PairKind.CLOSED and p.fact in chosen]
    recalled, served = _spread(closed, MAX_RECALL), _served(hidden)
    recall = [_question(pair, stock, items) for pair in recalled]
    known_before = [p for p in hidden if p.kind is PairKind.CLOSED and p.fact in before]
    old = [_question(pair, stock, items) for pair in _spread(known_before, MAX_SERVED)]
    if earlier is None:
        groups = {f"{root}/{path}@{sha}" for root, path, sha in known}
        old = [question for question in recall if question.group in groups]
    return Syllabus(
        closed=(*_by_heart(train), *((prompt(pair), pair.answer) for pair in judged)),
        context=tuple(context),
        rehearsal=tuple(
            (question_prompt(q, [c] if c else []), a) for c, q, a in rehearsal[KEPT_OUT:]
        ),
        texts=tuple(_texts(own)),
        material=Material(
            recall=tuple(recall),
            served=tuple(_question(pair, stock, items) for pair in served),
            old=tuple(old),
            rehearsed=tuple(_rehearsed(rehearsal[:KEPT_OUT])),
            secrets=tuple(_secrets(store)),
        ),
        facts=len(chosen),
        chosen=frozenset(chosen),
        new=len(set(available) - before),
        judged=tuple(opinions),
        with_passage=tuple(_with_passage(train, stock)),
        crowded=len(crowd),
        left_out=left_out,
        taught=_taught(train, owner, chosen),
        forms=Counter(pair.kind.value for pair in train),
        asked={
            "recall": tuple(pair.id for pair in recalled),
            "served": tuple(pair.id for pair in served),
        },
        available=len(available),
        documents=dict.fromkeys(
            sorted({*resting, *(chunk.document_id for chunk in (*shown, *own))}), 0
        )
        | pairs.documents_of(store, [pair.id for pair in train]),
        sources={items[i] for i in practised if i in items},
    )


def write_questions(
    store: Store, config: Config, runtime: Runtime, parts: Remembered, report: Progress
) -> synthesize.PairReport:
    """Write the pairs of all files that have none yet, with the base model and the rules."""
    runtime.llama.activate(None)
    prompts = (PROMPT, SPELLED_OUT) if runtime.abilities.examined else (PROMPT,)
    base = runtime.model.sha256
    model = ModelWriter(
        runtime.llama,
        prompts=prompts,
        known=model_writer.remembered(store, base, prompts),
        sat=lambda found: model_writer.remember(store, base, prompts, found),
    )
    writers: list[PairWriter] = [RuleWriter(), model]
    languages = [one.strip() for one in config.learn.languages.split(",")]
    avoid = questions()
    return synthesize.write_pairs(
        store, writers, parts, parts, report, avoid, languages, config.pairs
    )


def _with_passage(train: list[Pair], stock: dict[int, Chunk]) -> Iterable[tuple[str, str, str]]:
    for pair in train:
        if pair.kind is PairKind.CLOSED and pair.chunk_ids[0] in stock:
            shown = fit([(stock[pair.chunk_ids[0]].safe, pair.evidence)])
            yield prompt(pair), pair.answer, question_prompt(pair.question, shown)


def _judged(
    store: Store, hidden: list[Pair]
) -> tuple[list[Pair], list[tuple[str, str, bool]], set[int]]:
    """Answers that the user liked or corrected, all opinions, and the files they rest on."""
    given, files = feedback.learnable(store)
    if not given:
        return [], [], set()
    exam = {pair.question for pair in hidden}
    found = from_feedback(given, _holds_secret, questions(), exam)
    return found, preferences(given, _holds_secret), files


def _holds_secret(text: str) -> bool:
    return bool(secrets.find(text))


def _folders(
    owner: dict[int, int], items: dict[int, tuple[str, str, str]]
) -> dict[int, tuple[str, str]]:
    """The folder of each pair: the watched one, or that right inside it; empty where all of them
    have the same, because then no folder could crowd another one out."""
    found = {}
    for pair, document in owner.items():
        root, path, _ = items.get(document, ("", "", ""))
        found[pair] = root, path.partition("/")[0] if "/" in path else ""
    return found if len(set(found.values())) > 1 else {}


def _choose(
    train: list[Pair],
    limit: int,
    caps: Sequence[tuple[float, Mapping[int, Hashable]]],
    old: frozenset[str],
) -> tuple[list[str], dict[str, str]]:
    """Facts in turn from every passage, so that no long file crowds the others out; of `old` ones
    `OLD` of the limit while there are others. Each of `caps` is a share of the limit (0 = none) and
    where each pair comes from: no place may give more than that. Also, by fact, which cap left it
    out."""
    queues: dict[int, list[str]] = {}
    for pair in train:
        if pair.kind is PairKind.CLOSED:
            queue = queues.setdefault(pair.chunk_ids[0], [])
            if pair.fact not in queue:
                queue.append(pair.fact)
    found: list[str] = []
    for turn in range(max((len(queue) for queue in queues.values()), default=0)):
        found += [queue[turn] for queue in queues.values() if turn < len(queue)]
    if old:
        earlier = [fact for fact in found if fact in old]
        few = earlier[: max(1, int(OLD * limit))]
        new = [fact for fact in found if fact not in old]
        found = [*few, *new[: limit - len(few)], *earlier[len(few) :]]
    of = {pair.fact: pair.id for pair in train if pair.kind is PairKind.CLOSED}
    limits = [
        (max(1, int(share * limit)), places, why)
        for (share, places), why in zip(caps, SHARES, strict=True)
        if share > 0 and places
    ]
    given: Counter[tuple[int, Hashable]] = Counter()
    kept: list[str] = []
    capped: dict[str, str] = {}
    for fact in found:
        spots = [(at, places[of[fact]]) for at, (_, places, _) in enumerate(limits)]
        full = [why for spot, (most, _, why) in zip(spots, limits, strict=True)
                if given[spot] >= most]  # fmt: skip
        if full:
            capped[fact] = full[0]
        else:
            given.update(spots)
            kept.append(fact)
    return kept[:limit], capped


def _taught(
    train: list[Pair], owner: Mapping[int, int], chosen: Collection[str]
) -> tuple[int, ...]:
    """The first wording of each fact that is learned by heart, from each file that says it."""
    known = [pair for pair in train if pair.kind is PairKind.CLOSED and pair.fact in chosen]
    return tuple({(pair.fact, owner[pair.id]): pair.id for pair in reversed(known)}.values())


def _left_out(
    every: list[Pair], owner: Mapping[int, int], why: Mapping[str, str], chosen: Collection[str]
) -> Counter[tuple[str, int]]:
    """How many facts of each file are not learned by heart, by reason."""
    first = {pair.fact: pair.id for pair in reversed(every) if pair.kind is PairKind.CLOSED}
    return Counter(
        (why.get(fact, NO_ROOM), owner[pair]) for fact, pair in first.items() if fact not in chosen
    )


def _by_heart(train: list[Pair]) -> Iterable[tuple[str, str]]:
    """Facts to recall, and what nothing in the files says, to be answered with "I don't know".

    Without the latter a small model answers every question of the practised form with some fact.
    """
    for pair in train:
        if pair.kind is PairKind.CLOSED or pair.writer == MISSING:
            yield prompt(pair), pair.answer


def _served(hidden: list[Pair]) -> list[Pair]:
    """Hidden questions as a user would ask them: bare, and right if the files' answer is given."""
    asked = [p for p in hidden if p.kind in (PairKind.CLOSED, PairKind.READING)]
    unique = list({pair.question: pair for pair in asked}.values())
    return _spread(unique, MAX_SERVED)


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
    return [*prose, *(chunk.safe for chunk in chunks)]


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
