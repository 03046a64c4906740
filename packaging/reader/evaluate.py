"""Measure and calibrate the reader as it is served (llama.cpp), on held-out data.

`python evaluate.py --box BOX --out calibration.json [--n 400]` fits the probability and the
threshold on the validation split, then measures on the test split: SQuAD by context, notes with
held-out templates and names. Also the functions that `tests/bench/reader.py` uses.
"""

from __future__ import annotations

import argparse
import json
import math
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "src")]

import notes  # noqa: E402
from items import Item, sentence_removed  # noqa: E402
from squad import Reading  # noqa: E402

from nightschool.models.reader import Reader, Span  # noqa: E402
from nightschool.models.reader_box import BOX  # noqa: E402

FALSE_ALARMS = 0.10
"""Share of answerable questions that may be refused at the threshold."""


def normal(text: str) -> list[str]:
    """SQuAD's normal form: lower case, no punctuation, no articles."""
    kept = "".join(" " if c in string.punctuation else c for c in text.lower())
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def exact(found: str, wanted: str) -> float:
    return float(normal(found) == normal(wanted))


def f1(found: str, wanted: str) -> float:
    a, b = normal(found), normal(wanted)
    common = sum((Counter(a) & Counter(b)).values())
    return 2 * common / (len(a) + len(b)) if common else 0.0


def mean95(values: Sequence[float], rng_seed: int = 0) -> tuple[float, float, float]:
    """Mean and its 95% interval (Wilson for 0/1 values, else the bootstrap)."""
    n, mean = len(values), float(np.mean(values))
    if set(values) <= {0.0, 1.0}:
        z = 1.96
        middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return mean, middle - half, middle + half
    draws = np.random.default_rng(rng_seed).choice(np.array(values), (1000, n)).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return mean, float(low), float(high)


def note_items(split: str, n: int, answerable: float, seed: int = 7) -> list[Item]:
    """Notes of the held-out templates: validation and test differ by seed (same templates)."""
    rng = Random(f"{split}/{seed}/{answerable}")
    return [notes.item(rng, split, answerable) for _ in range(n)]


@dataclass
class Scores:
    """Per item: the best span, whether there is an answer, and how well the span fits it."""

    spans: list[Span] = field(default_factory=list)
    there: list[float] = field(default_factory=list)
    exact: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)

    @property
    def margins(self) -> list[float]:
        return [span.score for span in self.spans]


class Measure:
    """Reads items through the served reader."""

    def __init__(self, reader: Reader, qa: Path | None, progress: Callable[[str], None]) -> None:
        self.reader, self.qa, self.progress = reader, qa, progress

    def best(self, question: str, passages: Sequence[str]) -> Span:
        spans = self.reader.read(question, passages)
        return spans[0] if spans else Span(0, 0, 0, "", -math.inf, 0.0)

    def score(self, name: str, items: Sequence[Item]) -> Scores:
        out = Scores()
        for number, item in enumerate(items):
            span = self.best(item.question, [item.passage])
            out.spans.append(span)
            out.there.append(float(item.start >= 0))
            out.exact.append(exact(span.text, item.answer))
            out.f1.append(f1(span.text, item.answer))
            if number % 100 == 99:
                self.progress(f"{name}: {number + 1}/{len(items)}")
        return out

    def reading(self, split: str, n: int) -> tuple[list[Item], list[Item], list[list[str]]]:
        """(answerable, unanswerable, three BM25 neighbours per answerable) of SQuAD."""
        assert self.qa is not None
        reading, rng = Reading(self.qa, split), Random(split)
        items = rng.sample(reading.items, min(n, len(reading.items)))
        empty = []
        for number, item in enumerate(items):
            near, removed = reading.near(item, 3), sentence_removed(item)
            if near and (number % 3 or len(removed.passage) < 100):
                empty.append(Item(item.question, near[number % len(near)]))
            else:
                empty.append(removed)
        return items, empty, [reading.near(item, 3) for item in items]


def calibrate(margins: Sequence[float], right: Sequence[float]) -> tuple[float, float]:
    """Slope and intercept of P(right | margin), by Newton's method on the logistic loss."""
    x, y = np.array(margins), np.array(right)
    w = np.zeros(2)
    design = np.stack([x, np.ones_like(x)], axis=1)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ w))
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + 1e-3 * np.eye(2)
        w = w - np.linalg.solve(hessian, design.T @ (p - y) + 1e-3 * w)
    return float(w[0]), float(w[1])


