"""Training and test examples: span questions, unanswerable ones, passages with distractors.

Sources: `qa/squad_span_qa.jsonl.xz` (SQuAD, CC BY-SA 4.0), the extractive sets of
`qa/prompted_reading.jsonl.xz` (adversarial_qa, CC BY-SA 4.0; quoref, CC BY 4.0) and the notes of
`notes.py` (ours). SQuAD is split by context: blake2(context) % 20 in {0, 1} is the test split, 2 the
validation split (threshold and calibration), the rest trains. A passage of another source that
also stands in a held-out context is dropped.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import notes
from nightschool.models.wordpiece import Tokens, WordPiece

LIMIT = 256
"""Tokens of [CLS] question [SEP] passage [SEP] in training; the server's window is the same."""
QUESTION_LIMIT = 64
NOTES = 0.0
"""Share of the training items that are questions on generated notes."""

Split = str  # "train" | "validation" | "test"


@dataclass(frozen=True)
class Item:
    """A question about a passage; the answer is passage[start:end], or nowhere (start = -1)."""

    question: str
    passage: str
    start: int = -1
    end: int = -1

    @property
    def answer(self) -> str:
        return self.passage[self.start : self.end] if self.start >= 0 else ""


@dataclass(frozen=True)
class Packed:
    """Model input and its targets: token places of the answer's first and last token, or 0, 0."""

    ids: list[int]
    start: int
    end: int


def split_of(context: str) -> Split:
    """The split a context belongs to, by its hash alone."""
    place = hashlib.blake2b(context.encode(), digest_size=4).digest()[0] % 20
    return "test" if place < 2 else "validation" if place == 2 else "train"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def locate(context: str, answer: str, question: str) -> int:
    """Where the answer stands; of several places the one with most question words around it."""
    asked = set(words(question))
    places = [m.start() for m in re.finditer(re.escape(answer), context)]
    if not places:
        return -1

    def near(place: int) -> int:
        return len(asked & set(words(context[max(0, place - 150) : place + 150])))

    return max(places, key=near)


