"""Items with passages: find the answer among real distractors, or say that it is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from nightschool.pairs import curate, split
from nightschool.pairs.forms import ABSTAIN
from nightschool.pairs.phrasing import HELD_OUT, attribute
from nightschool.pairs.rules.subject import of_title
from nightschool.pairs.text import content, fingerprint, holds, share
from nightschool.ports import Retriever
from nightschool.records import Chunk, Pair, PairKind, Split

DISTRACTORS = 3
"""At most so many beside the gold passage; what retrieval gives a small model to read."""

UNANSWERABLE = 0.34
"""The share of facts that also become an item whose passages lack the answer."""

OF_PEOPLE = (
    "phone number",
    "email address",
    "birthday",
    "blood group",
    "home address",
    "favourite colour",
    "middle name",
    "maiden name",
    "star sign",
    "shoe size",
    "salary",
    "nickname",
)
OF_THINGS = (
    "serial number",
    "price",
    "colour",
    "phone number",
    "warranty",
    "delivery date",
    "reference number",
    "weight",
    "opening hours",
    "expiry date",
    "supplier",
    "insurance",
)


@dataclass(frozen=True, slots=True)
class Passages:
    """What may be shown: passages of practised files by id, and which files are held out.

    Only files that have pairs of their own belong here: the lineage of a night is kept by them.
    """

    chunks: Mapping[int, Chunk]
    held_out: frozenset[int]
    retriever: Retriever | None = None

    def near(self, question: str, gold: Chunk) -> list[Chunk]:
        """Passages that a search for the question finds, then some others, without the gold one."""
        hits = [] if self.retriever is None else self.retriever.search(question, k=4 * DISTRACTORS)
        ids = [hit.chunk_id for hit in hits]
        # Where search finds too little, others in an order that the gold passage fixes.
        others = sorted(self.chunks)
        start = int(share(str(gold.ordinal) + gold.safe, "distractor") * len(others))
        ids += (others[start:] + others[:start])[: 4 * DISTRACTORS]
        return [
            self.chunks[i]
            for i in dict.fromkeys(ids)
            if i in self.chunks and i != gold.id and self.chunks[i].safe.strip()
        ]

    def distractors(self, near: Sequence[Chunk], answer: str, *, exam: bool) -> list[Chunk]:
        """Those that lack the answer; passages of held-out files are for exam items only."""
        fit = (
            chunk
            for chunk in near
            if not holds(chunk.safe, answer)
            and not holds(chunk.text, answer)
            and (exam or chunk.document_id not in self.held_out)
        )
        return list(islice(fit, DISTRACTORS))


def items(closed: Sequence[Pair], passages: Passages, *, exam_only: bool) -> list[Pair]:
    """Reading and unanswerable items from one document's curated closed-book pairs.

    `exam_only` is for held-out files: everything is hidden, and the closed-book pairs themselves
    are not used. Otherwise each fact gives one practice item and one with its exam wording.
    """
    made: list[Pair] = []
    for fact, group in curate.facts_of(closed).items():
        practised = [pair for pair in group if pair.phrasing < HELD_OUT]
        exam = [pair for pair in group if pair.phrasing >= HELD_OUT]
        if exam_only:
            chosen = [replace(practised[0], split=Split.HIDDEN)]
        else:
            chosen = [practised[int(share(fact, "reading") * len(practised))], *exam[:1]]
        gold = passages.chunks[group[0].chunk_ids[0]]
        near = passages.near(group[0].question, gold)
        for pair in chosen:
            hidden = pair.split is not Split.TRAIN
            others = passages.distractors(near, pair.answer, exam=hidden)
            made.append(_reading(pair, gold, others))
            lacking = share(f"{fact}{hidden}", "unanswerable") < UNANSWERABLE
            if lacking and others:
                made.append(_unanswerable(pair, others))
    return made


def _reading(pair: Pair, gold: Chunk, others: Sequence[Chunk]) -> Pair:
    count = min(len(others), 1 + int(share(pair.question, "how many") * DISTRACTORS))
    context = [chunk.id for chunk in others[:count]]
    place = int(share(pair.question, "gold place") * (len(context) + 1))
    context.insert(place, gold.id)
    return replace(pair, kind=PairKind.READING, context=tuple(context))


def _unanswerable(pair: Pair, others: Sequence[Chunk]) -> Pair:
    return replace(
        pair,
        kind=PairKind.UNANSWERABLE,
        answer=ABSTAIN,
        evidence="",
        context=tuple(chunk.id for chunk in others),
    )


def missing(
    chunks: Sequence[Chunk], title: str, passages: Passages, *, exam_only: bool, limit: int = 2
) -> list[Pair]:
    """Questions about attributes that the file does not mention at all, its own passage shown."""
    if not chunks:
        return []
    whole = content(" ".join([title, *(chunk.text for chunk in chunks)]))
    subject = of_title(title, chunks[0].locator.path)
    if subject.phrase.startswith("the note of "):
        return []  # a day has no attributes to ask for
    names = OF_PEOPLE if subject.person else OF_THINGS
    order = sorted(names, key=lambda name: share(f"{subject.plain}:{name}", "missing"))
    absent = [name for name in order if not any(word in whole for word in name.split())]
    made: list[Pair] = []
    for name in absent[:limit]:
        owned = subject.owns(name)
        fact = fingerprint("missing", owned, chunks[0].safe)
        forms = attribute(owned, f"{subject.plain} {name}", direct=f"What is {owned}?")
        wanted = (
            forms[:1]
            if exam_only
            else [forms[int(share(fact, "form") * (len(forms) - 1))], forms[-1]]
        )
        gold = chunks[0]
        near = [
            chunk
            for chunk in passages.near(forms[0].question, gold)
            if chunk.document_id != gold.document_id
        ]
        for form in wanted:
            exam = exam_only or form.family >= HELD_OUT
            where = Split.HIDDEN if exam_only else split.exam_split(fact) if exam else Split.TRAIN
            # Another file may have this attribute of this subject: none that names it is shown.
            others = passages.distractors(near, name, exam=exam)
            context = [gold.id, *(chunk.id for chunk in others[:1])]
            if share(form.question, "gold place") < 0.5:
                context.reverse()
            made.append(
                Pair(
                    PairKind.UNANSWERABLE,
                    form.question,
                    ABSTAIN,
                    "",
                    fact,
                    int(form.family),
                    where,
                    (gold.id,),
                    tuple(context),
                    "rules:missing",
                )
            )
    return made
