"""Bench search at 100,000 passages: time of one query with its embedding, and memory.

    make bench NAME=search-speed [ARGS="--quick"]

Passages are sentences drawn from a fixed vocabulary; their vectors are random unit vectors grouped
around 500 centres, as real ones are (a real embedding of them would take an hour and changes no
time that is measured here). Queries are new each time, so that no cache helps; --quick has 10,000
passages. `recall` compares the approximate index with a comparison of every vector.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

from bench_report import Report, arguments, percentile  # noqa: E402
from nightschool.index.embed import NAME, QuickMiniLM  # noqa: E402
from nightschool.index.search import Search  # noqa: E402
from nightschool.index.vectors import VectorIndex, to_bytes  # noqa: E402
from nightschool.models.minilm import WIDTH  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import Chunk, Document, FileStatus, Locator  # noqa: E402
from nightschool.store import documents  # noqa: E402
from nightschool.store.db import Store, open_store  # noqa: E402

PER_FILE = 20
WORDS = 60
CENTRES = 500


def vocabulary(seed: random.Random) -> list[str]:
    parts = ("ba", "co", "di", "fe", "gu", "la", "mo", "ni", "pe", "ro", "su", "ta", "vi", "zo")
    return sorted({"".join(seed.choices(parts, k=seed.randint(2, 4))) for _ in range(20_000)})


def fill(store: Store, count: int, seed: random.Random, report: Report) -> np.ndarray:
    """`count` passages with vectors; the vectors, by passage id."""
    words = vocabulary(seed)
    weights = [1 / (rank + 10) for rank in range(len(words))]
    root = documents.add_root(store, "/bench")
    for first in range(0, count, 100 * PER_FILE):
        with store.transaction():
            for number in range(first, min(first + 100 * PER_FILE, count), PER_FILE):
                path = f"folder{number % 7}/{number}.md"
                texts = [" ".join(seed.choices(words, weights, k=WORDS)) for _ in range(PER_FILE)]
                chunks = [Chunk(n, t, t, Locator(path)) for n, t in enumerate(texts)]
                item = Document(root.id, path, 1, 0, f"{number}", FileStatus.INDEXED, title=path)
                documents.save(store, item, chunks)
        if first % 20_000 == 0:
            report.say(f"{first} of {count} passages stored")
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(CENTRES, WIDTH))
    rows = centres[rng.integers(0, CENTRES, count)] + rng.normal(size=(count, WIDTH)) * 0.7
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    ids = [item.id for _, item in documents.without_vector(store, NAME, count)]
    for first in range(0, count, 5000):
        part = slice(first, first + 5000)
        documents.save_vectors(store, NAME, zip(ids[part], to_bytes(rows[part]), strict=True))
    return rows


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    count, queries = (10_000, 100) if report.quick else (100_000, 400)
    seed = random.Random(1)
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place)).create()
        store = open_store(home.database)
        rows = fill(store, count, seed, report)
        began = time.monotonic()
        index = VectorIndex(store, home.index, NAME, WIDTH)
        index.refresh()
        report.say(f"search cache built in {time.monotonic() - began:.1f} s")
        measure(store, home, index, rows, queries, seed, report)
        store.close()
    report.finish()


def measure(
    store: Store,
    home: Home,
    index: VectorIndex,
    rows: np.ndarray,
    queries: int,
    seed: random.Random,
    report: Report,
) -> None:
    encoder = QuickMiniLM(home.models)
    search = Search(store, home, encoder)
    words = vocabulary(random.Random(1))
    search.search("warm up")
    took, filtered = [], []
    for _ in range(queries):
        text = " ".join(seed.sample(words, 5))
        began = time.perf_counter()
        hits = search.search(text, 8)
        took.append(1000 * (time.perf_counter() - began))
        assert len(hits) == 8
    for _ in range(queries // 10):
        text = " ".join(seed.sample(words, 5))
        began = time.perf_counter()
        search.search(f"in:folder3 {text}", 8)
        filtered.append(1000 * (time.perf_counter() - began))
    again = time.perf_counter()
    search.search(text, 8)
    search.search(text, 8)
    report.say(f"the same query twice: {1000 * (time.perf_counter() - again):.2f} ms in all")
    n = len(rows)
    report.say(f"p50 {percentile(took, 0.5):.1f} ms, p99 {percentile(took, 0.99):.1f} ms; "
               f"filtered p95 {percentile(filtered, 0.95):.1f} ms")  # fmt: skip
    report.at_most(f"search p95 in ms at {n} passages, with embedding", percentile(took, 0.95), 30,
                   queries)  # fmt: skip
    ids = index._ids
    right = 0
    for number in range(100):
        vector = rows[(number * 97) % n] + 0.02 * np.float32(number % 5)
        vector /= np.linalg.norm(vector)
        best = {int(ids[at]) for at in np.argsort(-(rows @ vector))[:10]}
        right += len(best & {item for item, _ in index.search(vector, 10)})
    report.at_least("recall@10 of the approximate index", right / 1000, 0.95, 100)
    report.say(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB "
               "(with the vectors that the bench itself holds)")  # fmt: skip
    encoder.close()


if __name__ == "__main__":
    main()
