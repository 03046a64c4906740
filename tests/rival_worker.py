"""One search program in a process of its own, for `index-speed` and `search-speed`.

    python rival_worker.py NAME MODEL_FOLDER

Reads one JSON request a line, writes one JSON answer a line. Each program is used as its own first
steps say, with the same encoder from the same folder. Requests:

* `{"op": "index", "file", "place"}`: embed and index the passages in `file` (JSON list) into the
  new folder `place`; gives seconds. The encoder is loaded and warmed up before.
* `{"op": "fill", "file", "vectors", "place"}`: index passages whose vectors are given (`.npy`).
* `{"op": "search", "queries", "k"}`: milliseconds of each query, its embedding included.
* `{"op": "memory"}`: megabytes resident now.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
BLOCK = 5_000


class Nightschool:
    """What `intake` does after reading a file, and what the engine does for a query."""

    def __init__(self, model: str) -> None:
        from nightschool.index.embed import NAME, embedder_for

        self.name, self._embedder_for = NAME, embedder_for
        self._models = Path(model)
        self._bulk: Any = None
        self._search: Any = None
        self.version = "this one"

    def warm(self) -> None:
        self._bulk = self._embedder_for(100_000, self._models)
        self._bulk.embed(["warm up"] * 64)

    def _store(self, texts: Sequence[Sequence[str]], place: str) -> tuple[Any, Any]:
        from nightschool.paths import Home
        from nightschool.records import Chunk, Document, FileStatus, Locator
        from nightschool.store import documents
        from nightschool.store.db import open_store

        home = Home(Path(place)).create()
        store = open_store(home.database, durable=False)
        root = documents.add_root(store, "/bench")
        for number, passages in enumerate(texts):
            path = f"folder{number % 7}/{number}.md"
            item = Document(root.id, path, 1, 1, str(number), FileStatus.INDEXED, title=path)
            documents.save(
                store, item, [Chunk(n, t, t, Locator(path)) for n, t in enumerate(passages)]
            )
        return home, store

    def index(self, texts: Sequence[Sequence[str]], place: str) -> None:
        from nightschool.index.embed import embed_backlog
        from nightschool.index.vectors import VectorIndex

        home, store = self._store(texts, place)
        embed_backlog(store, self._bulk)
        index = VectorIndex(store, home.index, self._bulk.name, self._bulk.dim)
        index.keep_file()
        store.close()

    def fill(self, texts: Sequence[Sequence[str]], vectors: Any, place: str) -> None:
        from nightschool.index.embed import QuickMiniLM
        from nightschool.index.search import Search
        from nightschool.index.vectors import VectorIndex, to_bytes
        from nightschool.store import documents

        home, store = self._store(texts, place)
        ids = store.column("SELECT id FROM chunk ORDER BY id")
        for first in range(0, len(ids), BLOCK):
            part = slice(first, first + BLOCK)
            rows = zip(ids[part], to_bytes(vectors[part]), strict=True)
            documents.save_vectors(store, self.name, rows)
        VectorIndex(store, home.index, self.name, vectors.shape[1]).keep_file()
        self._search = Search(store, home, QuickMiniLM(self._models))

    def search(self, query: str, k: int) -> int:
        return len(self._search.search(query, k))


class _Torch:
    """The encoder as sentence-transformers runs it, for programs that want to be given vectors."""

    def __init__(self, model: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(model, local_files_only=True)

    def embed(self, texts: Sequence[str]) -> Any:
        return self.model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


class Plain:
    """What a tutorial writes: encode a document's passages, add them to FAISS, keep the text."""

    def __init__(self, model: str) -> None:
        self.version = version("sentence-transformers")
        self._encoder = _Torch(model)

    def warm(self) -> None:
        self._encoder.embed(["warm up"] * 64)

    def index(self, texts: Sequence[Sequence[str]], place: str) -> None:
        import faiss

        index, kept = faiss.IndexFlatIP(384), list[str]()
        for passages in texts:
            index.add(self._encoder.embed(passages))
            kept += passages
        faiss.write_index(index, f"{place}.faiss")
        assert index.ntotal == len(kept)


