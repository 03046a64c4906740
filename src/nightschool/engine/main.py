"""The engine child: `python -m nightschool.children.launch 0 0 nightschool.engine.main HOME`.

Operations (parameters → result; streamed events):

    ask      question, version?, k?, mode?             → Answer; {"delta": text}
    chat     messages | prompt, version?, mode?,       → Answer, prompt_tokens, finish_reason,
             sampling, form?, tools?, tool_choice?       logprobs, tool_calls, timing;
             (see `engine.requests`)                     {"delta": text}
    search   query, k?, rerank?, rerank_depth?,        → [Hit]
             rerank_ms?
    embed    texts                                     → {"dim", "vectors", "tokens"}
    nll      prompt, completion, version?              → {"nll", "tokens"}
    examine                                            → Abilities; {"done", "total"}
    status                                             → what is loaded and served
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from nightschool import config as settings
from nightschool.children.worker import Job, Worker
from nightschool.engine import requests
from nightschool.engine.current import Current
from nightschool.errors import StoreError, UsageError
from nightschool.paths import home as home_at
from nightschool.store import feedback
from nightschool.store.db import open_store

MAX_TEXTS = 256
"""Most texts of one `embed`: a request must not keep everybody else waiting for minutes."""


def main(arguments: Sequence[str]) -> None:
    """Serve the home named by the first argument until stdin closes."""
    began = time.monotonic()
    if not arguments:
        raise UsageError("The engine needs a home directory.", "It is started by `nightschool`.")
    home = home_at(arguments[0]).create()
    store = open_store(home.database)
    current = Current(home, store, settings.load(home.config))
    ready = current.runtime().status()  # before the worker takes stdout: a failure is said there
    worker = Worker(_handlers(current, lambda: worker.beat()))
    try:
        worker.run({**ready, "started_s": time.monotonic() - began})
    finally:
        current.close()
        store.close()


def _handlers(
    current: Current, beat: Callable[[], None]
) -> dict[str, Callable[[dict[str, Any], Job], Any]]:
    def stepping(job: Job) -> Callable[[], None]:
        def step() -> None:
            beat()
            job.check()

        return step

    def ask(params: dict[str, Any], job: Job) -> Any:
        question = requests.text(params, "question")
        answer = current.runtime().ask(
            question,
            requests.version(params),
            int(params.get("k") or 0),
            str(params.get("mode") or "auto"),
            on_delta=lambda text: job.emit({"delta": text}),
            check=stepping(job),
        )
        runtime = current.runtime()
        most = runtime.config.engine.keep_answers
        name = ""
        with contextlib.suppress(StoreError):  # a full or read-only disk must not cost the answer
            name = feedback.keep(runtime.store, question, answer, most)
        return replace(answer, id=name)

    def chat(params: dict[str, Any], job: Job) -> Any:
        runtime = current.runtime()
        wanted = requests.read(params, runtime.llama.tool_style)
        reply = runtime.talk(
            wanted, on_delta=lambda text: job.emit({"delta": text}), check=stepping(job)
        )
        return {**asdict(reply.answer), **requests.result(reply)}

    def search(params: dict[str, Any], job: Job) -> Any:
        return current.runtime().search(
            requests.text(params, "query"), requests.number(params, "k", 8), requests.wish(params)
        )

    def embed(params: dict[str, Any], job: Job) -> Any:
        texts = params.get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UsageError("`texts` must be a list of strings.", "")
        if len(texts) > MAX_TEXTS:
            raise UsageError(
                f"{len(texts)} texts at once; the limit is {MAX_TEXTS}.", "Send fewer."
            )
        runtime = current.runtime()
        vectors = runtime.embed(texts)
        return {
            "dim": int(vectors.shape[1]),
            "vectors": vectors.tolist(),
            "tokens": runtime.encoder.count(texts),
        }

    def nll(params: dict[str, Any], job: Job) -> Any:
        total, count = current.runtime().nll(
            requests.text(params, "prompt"),
            requests.text(params, "completion"),
            requests.version(params),
        )
        return {"nll": total, "tokens": count}

    def examine(params: dict[str, Any], job: Job) -> Any:
        step = stepping(job)

        def progress(done: int, total: int) -> None:
            step()
            job.emit({"done": done, "total": total})

        return current.runtime().examine(progress)

    def status(params: dict[str, Any], job: Job) -> Any:
        return current.runtime().status()

    return {
        "ask": ask,
        "chat": chat,
        "search": search,
        "embed": embed,
        "nll": nll,
        "examine": examine,
        "status": status,
    }
