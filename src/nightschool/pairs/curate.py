"""Throwing doubtful pairs away, and counting what was thrown away and why.

Every function takes pairs and a `Dropped`, and returns the pairs that stay. Facts stand
or fall as a whole: a fact with one bad plain question is dropped with all its wordings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from nightschool.pairs.dropped import SECRET, Dropped
from nightschool.pairs.phrasing import HELD_OUT
from nightschool.pairs.rules.note import redacted
from nightschool.pairs.text import TOKENISH, content, f1, holds, normal
from nightschool.ports import PassageReader
from nightschool.records import Chunk, Pair

FACTS_PER_DOCUMENT = 40
AGREE_F1 = 0.6
"""methods.md 1.4: two answers agree on a normalised match or from this token F1 on."""

STRUCTURAL = frozenset(("rules:field", "rules:table", "rules:list", "rules:cloze"))
"""Writers whose question follows from the layout itself: a weak reader's dissent is no proof."""

_MIN_TRAIN = 4


def facts_of(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    """Pairs grouped by fact, in order of first appearance."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.fact].append(pair)
    return dict(groups)


def ground(pairs: Iterable[Pair], chunks: Mapping[int, Chunk], dropped: Dropped) -> list[Pair]:
    """Keep pairs whose evidence is literal, whose answer is in it, and whose question is fair."""
    kept: list[Pair] = []
    for group in facts_of(pairs).values():
        sound: list[Pair] = []
        for pair in group:
            reason = unsound(pair, chunks)
            if reason:
                dropped.note(reason, [pair])
            else:
                sound.append(pair)
        practised = sum(pair.phrasing < HELD_OUT for pair in sound)
        if practised >= _MIN_TRAIN and practised < len(sound):
            kept.extend(sound)
        else:
            dropped.note("too few wordings", sound)
    return kept


def unsound(pair: Pair, chunks: Mapping[int, Chunk]) -> str:
    """Why this pair must not be used, or an empty string."""
    safe = [chunks[i].safe for i in pair.chunk_ids if i in chunks]
    if not pair.evidence or not any(pair.evidence in text for text in safe):
        return "evidence is not in the passage"
    if not pair.answer.strip() or pair.answer not in pair.evidence or "\n" in pair.answer:
        return "answer is not in the evidence"
    if redacted(pair.evidence) or redacted(pair.question) or TOKENISH.search(pair.answer):
        return SECRET
    if holds(pair.question, pair.answer):
        return "question contains the answer"
    if not content(pair.question):
        return "question says nothing"
    return ""


def duplicates(
    pairs: Iterable[Pair], dropped: Dropped, known: Iterable[Pair] = ()
) -> tuple[list[Pair], set[int]]:
    """Drop repeated facts and contradictions, within these pairs and against `known` ones.

    The same question with two different answers is ambiguous: both facts go, and the ids of the
    known pairs of such facts are returned so that the caller can reject them.
    """
    fresh = facts_of(pairs)
    old = facts_of(known)
    answers: dict[str, set[str]] = defaultdict(set)
    owners: dict[str, list[str]] = defaultdict(list)
    for fact, group in [*old.items(), *fresh.items()]:
        for pair in group:
            question = normal(pair.question)
            answers[question].add(normal(pair.answer))
            owners[question].append(fact)
    torn = {
        fact
        for question, found in answers.items()
        if len(found) > 1 and not _same(found)
        for fact in owners[question]
    }
    seen = {normal(pair.question) for group in old.values() for pair in group}
    kept: list[Pair] = []
    for fact, group in fresh.items():
        if fact in torn:
            dropped.note("same question, two answers", group)
            continue
        new = [pair for pair in group if normal(pair.question) not in seen]
        dropped.note("asked already", (p for p in group if normal(p.question) in seen))
        if sum(pair.phrasing < HELD_OUT for pair in new) >= _MIN_TRAIN:
            kept.extend(new)
            seen |= {normal(pair.question) for pair in new}
        else:
            dropped.note("asked already", new)
    return kept, {pair.id for fact in torn & set(old) for pair in old[fact]}


def near(
    pairs: Iterable[Pair], share: float, dropped: Dropped, known: Iterable[Pair] = ()
) -> list[Pair]:
    """Drop facts that another one repeats in slightly other words: the same answer, and plain
    questions whose words overlap (Jaccard) by at least `share`. 0 drops nothing."""
    if share <= 0:
        return list(pairs)
    seen: dict[str, list[frozenset[str]]] = defaultdict(list)
    for group in facts_of(known).values():
        seen[normal(group[0].answer)].append(frozenset(normal(group[0].question).split()))
    kept: list[Pair] = []
    for group in facts_of(pairs).values():
        bag = frozenset(normal(group[0].question).split())
        others = seen[normal(group[0].answer)]
        if any(len(bag & other) >= share * len(bag | other) for other in others):
            dropped.note("nearly asked already", group)
        else:
            others.append(bag)
            kept.extend(group)
    return kept


def _same(answers: set[str]) -> bool:
    """Whether different answers are only longer and shorter forms of one."""
    longest = max(answers, key=len)
    return all(f" {answer} " in f" {longest} " for answer in answers)


def cap(pairs: Iterable[Pair], dropped: Dropped, limit: int = FACTS_PER_DOCUMENT) -> list[Pair]:
    """The first `limit` facts of one document; writers put the surest first."""
    kept: list[Pair] = []
    for number, group in enumerate(facts_of(pairs).values()):
        if number < limit:
            kept.extend(group)
        else:
            dropped.note("more than the file's share", group)
    return kept


def decontaminate(pairs: Iterable[Pair], avoid: Collection[str], dropped: Dropped) -> list[Pair]:
    """Drop questions that are probe questions, exactly or nearly (word overlap from 0.85)."""
    if not avoid:
        return list(pairs)
    exact = {normal(question) for question in avoid}
    index: dict[str, list[frozenset[str]]] = defaultdict(list)
    for question in avoid:
        bag = frozenset(normal(question).split())
        for word in content(question):
            index[word].append(bag)
    kept: list[Pair] = []
    for pair in pairs:
        bag = frozenset(normal(pair.question).split())
        near = (other for word in content(pair.question) for other in index.get(word, ()))
        if normal(pair.question) in exact or any(
            len(bag & other) >= 0.85 * len(bag | other) for other in near
        ):
            dropped.note("too close to a probe question", [pair])
        else:
            kept.append(pair)
    return kept


def agreement(
    pairs: Iterable[Pair],
    reader: PassageReader | None,
    passages: Mapping[int, str],
    dropped: Dropped,
    counts: Counter[str],
    sure: float = 0.0,
) -> list[Pair]:
    """Ask the reader each fact's plain question; keep the fact when its span agrees.

    Facts it confirms get the status `agreed`, or `waiting` when it is less sure than `sure`.
    Facts read off the layout (`STRUCTURAL`) are not asked, and stay as `auto`; above 1 all wait.
    Without a reader everything stays, or waits where a sure one was wanted.
    """
    if sure > 1:
        pairs = [replace(pair, status="waiting") for pair in pairs]
    if reader is None:
        return [p if sure <= 0 or p.writer in STRUCTURAL else replace(p, status="waiting")
                for p in pairs]  # fmt: skip
    kept: list[Pair] = []
    for group in facts_of(pairs).values():
        first = group[0]
        if first.writer in STRUCTURAL:
            kept.extend(group)
            continue
        counts["checked"] += 1
        span, trust = reader.best(first.question, [passages[first.chunk_ids[0]]])
        if agrees(span, first.answer):
            counts["agreed"] += 1
            status = "agreed" if trust >= sure else "waiting"
            counts["waiting"] += status == "waiting"
            kept.extend(replace(pair, status=status) for pair in group)
        else:
            dropped.note("the reader answers otherwise", group)
    return kept


def agrees(span: str, answer: str) -> bool:
    """A normalised match, or token F1 of at least `AGREE_F1`."""
    return bool(span) and (normal(span) == normal(answer) or f1(span, answer) >= AGREE_F1)


def merge(written: Sequence[Sequence[Pair]], dropped: Dropped) -> list[Pair]:
    """One list from several writers, the first one's facts winning over repeats of the others."""
    kept: list[Pair] = []
    seen: set[tuple[str, str]] = set()
    for pairs in written:
        fresh: set[tuple[str, str]] = set()
        for fact, group in facts_of(pairs).items():
            key = (normal(group[0].answer), normal(group[0].evidence))
            if key in seen:
                dropped.note("another writer had it", group)
                continue
            fresh.add(key)
            kept.extend(replace(pair, fact=fact) for pair in group)
        seen |= fresh
    return kept