class Reading:
    """SQuAD and friends of one split, with the nearest foreign passage for every question."""

    def __init__(self, qa: Path, split: Split) -> None:
        rows = [json.loads(line) for line in lzma.open(qa / "squad_span_qa.jsonl.xz", "rt")]
        held = {row["context"] for row in rows if split_of(row["context"]) != "train"}
        self.items = [
            Item(r["question"], r["context"], at, at + len(r["answer"]))
            for r in rows
            if split_of(r["context"]) == split
            and (at := locate(r["context"], r["answer"], r["question"])) >= 0
        ]
        self.more: list[Item] = []
        if split == "train":
            heads = {" ".join(words(c))[:60] for c in held}
            bodies = "\n".join(" ".join(words(c)) for c in held)
            for item in _prompted(qa / "prompted_reading.jsonl.xz"):
                text = " ".join(words(item.passage))
                middle = text[len(text) // 2 :][:60]
                if not any(head in text for head in heads) and middle not in bodies:
                    self.more.append(item)
        self.passages = sorted({item.passage for item in self.items})
        self._search = _Search(self.passages)

    def near(self, item: Item, k: int = 3) -> list[str]:
        """Foreign passages most like the question (BM25) that do not hold the answer."""
        out: list[str] = []
        for place in self._search.best(item.question, 12 + k):
            text = self.passages[place]
            if text != item.passage and item.answer.lower() not in text.lower():
                out.append(text)
        return out[:k]


class _Search:
    """BM25 over a list of texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        counted = [Counter(words(text)) for text in texts]
        mean = sum(sum(c.values()) for c in counted) / max(1, len(counted))
        for place, count in enumerate(counted):
            length = 1.2 * (0.25 + 0.75 * sum(count.values()) / mean)
            for word, n in count.items():
                self.postings[word].append((place, n * 2.2 / (n + length)))
        self.count = len(texts)

    def best(self, query: str, k: int) -> list[int]:
        scores: dict[int, float] = defaultdict(float)
        for word in set(words(query)):
            found = self.postings.get(word, [])
            if len(found) > self.count * 0.3:
                continue
            weight = math.log(1 + (self.count - len(found) + 0.5) / (len(found) + 0.5))
            for place, value in found:
                scores[place] += weight * value
        return sorted(scores, key=lambda p: -scores[p])[:k]


def _prompted(path: Path) -> Iterator[Item]:
    """The extractive sets of prompted_reading, one template of each, answers that stand once."""
    patterns = {
        "adversarial_qa": re.compile(r"\nQuestion: (.+?)\nContext: (.+)", re.S),
        "quoref_Given_Context": re.compile(
            r"^(.+?)\n\nAnswer the above question based on the context below:\n\n(.+)", re.S
        ),
    }
    seen: set[tuple[str, str]] = set()
    for line in lzma.open(path, "rt"):
        row = json.loads(line)
        for key, pattern in patterns.items():
            if not row["template"].startswith(key):
                continue
            if key == "adversarial_qa" and not row["template"].endswith("based_on"):
                continue
            found = pattern.search(row["prompt"])
            answer = row["completion"].replace("<|endoftext|>", "").strip()
            if not found or not answer:
                continue
            question, passage = found[1].strip(), found[2].strip()
            at = locate(passage, answer, question)
            if at >= 0 and len(answer) < 120 and (question, passage) not in seen:
                seen.add((question, passage))
                yield Item(question, passage, at, at + len(answer))


def sentence_removed(item: Item) -> Item:
    """The same question, the passage without the sentence(s) that hold the answer."""
    edges = [0, *(m.end() for m in re.finditer(r"[.!?]\s+", item.passage)), len(item.passage)]
    kept = [
        item.passage[a:b]
        for a, b in zip(edges, edges[1:], strict=False)
        if item.answer.lower() not in item.passage[a:b].lower() and not a <= item.start < b
    ]
    return Item(item.question, "".join(kept).strip())


def joined(rng: Random, item: Item, others: Sequence[str], glue: str = "\n\n") -> Item:
    """The item's passage among other passages, in random order."""
    parts = [*others]
    place = rng.randint(0, len(parts))
    parts.insert(place, item.passage)
    offset = sum(len(p) + len(glue) for p in parts[:place])
    start, end = (item.start + offset, item.end + offset) if item.start >= 0 else (-1, -1)
    return Item(item.question, glue.join(parts), start, end)


class Mixture:
    """The training stream: `batches(n)` is a pure function of (seed, n), so it resumes anywhere."""

    def __init__(self, qa: Path, wordpiece: WordPiece, seed: int = 1) -> None:
        self.reading, self.wp, self.seed = Reading(qa, "train"), wordpiece, seed
        self._cache: dict[str, Tokens] = {}

    def reading_item(self, rng: Random) -> Item:
        pool = self.reading.more if rng.random() < 0.12 else self.reading.items
        item, kind = rng.choice(pool), rng.random()
        if kind < 0.66:
            return item
        if kind < 0.76:
            return sentence_removed(item)
        near = self.reading.near(item, 3)
        if kind < 0.94 and near:
            return Item(item.question, rng.choice(near))
        other = near[0] if near else rng.choice(self.reading.passages)
        sentences = re.split(r"(?<=[.!?])\s+", other)
        cut = rng.randrange(len(sentences))
        return joined(rng, item, [" ".join(sentences[cut : cut + 3])])

    def pack(self, rng: Random, item: Item) -> Packed:
        """Tokens of an item, cut to LIMIT; a cut that loses the answer makes it unanswerable."""
        question = self.wp.encode(item.question).ids[:QUESTION_LIMIT]
        passage = self.wp.encode(item.passage, line_breaks=True)
        room = LIMIT - len(question) - 3
        first = last = -1
        if item.start >= 0:
            inside = [
                i
                for i in range(len(passage))
                if passage.starts[i] < item.end and passage.ends[i] > item.start
            ]
            if inside:
                first, last = inside[0], inside[-1]
        low = 0
        if len(passage) > room:
            low = rng.randint(0, len(passage) - room)
            if first >= 0 and rng.random() < 0.9:
                low = rng.randint(max(0, last - room + 1), min(first, len(passage) - room))
        elif rng.random() < 0.15 and len(passage) > 60:  # shorter passages, other places
            room = rng.randint(50, len(passage))
            top = len(passage) - room
            low = rng.randint(0, top)
            if first >= 0:
                low = rng.randint(min(top, max(0, last - room + 1)), min(first, top))
        body = passage.ids[low : low + room]
        ids = [self.wp.cls, *question, self.wp.sep, *body, self.wp.sep]
        if first < low or last >= low + len(body) or first < 0:
            return Packed(ids, 0, 0)
        shift = len(question) + 2 - low
        return Packed(ids, first + shift, last + shift)

    def batches(self, number: int, budget: int = 4096, size: int = 512) -> list[list[Packed]]:
        """Mega-batch `number`: `size` fresh items, grouped by length into ≤ `budget` tokens."""
        rng = Random(f"{self.seed}/{number}")
        items = [
            notes.item(rng, "train") if NOTES and rng.random() < NOTES else self.reading_item(rng)
            for _ in range(size)
        ]
        packed = sorted((self.pack(rng, it) for it in items), key=lambda p: len(p.ids))
        out: list[list[Packed]] = [[]]
        for one in packed:
            if (len(out[-1]) + 1) * len(one.ids) > budget or len(out[-1]) == 48:
                out.append([])
            out[-1].append(one)
        rng.shuffle(out)
        return out