def fit(measure: Measure, n: int) -> dict[str, Any]:
    """Calibration and threshold from the validation split: half SQuAD, half notes."""
    parts = [("validation notes", note_items("validation", 2 * n, 0.5))]
    if measure.qa is not None:
        there, empty, _ = measure.reading("validation", n)
        parts.append(("validation squad", there + empty))
    found = [measure.score(name, items) for name, items in parts]
    margins = [m for part in found for m in part.margins]
    right = [
        float(there and fit > 0.5)
        for part in found
        for there, fit in zip(part.there, part.f1, strict=True)
    ]
    slope, intercept = calibrate(margins, right)
    # the highest threshold that refuses 8 % of the answerable: a margin to the 10 % promised
    answerable = [m for part in found for m, t in zip(part.margins, part.there, strict=True) if t]
    cut = float(np.quantile(answerable, FALSE_ALARMS - 0.02))
    chance = 1 / (1 + math.exp(-slope * cut - intercept))
    error = expected_error([1 / (1 + math.exp(-slope * m - intercept)) for m in margins], right)
    return {
        "slope": slope, "intercept": intercept, "threshold": round(chance, 4),
        "margin": cut, "calibration_error": error, "n": len(right),
    }  # fmt: skip


def expected_error(chances: Sequence[float], right: Sequence[float], bins: int = 10) -> float:
    """Mean distance between probability and frequency, over bins of probability."""
    p, y = np.array(chances), np.array(right)
    which = np.minimum((p * bins).astype(int), bins - 1)
    return float(
        sum(abs(p[which == b].mean() - y[which == b].mean()) * (which == b).mean()
            for b in range(bins) if (which == b).any())
    )  # fmt: skip


def results(measure: Measure, n: int) -> Iterator[tuple[str, list[float]]]:
    """(name, value per item) on the test split."""
    settings = measure.reader.settings

    def refused(spans: Sequence[Span]) -> list[float]:
        return [float(settings.chance(span.score) < settings.threshold) for span in spans]

    found = measure.score("notes", note_items("test", n, 1.0))
    yield "notes exact match", found.exact
    yield "notes F1", found.f1
    yield "notes false alarms", refused(found.spans)
    empty_notes = refused(measure.score("notes unanswerable", note_items("test", n, 0.0)).spans)
    yield "notes unanswerable caught", empty_notes
    if measure.qa is None:
        return
    there, empty, near = measure.reading("test", n)
    plain = measure.score("squad", there)
    yield "squad exact match", plain.exact
    yield "squad F1", plain.f1
    yield "squad false alarms", refused(plain.spans)
    empty_squad = refused(measure.score("squad unanswerable", empty).spans)
    yield "squad unanswerable caught", empty_squad
    yield "all false alarms", refused([*found.spans, *plain.spans])
    yield "all unanswerable caught", [*empty_notes, *empty_squad]
    rng, passages = Random(5), sorted({item.passage for item in there})
    for name in ("random", "similar"):
        values = []
        for number, item in enumerate(there):
            if name == "similar":
                others = near[number]
            else:
                others = [p for p in rng.sample(passages, 4) if p != item.passage][:3]
            # passages are read one by one, so the answer of the right one is known already
            wins = plain.spans[number].score >= measure.best(item.question, others).score
            values.append(plain.f1[number] if wins else 0.0)
            if number % 100 == 99:
                measure.progress(f"squad, 3 {name} distractors: {number + 1}/{len(there)}")
        yield f"squad F1, 3 {name} distractors", values


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--box", type=Path, default=BOX)
    ask.add_argument("--models", type=Path, default=Path("/tmp/nightschool-models"))
    ask.add_argument("--qa", type=Path, default=HERE.parents[2] / "shared/data/qa")
    ask.add_argument("--out", type=Path)
    ask.add_argument("--n", type=int, default=300, help="items per test figure")
    ask.add_argument("--fit", type=int, default=300, help="items per validation part")
    args = ask.parse_args()
    with Reader(args.models, box=args.box) as reader:
        measure = Measure(reader, args.qa, lambda line: print(line, file=sys.stderr, flush=True))
        fitted = fit(measure, args.fit)
        print(json.dumps(fitted), flush=True)
        keys = ("slope", "intercept", "threshold")
        reader.settings = replace(reader.settings, **{key: fitted[key] for key in keys})
        table = {}
        for name, values in results(measure, args.n):
            mean, low, high = mean95(values)
            table[name] = {"value": round(mean, 4), "low": round(low, 4), "high": round(high, 4),
                           "n": len(values)}  # fmt: skip
            print(f"{name:36} {mean:.3f} [{low:.3f}, {high:.3f}] n={len(values)}", flush=True)
    if args.out:
        args.out.write_text(json.dumps(fitted | {"results": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()
