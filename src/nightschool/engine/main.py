"""The engine child: `python -m nightschool.children.launch 0 0 nightschool.engine.main HOME`.

Operations (parameters → result; streamed events):

    ask      question, version?, k?, mode?             → Answer; {"delta": text}
    chat     messages, version?, mode?, max_tokens?,   → Answer, prompt_tokens,
             temperature?, top_p?, seed?, stop?          finish_reason; {"delta": text}
    search   query, k?                                 → [Hit]
    embed    texts                                     → {"dim", "vectors"}
    nll      prompt, completion, version?              → {"nll", "tokens"}
    examine                                            → Abilities; {"done", "total"}
    status                                             → what is loaded and served
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from nightschool import config as settings
from nightschool.children.worker import Job, Worker
from nightschool.engine.runtime import Runtime
from nightschool.errors import UsageError
from nightschool.paths import home as home_at
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
    runtime = Runtime(home, store, settings.load(home.config))
    worker = Worker(_handlers(runtime, lambda: worker.beat()))
    try:
        worker.run({**runtime.status(), "started_s": time.monotonic() - began})
    finally:
        runtime.close()
        store.close()


def _handlers(
    runtime: Runtime, beat: Callable[[], None]
) -> dict[str, Callable[[dict[str, Any], Job], Any]]:
    def stepping(job: Job) -> Callable[[], None]:
        def step() -> None:
            beat()
            job.check()

        return step

    def ask(params: dict[str, Any], job: Job) -> Any:
        return runtime.ask(
            _text(params, "question"),
            _version(params),
            int(params.get("k") or 0),
            str(params.get("mode") or "auto"),
            on_delta=lambda text: job.emit({"delta": text}),
            check=stepping(job),
        )

    def chat(params: dict[str, Any], job: Job) -> Any:
        stop = params.get("stop") or ()
        messages = _messages(params)
        answer = runtime.chat(
            messages,
            _version(params),
            str(params.get("mode") or "auto"),
            max_tokens=_number(params, "max_tokens", 0),
            temperature=_number(params, "temperature", 0.0),
            top_p=_number(params, "top_p", 1.0),
            seed=_number(params, "seed", 0),
            stop=[stop] if isinstance(stop, str) else [str(text) for text in stop],
            on_delta=lambda text: job.emit({"delta": text}),
            check=stepping(job),
        )
        limit = _number(params, "max_tokens", 0) or runtime.config.engine.max_tokens
        cut = answer.carried_by == "weights" and answer.tokens >= limit
        return {
            **asdict(answer),
            "prompt_tokens": sum(len(runtime.llama.tokenize(text)) for _, text in messages),
            "finish_reason": "length" if cut else "stop",
        }

    def search(params: dict[str, Any], job: Job) -> Any:
        return runtime.search(_text(params, "query"), _number(params, "k", 8))

    def embed(params: dict[str, Any], job: Job) -> Any:
        texts = params.get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UsageError("`texts` must be a list of strings.", "")
        if len(texts) > MAX_TEXTS:
            raise UsageError(
                f"{len(texts)} texts at once; the limit is {MAX_TEXTS}.", "Send fewer."
            )
        vectors = runtime.embed(texts)
        return {"dim": int(vectors.shape[1]), "vectors": vectors.tolist()}

    def nll(params: dict[str, Any], job: Job) -> Any:
        total, count = runtime.nll(
            _text(params, "prompt"), _text(params, "completion"), _version(params)
        )
        return {"nll": total, "tokens": count}

    def examine(params: dict[str, Any], job: Job) -> Any:
        step = stepping(job)

        def progress(done: int, total: int) -> None:
            step()
            job.emit({"done": done, "total": total})

        return runtime.examine(progress)

    def status(params: dict[str, Any], job: Job) -> Any:
        return runtime.status()

    return {
        "ask": ask,
        "chat": chat,
        "search": search,
        "embed": embed,
        "nll": nll,
        "examine": examine,
        "status": status,
    }


def _text(params: dict[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise UsageError(f"`{name}` must be a text.", "")
    return value


def _number(params: dict[str, Any], name: str, default: Any) -> Any:
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"`{name}` must be a number.", "")
    return type(default)(value)


def _version(params: dict[str, Any]) -> int | None:
    return None if params.get("version") is None else int(_number(params, "version", 0))


def _messages(params: dict[str, Any]) -> list[tuple[str, str]]:
    """`[{"role", "content"}, …]` or `[[role, content], …]`."""
    found = []
    for item in params.get("messages") or []:
        role, content = (
            (item.get("role"), item.get("content"))
            if isinstance(item, dict)
            else (item if isinstance(item, list) and len(item) == 2 else (None, None))
        )
        if not isinstance(role, str) or not isinstance(content, str):
            raise UsageError("A message needs a `role` and a text `content`.", "")
        found.append((role, content))
    return found