class Txtai:
    def __init__(self, model: str) -> None:
        import txtai  # noqa: F401

        self.version, self._model = version("txtai"), model
        self._known: dict[str, Any] = {}
        self._made: Any = None

    def warm(self) -> None:
        self._new().index([(0, "warm up", None)])

    def _new(self, **more: Any) -> Any:
        from txtai import Embeddings

        return Embeddings({"path": self._model, "content": True} | more)

    def index(self, texts: Sequence[Sequence[str]], place: str) -> None:
        made = self._new()
        flat = [text for passages in texts for text in passages]
        made.index([(number, text, None) for number, text in enumerate(flat)])
        made.save(place)
        assert made.count() == len(flat)

    def fill(self, texts: Sequence[Sequence[str]], vectors: Any, place: str) -> None:
        import numpy as np

        flat = [text for passages in texts for text in passages]
        self._known = dict(zip(flat, vectors, strict=True))
        encoder = _Torch(self._model)

        def transform(asked: Sequence[str]) -> Any:
            if all(text in self._known for text in asked):
                return np.array([self._known[text] for text in asked])
            return encoder.embed(asked)

        self._made = self._new(path=None, method="external", transform=transform)
        self._made.index([(number, text, None) for number, text in enumerate(flat)])
        self._known = {}

    def search(self, query: str, k: int) -> int:
        return len(self._made.search(query, k))


class Chroma:
    def __init__(self, model: str) -> None:
        import chromadb  # noqa: F401

        self.version, self._model = version("chromadb"), model
        self._made: Any = None

    def warm(self) -> None:
        from chromadb.utils import embedding_functions as functions

        self._embed = functions.SentenceTransformerEmbeddingFunction(
            model_name=self._model, normalize_embeddings=True
        )
        self._embed(["warm up"] * 64)

    def _new(self, place: str) -> Any:
        import chromadb

        quiet = chromadb.Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(path=place, settings=quiet)
        return client.create_collection("bench", embedding_function=self._embed)

    def index(self, texts: Sequence[Sequence[str]], place: str) -> None:
        made = self._new(place)
        flat = [text for passages in texts for text in passages]
        for first in range(0, len(flat), BLOCK):
            part = flat[first : first + BLOCK]
            made.add(ids=[str(first + n) for n in range(len(part))], documents=part)
        assert made.count() == len(flat)

    def fill(self, texts: Sequence[Sequence[str]], vectors: Any, place: str) -> None:
        self.warm()
        self._made = self._new(place)
        flat = [text for passages in texts for text in passages]
        for first in range(0, len(flat), BLOCK):
            part = flat[first : first + BLOCK]
            self._made.add(
                ids=[str(first + n) for n in range(len(part))],
                documents=part,
                embeddings=vectors[first : first + BLOCK],
            )

    def search(self, query: str, k: int) -> int:
        return len(self._made.query(query_texts=[query], n_results=k)["ids"][0])


class Leann:
    def __init__(self, model: str) -> None:
        from leann import LeannBuilder

        self.version = version("leann")
        self._model, self._builder = model, LeannBuilder

    def warm(self) -> None:
        from leann.embedding_compute import compute_embeddings

        compute_embeddings(["warm up"] * 64, self._model, mode="sentence-transformers")

    def index(self, texts: Sequence[Sequence[str]], place: str) -> None:
        made = self._builder(
            backend_name="hnsw", embedding_model=self._model,
            embedding_mode="sentence-transformers",
        )  # fmt: skip
        for passages in texts:
            for text in passages:
                made.add_text(text)
        Path(place).mkdir(parents=True)
        made.build_index(f"{place}/bench.leann")


SYSTEMS = {
    "nightschool": Nightschool, "plain": Plain, "txtai": Txtai, "chroma": Chroma, "leann": Leann,
}  # fmt: skip


def resident() -> float:
    """Megabytes of this process in memory now."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def serve(system: Any, request: dict[str, Any]) -> dict[str, Any]:
    """One request."""
    if request["op"] == "memory":
        return {"mb": resident()}
    if request["op"] == "search":
        took = []
        for query in request["queries"]:
            began = time.perf_counter()
            found = system.search(query, request["k"])
            took.append(1000 * (time.perf_counter() - began))
            assert 0 < found <= request["k"], (query, found)
        return {"ms": took}
    texts = json.loads(Path(request["file"]).read_text(encoding="utf-8"))
    if request["op"] == "fill":
        import numpy as np

        vectors = np.load(request["vectors"])
        began = time.perf_counter()
        system.fill(texts, vectors, request["place"])
    else:
        began = time.perf_counter()
        system.index(texts, request["place"])
    return {"seconds": time.perf_counter() - began}


def main() -> None:
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        system = SYSTEMS[sys.argv[1]](sys.argv[2])
        answer({"version": system.version})
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["op"] == "warm":
                system.warm()
                answer({})
            else:
                answer(serve(system, request))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
