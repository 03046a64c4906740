"""Bench indexing: passages a second, against a plain sentence-transformers and FAISS loop.

    make bench NAME=index-speed [ARGS="--quick"]

Both get the same passages of the same documents, cut by the product's chunker, with their models
loaded and warmed up, in turns in one process. The loop is what a tutorial writes: encode a
document's passages, add them to a FAISS index, keep the text in a list. Ours also stores text,
full text and vectors durably. Other programs (LEANN, txtai, Chroma) are not measured here.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import faiss  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.index.embed import BulkMiniLM, embed_backlog  # noqa: E402
from nightschool.index.vectors import VectorIndex  # noqa: E402
from nightschool.ingest.chunk import chunk  # noqa: E402
from nightschool.ingest.parse import parse  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import Chunk, Document, FileStatus  # noqa: E402
from nightschool.store import documents  # noqa: E402
from nightschool.store.db import open_store  # noqa: E402


def corpus(count: int) -> list[list[str]]:
    """Passages of `count` documents: paragraphs of the example vault, shuffled together."""
    seed = random.Random(3)
    paragraphs = [
        part
        for path in sorted(examples.vault_dir().rglob("*.md"))
        for part in path.read_text(encoding="utf-8").split("\n\n")
        if len(part.split()) > 8
    ]
    found = []
    for number in range(count):
        text = "\n\n".join(seed.choices(paragraphs, k=seed.randint(1, 12)))
        blocks = parse(f"# Document {number}\n\n{text}\n".encode(), f"{number}.md").blocks
        found.append([passage.text for passage in chunk(blocks)])
    return found


def plain(texts: list[list[str]], model: Any) -> float:
    """The tutorial's loop; seconds."""
    began = time.perf_counter()
    index = faiss.IndexFlatIP(model.get_embedding_dimension())
    kept: list[str] = []
    for passages in texts:
        index.add(model.encode(passages, normalize_embeddings=True, show_progress_bar=False))
        kept += passages
    assert index.ntotal == len(kept)
    return time.perf_counter() - began


def ours(texts: list[list[str]], embedder: BulkMiniLM) -> float:
    """Store, embed, index; seconds."""
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place)).create()
        store = open_store(home.database)
        root = documents.add_root(store, "/bench")
        began = time.perf_counter()
        for number, passages in enumerate(texts):
            path = f"{number}.md"
            item = Document(root.id, path, 1, 1, str(number), FileStatus.INDEXED, title=path)
            documents.save(store, item, [
                Chunk(n, text, text, documents.locator_from_json(f'{{"path": "{path}"}}'))
                for n, text in enumerate(passages)
            ])  # fmt: skip
        embed_backlog(store, embedder)
        index = VectorIndex(store, home.index, embedder.name, embedder.dim)
        index.refresh()
        index.save()
        took = time.perf_counter() - began
        assert len(index) == sum(len(passages) for passages in texts)
        store.close()
    return took


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    texts = corpus(60 if report.quick else 2_000)
    count = sum(len(passages) for passages in texts)
    report.say(f"{len(texts)} documents, {count} passages")
    embedder = BulkMiniLM()
    model = embedder._model
    embedder.embed(["warm up"] * 8)
    rounds = 2 if report.quick else 3
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(rounds):
        times["plain"].append(plain(texts, model))
        times["ours"].append(ours(texts, embedder))
        report.say(", ".join(f"{name} {count / took[-1]:.1f}/s" for name, took in times.items()))
    ratio = min(times["plain"]) / min(times["ours"])
    report.at_least("passages a second, ours over the plain loop", ratio, 1.5, rounds)
    report.finish()


if __name__ == "__main__":
    main()
