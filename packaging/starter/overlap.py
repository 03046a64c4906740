"""Whether anything that is trained on is also asked in an evaluation: counted, never assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from starter.chats import ChatWriter, Reading
from starter.evaluate import Item

RUN = 8
"""Words in a row that count as the same text; shorter runs are common English."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of `n` evaluation items: both known, the question known, its wording known with other names
    (see `wording`), a run of words known."""

    name: str
    n: int
    items: int
    questions: int
    wordings: int
    runs: int
    example: str

    def __str__(self) -> str:
        text = (
            f"{self.name}: of {self.n}, {self.items} item(s), {self.questions} question(s), "
            f"{self.wordings} wording(s) with other names, {self.runs} passage(s) with {RUN} words "
            "in a row"
        )
        return f"{text}; e.g. {self.example!r}" if self.example else text


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def wording(question: str) -> str:
    """A question without its names, numbers and codes: words with capitals or digits are blanks."""
    found = re.findall(r"[\w'’.@-]+", question.strip())
    plain = [
        "_" if any(c.isdigit() for c in word) or (at and word != "I" and word != word.lower())
        else word.lower().rstrip(".") for at, word in enumerate(found)
    ]  # fmt: skip
    return re.sub(r"_( _)+", "_", " ".join(plain))


def runs(text: str) -> set[int]:
    """Hashes of every run of `RUN` words."""
    found = words(text)
    return {hash(tuple(found[i : i + RUN])) for i in range(len(found) - RUN + 1)}


class Trained:
    """What the stream shows: chats of `count` draws, and every real text it may draw from."""

    def __init__(self, folder: Path | None, count: int, seed: int = 1) -> None:
        reading = Reading(folder)
        writer = ChatWriter(Random(f"overlap/{seed}"), "train", reading)
        self.items: set[int] = set()
        self.questions: set[str] = set()
        self.wordings: set[str] = set()
        self.runs: set[int] = set()
        for number in range(count):
            chat = writer.chat(long=number % 4 == 3)
            self.runs |= runs(chat.head)
            for branch in chat.branches:
                self.questions.add(" ".join(words(branch.tail)))
                self.wordings.add(wording(branch.tail))
                self.items.add(hash((tuple(words(chat.head)), tuple(words(branch.tail)))))
        for text in (*reading.texts, *(context for context, _ in reading.windows)):
            self.runs |= runs(text)
        for _, pairs in reading.windows:
            self.questions |= {" ".join(words(question)) for question, _ in pairs}
            self.wordings |= {wording(question) for question, _ in pairs}
        self.questions.discard("")

    def against(self, name: str, items: Sequence[Item]) -> Overlap:
        same, asked, worded, shared, example = 0, 0, 0, 0, ""
        for item in items:
            key = " ".join(words(item.question))
            head = tuple(words(f"Context:\n{item.context}\n\nQuestion:"))
            same += hash((head, tuple(words(item.question)))) in self.items
            if key in self.questions:
                asked, example = asked + 1, example or item.question
            worded += wording(item.question) in self.wordings
            if item.context and runs(item.context) & self.runs:
                shared, example = shared + 1, example or item.context[:80]
        return Overlap(name, len(items), same, asked, worded, shared, example)


def report(trained: Trained, sets: Iterable[tuple[str, Sequence[Item]]]) -> list[Overlap]:
    """The overlap of every evaluation set."""
    return [trained.against(name, items) for name, items in sets]
