"""SQuAD and its relatives: read, split by context, with the nearest foreign passages.

SQuAD is split by the hash of the context: blake2(context) % 20 in {0, 1} is the test split, 2 the
validation split (threshold and calibration), the rest trains. A passage of another source that also
stands in a held-out context is dropped.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from items import Item

Split = str
"""train, validation or test"""


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
        with lzma.open(qa / "squad_span_qa.jsonl.xz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
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
    with lzma.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
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
