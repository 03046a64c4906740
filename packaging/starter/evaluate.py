"""Held-out questions and how they are scored: the same for checkpoints and for the shipped file.

Nothing here trains: templates, names and words of the tests are others, and the probes of
`nightschool.evaluate` are half "P" of `packaging/probes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from nightschool.evaluate.statistics import wilson
from nightschool.evaluate.text import abstains, exact, f1
from starter.chats import PROMPT
from starter.notes import UNKNOWN, NoteWriter
from starter.tokens import Tokens

PROBES = Path(__file__).resolve().parents[2] / "src/nightschool/evaluate/probes/data"
NEW_TOKENS = 40

Answerer = Callable[[Sequence[str]], list[str]]
"""User texts → greedy answers."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question about a passage (empty: about nothing) and its answer."""

    context: str
    question: str
    answer: str

    @property
    def prompt(self) -> str:
        return PROMPT.format(c=self.context, q=self.question) if self.context else self.question


def notes(n: int, seed: int = 77, split: str = "test") -> list[Item]:
    """`n` questions that their notes answer, one a note."""
    writer = NoteWriter(Random(f"{split}/{seed}"), split)
    found: list[Item] = []
    while len(found) < n:
        note = writer.note(2, writer.rng.choice([3, 4, 5, 7]))
        asks = [a for a in note.asks if note.text.count(a.answer) == 1]
        if asks:
            ask = writer.rng.choice(asks)
            found.append(Item(note.text, ask.question, ask.answer))
    return found


def unanswerable(n: int, seed: int = 78, split: str = "test") -> list[Item]:
    """`n` questions that their notes do not answer."""
    writer = NoteWriter(Random(f"{split}/{seed}"), split)
    found: list[Item] = []
    while len(found) < n:
        note = writer.note(2, writer.rng.choice([3, 4, 5, 7]))
        if note.missing:
            found.append(Item(note.text, writer.rng.choice(note.missing), UNKNOWN))
    return found


def among(n: int, others: int = 3, seed: int = 79) -> list[Item]:
    """`n` answerable questions, the note among `others` further notes."""
    rng, found = Random(seed), []
    strangers = notes(others * n, seed + 1)
    for number, item in enumerate(notes(n, seed)):
        parts = [s.context for s in strangers[others * number : others * (number + 1)]]
        parts.insert(rng.randint(0, others), item.context)
        found.append(Item("\n\n".join(parts), item.question, item.answer))
    return found


def probe(name: str) -> list[Item]:
    """`reading` or `abstain`: the exam items of the nightly gate."""
    lines = (PROBES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Item(r["context"], r["question"], r["answer"]) for r in rows]


@dataclass(frozen=True, slots=True)
class Score:
    """Share of answers that are exact, their F1, and the share that abstain; 95 % by Wilson."""

    n: int
    exact: float
    low: float
    high: float
    f1: float
    abstains: float
    abstains_low: float
    abstains_high: float


def score(items: Sequence[Item], answers: Sequence[str]) -> Score:
    right = [exact(a, [i.answer]) for i, a in zip(items, answers, strict=True)]
    silent = [abstains(a) for a in answers]
    n = len(items)
    return Score(
        n, sum(right) / n, *wilson(sum(right), n),
        sum(f1(a, [i.answer]) for i, a in zip(items, answers, strict=True)) / n,
        sum(silent) / n, *wilson(sum(silent), n),
    )  # fmt: skip


def in_torch(model: Any, tokens: Tokens, batch: int = 32) -> Answerer:
    """Greedy answers of a checkpoint, in batches padded on the left."""

    @torch.no_grad()
    def answer(prompts: Sequence[str]) -> list[str]:
        model.eval()
        device = model.model.embed_tokens.weight.device
        encoded = [
            [tokens["user"], *tokens.encode(p), tokens["end"], tokens["assistant"]] for p in prompts
        ]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        out = [""] * len(encoded)
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            width = max(len(encoded[i]) for i in chosen)
            ids = torch.zeros(len(chosen), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(chosen):
                ids[row, width - len(encoded[i]) :] = torch.tensor(encoded[i])
                mask[row, width - len(encoded[i]) :] = 1
            made = model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), do_sample=False,
                max_new_tokens=NEW_TOKENS, eos_token_id=tokens["end"], pad_token_id=0,
            )  # fmt: skip
            for row, i in enumerate(chosen):
                out[i] = tokens.decode(made[row, width:].tolist()).strip()
        return out

    return answer


def examine(answerer: Answerer, n: int) -> dict[str, Score]:
    """The short exam during training: `n` items of each kind."""
    sets = {
        "notes": notes(n), "notes, trained wording": notes(n, split="train"),
        "unanswerable": unanswerable(n), "among others": among(n),
        "probe reading": probe("reading")[:n], "probe abstain": probe("abstain")[:n],
    }  # fmt: skip
    return {name: score(items, answerer([i.prompt for i in items])) for name, items in sets.items()}


def samples(answerer: Answerer, n: int = 20) -> str:
    """`n` unedited answers as Markdown, good and bad: every fourth has no answer in its note."""
    items = notes(n - n // 4, seed=2026) + unanswerable(n // 4, seed=2027)
    out = []
    for item, answer in zip(items, answerer([i.prompt for i in items]), strict=True):
        mark = "right" if exact(answer, [item.answer]) else f"wrong, expected: {item.answer}"
        quoted = item.context.replace("\n", "\n> ")
        out.append(f"> {quoted}\n\n*{item.question}* → **{answer}** ({mark})\n")
    return "\n".join(out)


def line(scores: dict[str, Score]) -> str:
    return "; ".join(
        f"{name} {s.exact:.2f}" + ("" if "abst" in name or "unans" in name else
                                   f" (idk {s.abstains:.2f})")
        for name, s in scores.items()
    )  # fmt: skip
