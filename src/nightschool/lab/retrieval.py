"""Search quality on a BEIR data set: the product's own passages, vectors, full text and fusion.

Nothing here is tuned: each document goes through the product's parser and chunker, and `fused` is
`index.search.Search` as users get it; a document's rank is that of its best passage. A reranker
may be measured beside them: the same hits, in its order, without a time limit (how long it took
is said). Resumable: documents, vectors and finished queries stay in the work folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nightschool.children.worker import Job, Worker
from nightschool.evaluate import ranking
from nightschool.evaluate.statistics import bootstrap
from nightschool.index import lexical
from nightschool.index.embed import NAME, QuickMiniLM, embed_backlog, embedder_for
from nightschool.index.rerank import Wish
from nightschool.index.rerank.order import Reranking
from nightschool.index.search import Search
from nightschool.ingest import chunk as chunking
from nightschool.ingest.parse import parse
from nightschool.lab import beir
from nightschool.models.reader import Reader
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.records import Chunk, Document, FileStatus, Hit
from nightschool.store import documents, state
from nightschool.store.db import Store, open_store

RERANKED = "reranked"
DEPTH = 400
"""Passages that are read from each ranking, to have 100 documents."""
DOCUMENTS = 100
PATIENCE_MS = 600_000
"""No reranker is cut off here."""
TRANSACTION = 200
"""Documents stored at a time."""
LAYOUT = 1
_STAMP = "eval:dataset"


@dataclass
class Result:
    """`systems[name]` holds the means of nDCG@10, recall@10, recall@100, MRR@10 over `queries`.

    With a reranker `gain[metric]` is its paired difference to `fused` with a 95 % interval (the
    bootstrap over queries), and `rerank_ms` the median it took for a query.
    """

    dataset: str
    split: str
    queries: int
    documents: int
    passages: int
    per_query: str
    systems: dict[str, dict[str, float]] = field(default_factory=dict)
    gain: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    rerank_ms: float | None = None
    seconds: float = 0.0


def evaluate(
    folder: Path,
    work: Path,
    split: str,
    report: Progress,
    models: Path,
    wish: Wish | None = None,
) -> Result:
    """Index what is missing, ask what was not asked yet, and average. Raises NotFound, UsageError.

    `work` is a folder that may be deleted at any time; `models` holds converted encoders; `wish`
    names a reranker and how many passages it reads.
    """
    began = time.monotonic()
    data = beir.load(folder, split)
    home = _work(work, data)
    store = open_store(home.database)
    try:
        count = _fill(store, data, report)
        backlog = documents.backlog(store, NAME)
        if backlog:
            embed_backlog(store, embedder_for(backlog, models), report)
        answers = work / f"{split}{_slug(wish)}.jsonl"
        with contextlib.ExitStack() as stack:
            encoder = QuickMiniLM(models)
            stack.callback(encoder.close)
            rerank = None if wish is None else _reranking(stack, home, models, wish)
            _ask(store, home, encoder, data, answers, report, rerank)
        rows = _read(answers)
        result = Result(
            str(folder), split, len(data.queries), count, documents.counts(store)["passages"],
            str(answers),
        )  # fmt: skip
    finally:
        store.close()
    asked = [rows[query] for query in data.queries]
    for name in asked[0]["scores"]:
        scored = [row["scores"][name] for row in asked]
        result.systems[name] = {
            metric: sum(row[metric] for row in scored) / len(scored) for metric in scored[0]
        }
    if wish is not None:
        result.gain = {metric: _gain(asked, metric) for metric in result.systems[RERANKED]}
        result.rerank_ms = round(statistics.median(row["ms"] for row in asked), 1)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def _slug(wish: Wish | None) -> str:
    """What tells the results of one reranker from those of others."""
    if wish is None:
        return ""
    return "-" + hashlib.sha256(f"{wish.by}:{wish.depth}".encode()).hexdigest()[:8]


def _gain(asked: Sequence[dict[str, Any]], metric: str) -> tuple[float, float, float]:
    values = [row["scores"][RERANKED][metric] - row["scores"]["fused"][metric] for row in asked]
    found = bootstrap(values, [1.0] * len(values), [row["query"] for row in asked])
    return found.value, found.low, found.high


Rerank = Callable[[str, list[Hit]], list[Hit]]


def _reranking(stack: contextlib.ExitStack, home: Home, models: Path, wish: Wish) -> Rerank:
    """The hits in the order that is wished for; opened here, so that a wrong name is said first."""
    patient = replace(wish, budget_ms=PATIENCE_MS)
    reader = Reader(models)
    stack.callback(reader.close)
    reranking = Reranking(home, lambda: reader)
    stack.callback(reranking.close)
    reranking.order("warm up", [], patient, 1)
    return lambda text, hits: reranking.order(text, hits, patient, len(hits))


def _work(work: Path, data: beir.Dataset) -> Home:
    """The work folder; emptied when it was made from other data or another way of reading."""
    stamp = f"{LAYOUT}:{chunking.VERSION}:{NAME}:{_digest(data.folder)}"
    home = Home(work / "home")
    if home.database.exists():
        store = open_store(home.database)
        same = state.get(store, _STAMP) == stamp
        store.close()
        if not same:
            shutil.rmtree(work)
    home.create()
    store = open_store(home.database)
    state.put(store, _STAMP, stamp)
    store.close()
    return home


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(f"{path.relative_to(folder)}:{path.stat().st_size}\n".encode())
    return found.hexdigest()


def _fill(store: Store, data: beir.Dataset, report: Progress) -> int:
    """Store every document once; the number of documents."""
    root = documents.add_root(store, str(data.folder))
    known = documents.known(store, root.id)
    entries = data.corpus()
    count = 0
    while part := list(islice(entries, TRANSACTION)):
        with store.transaction():
            for entry in part:
                if entry.id not in known:
                    documents.save(store, *_document(root.id, entry))
        count += len(part)
        report("store", count, 0)
    return count


def _document(root_id: int, entry: beir.Entry) -> tuple[Document, list[Chunk]]:
    text = f"# {entry.title}\n\n{entry.text}\n" if entry.title else f"{entry.text}\n"
    passages = chunking.chunk(parse(text.encode("utf-8", "replace"), "entry.md").blocks)
    item = Document(root_id, entry.id, len(text), 0, entry.id, FileStatus.INDEXED,
                    title=entry.title, format="markdown")  # fmt: skip
    return item, [
        Chunk(number, passage.text, passage.text, passage.locator(entry.id))
        for number, passage in enumerate(passages)
    ]


def _ask(
    store: Store,
    home: Home,
    encoder: QuickMiniLM,
    data: beir.Dataset,
    answers: Path,
    report: Progress,
    rerank: Rerank | None,
) -> None:
    done = _read(answers)
    searcher = Search(store, home, encoder)
    assert searcher.vectors is not None
    with answers.open("a", encoding="utf-8") as sink:
        for number, (query, text) in enumerate(data.queries.items()):
            report("ask", number, len(data.queries))
            if query in done:
                continue
            near = searcher.vectors.search(encoder.embed([text])[0], DEPTH)
            hits = searcher.search(text, DOCUMENTS * 2)
            found = {
                "lexical": _owners(store, lexical.search(store, text, DEPTH)),
                "dense": _owners(store, [item for item, _ in near]),
                "fused": _unique(hit.locator.path for hit in hits),
            }
            began = time.perf_counter()
            if rerank is not None:
                found[RERANKED] = _unique(hit.locator.path for hit in rerank(text, hits))
            row = {"query": query, "scores": _scores(found, data.judged[query]),
                   "first": {name: ids[:10] for name, ids in found.items()},
                   "ms": 1000 * (time.perf_counter() - began)}  # fmt: skip
            sink.write(json.dumps(row) + "\n")
            sink.flush()
    report("ask", len(data.queries), len(data.queries))


def _owners(store: Store, passages: Sequence[int]) -> list[str]:
    found = documents.chunks(store, passages)
    return _unique(found[number].locator.path for number in passages if number in found)


def _unique(paths: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(paths))[:DOCUMENTS]


def _scores(
    found: Mapping[str, list[str]], judged: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    return {
        name: {
            "ndcg@10": ranking.ndcg(ids, judged, 10),
            "recall@10": ranking.recall(ids, judged, 10),
            "recall@100": ranking.recall(ids, judged, 100),
            "mrr@10": ranking.reciprocal_rank(ids, judged, 10),
        }
        for name, ids in found.items()
    }


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Finished queries by id; a last line that a kill tore is asked again."""
    found: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return found
    whole = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        whole.append(line)
        found[row["query"]] = row
    path.write_text("".join(whole), encoding="utf-8")
    return found


def main(arguments: Sequence[str]) -> None:
    """`HOME` as the only argument; serves `retrieval {"dataset", "work", "split", "rerank"?,
    "depth"?}`."""
    home = Home(Path(arguments[0])).create()

    def retrieval(params: dict[str, Any], job: Job) -> Result:
        last = 0.0

        def report(stage: str, done: int, total: int) -> None:
            nonlocal last
            job.check()
            worker.beat()
            if time.monotonic() - last >= 0.2 or done == total:
                last = time.monotonic()
                job.emit({"stage": stage, "done": done, "total": total})

        wish = Wish(params["rerank"], params["depth"]) if params.get("rerank") else None
        return evaluate(
            Path(params["dataset"]), Path(params["work"]), params["split"], report, home.models,
            wish,
        )  # fmt: skip

    worker = Worker({"retrieval": retrieval})
    worker.run({"pid": os.getpid()})
