"""Bench search at 100,000 passages: time of one query with its embedding, and memory.

    make bench NAME=search-speed [ARGS="--quick"] [ARGS="--rivals none"]

The text is drawn from 30,000 made-up words whose frequencies fall as those of a language do, so
that a question, which takes words from some passage and small English words between them, has rare
and very common ones. Real vectors of 100,000 passages would take an hour: 1,000 passages are
embedded, and every other vector is one of these, moved at random. Queries are new each time, so
that no cache helps, and are embedded by the real encoder. Ours and the rivals (txtai, Chroma: see
`index-speed`) run in processes of their own and take turns. --quick has 10,000 passages.
`recall` compares with a comparison of every vector, and with BM25 of every match.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

import rivals  # noqa: E402
from bench_report import Report, arguments, percentile  # noqa: E402
from nightschool.index import lexical  # noqa: E402
from nightschool.index.embed import NAME, QuickMiniLM, embedder_for  # noqa: E402
from nightschool.index.vectors import VectorIndex  # noqa: E402
from nightschool.models.minilm import WIDTH, ensure_minilm, package_dir  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.store import fulltext  # noqa: E402
from nightschool.store.db import open_store  # noqa: E402

PER_FILE = 20
WORDS = 60
VOCABULARY = 30_000
EMBEDDED = 1_000
BATCH = 25
BOUND_MS = 30


class Language:
    """Made-up words; the n-th commonest has a frequency of 1 / (n + 2.7) (Zipf and Mandelbrot)."""

    def __init__(self, seed: random.Random) -> None:
        parts = ("ba", "co", "di", "fe", "gu", "la", "mo", "ni", "pe", "ro", "su", "ta", "vi", "zo")
        made: dict[str, None] = {}
        while len(made) < VOCABULARY:
            made["".join(seed.choices(parts, k=seed.randint(2, 5)))] = None
        self._words = list(made)
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY)))
        self._seed = seed

    def text(self) -> str:
        return " ".join(self._seed.choices(self._words, cum_weights=self._weights, k=WORDS))

    def question(self, passage: str) -> str:
        """Three to six words of a passage, as a question."""
        words = self._seed.sample(passage.split(), self._seed.randint(3, 6))
        return f"what is the {words[0]} of {' '.join(words[1:])}?"


def neighbours(vectors: np.ndarray, count: int) -> np.ndarray:
    """`count` unit vectors, each one of `vectors` moved at random (cosine about 0.8)."""
    rng = np.random.default_rng(1)
    rows = vectors[rng.integers(0, len(vectors), count)]
    rows = rows + rng.normal(size=rows.shape).astype(np.float32) * (0.75 / WIDTH**0.5)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rivals", choices=["install", "none"], default="install")
    parser.add_argument("--passages", type=int, default=0)
    options = parser.parse_args()
    report = Report(options.quick)
    count = options.passages or (10_000 if report.quick else 100_000)
    language = Language(random.Random(1))
    texts = [language.text() for _ in range(count)]
    questions = [language.question(random.Random(n).choice(texts)) for n in range(
        100 if report.quick else 400)]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        models = place / "models"
        models.mkdir()
        ensure_minilm(models)
        embedder = embedder_for(EMBEDDED, models)
        rows = neighbours(embedder.embed(texts[:EMBEDDED]), count)
        report.say(f"{count} passages; {EMBEDDED} were embedded, all vectors made from these")
        files = [texts[first : first + PER_FILE] for first in range(0, count, PER_FILE)]
        (place / "texts.json").write_text(json.dumps(files))
        np.save(place / "vectors.npy", rows)
        others = [name for name in ("txtai", "chroma") if options.rivals == "install"]
        if others and not report.quick:
            rivals.install(others, report)
        systems = rivals.start(["nightschool", *others], package_dir(), models, report)
        try:
            measure(systems, questions, place, report)
        finally:
            for system in systems.values():
                system.close()
        quality(place / "nightschool", models, rows, questions[:50], report)
    report.finish()


def measure(
    systems: dict[str, rivals.System], questions: list[str], place: Path, report: Report
) -> None:
    """Fill each, then ask in turns."""
    took: dict[str, list[float]] = {}
    for name, system in list(systems.items()):
        given = {"file": str(place / "texts.json"), "vectors": str(place / "vectors.npy")}
        try:
            filled = system.call("fill", **given, place=str(place / name))
            system.call("search", queries=["warm up zo"], k=8)
            took[name] = []
            report.say(f"{name} filled in {filled['seconds']:.0f} s")
        except rivals.Absent as reason:
            report.say(f"{name} cannot be measured here: {reason}")
            systems.pop(name).close()
    for first in range(0, len(questions), BATCH):
        part = questions[first : first + BATCH]
        for name in list(took):
            try:
                took[name] += systems[name].call("search", queries=part, k=8)["ms"]
            except rivals.Absent as reason:
                if name == "nightschool":
                    raise
                report.say(f"{name} failed after {len(took.pop(name))} queries: {reason}")
                systems.pop(name).close()
    filtered = [f"in:folder3 {text} zo" for text in questions[: len(questions) // 8]]
    narrow = systems["nightschool"].call("search", queries=filtered, k=8)["ms"]
    for name, times in took.items():
        memory = systems[name].call("memory")["mb"]
        shown = ", ".join(f"p{p} {percentile(times, p / 100):.1f} ms" for p in (50, 95, 99))
        report.say(f"{name}: {shown}; {memory:.0f} MB resident")
    report.say(f"ours, within a folder: p95 {percentile(narrow, 0.95):.1f} ms")
    again = systems["nightschool"].call("search", queries=questions[-1:] * 2, k=8)["ms"]
    report.say(f"ours, the same query again: {again[1]:.2f} ms")
    report.at_most("search p95 in ms with embedding", percentile(took["nightschool"], 0.95),
                   BOUND_MS, len(questions))  # fmt: skip


def quality(home: Path, models: Path, rows: Any, questions: list[str], report: Report) -> None:
    """What the short ways cost: the ten best against those of a look at everything."""
    store = open_store(Home(home).database)
    encoder = QuickMiniLM(models)
    index = VectorIndex(store, Home(home).index, NAME, WIDTH)
    ids = np.array(store.column("SELECT id FROM chunk ORDER BY id"))
    near = words = 0
    began = time.monotonic()
    for text in questions:
        vector = encoder.embed([text])[0]
        best = {int(ids[at]) for at in np.argsort(-(rows @ vector))[:10]}
        near += len(best & {item for item, _ in index.search(vector, 10)})
        every = fulltext.match(store, lexical.expression(text), 10)
        words += len({item for item, _ in every} & set(lexical.search(store, text, 10)))
    report.say(f"compared with everything in {time.monotonic() - began:.0f} s")
    asked = len(questions)
    report.at_least("recall@10 of the vectors", near / asked / 10, 0.95, asked)
    report.at_least("recall@10 of the full text", words / asked / 10, 0.95, asked)
    encoder.close()
    store.close()


if __name__ == "__main__":
    main()
