"""The workshop child: quantise, measure and examine a model, away from what is served.

python -m nightschool.children.launch 5 0 nightschool.engine.workshop

quantize   source, target, kind, threads?   → {"bytes", "seconds"}; {"stage"}
bench      path, threads?, context?         → Measured; {"stage"}
examine    home, path, sha256, threads?     → Abilities, kept in the home; {"stage", …}
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from nightschool.children.worker import Job, Worker
from nightschool.engine import exam
from nightschool.engine.library import library
from nightschool.engine.llama import Llama
from nightschool.engine.sampling import Sampling
from nightschool.errors import ModelError, Refused, StoreError, UsageError
from nightschool.evaluate.probes import load
from nightschool.models import abilities
from nightschool.models.abilities import Abilities
from nightschool.models.header import read_header
from nightschool.models.ladder import LADDER
from nightschool.models.reader import Reader
from nightschool.paths import Home
from nightschool.paths import home as home_at
from nightschool.store.db import open_store

PROMPT, DECODED = 512, 64
"""Tokens that are read and written for the speeds; shorter where the context is."""
EXAM_CONTEXT = 1024
"""Tokens: its passages are short."""
PASSAGES = 24
"""Passages of plain text whose perplexity is measured, at most."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's figures on this machine: seconds, tokens per second, bytes, and perplexity on
    `tokens` tokens of the built-in plain text."""

    load_s: float
    first_token_s: float
    prefill: float
    decode: float
    perplexity: float
    tokens: int
    context: int
    cache: str
    threads: int
    file_bytes: int
    memory_bytes: int


def quantize(
    source: Path, target: Path, kind: str, threads: int = 0, *, again: bool = False
) -> int:
    """Write `source` as `kind` to `target`; the bytes of the new file.

    Raises UsageError for an unknown kind, Refused when the source is quantised already (its losses
    would add up) unless `again`, and ModelError when llama.cpp cannot do it.
    """
    if kind not in LADDER:
        raise UsageError(f"{kind!r} is no kind.", f"One of: {', '.join(LADDER)}.")
    header = read_header(source)
    plain = header.integer("general.file_type", -1) in (0, 1, 32)  # F32, F16, BF16
    if not plain and not again:
        raise Refused(
            f"{source.name} is quantised already: a second time adds to its losses.",
            "Quantise the F16 file of that model, or say --again.",
        )
    lib = library()
    settings = lib.llama_model_quantize_default_params()
    settings.ftype = LADDER[kind].number
    settings.nthread = threads
    settings.allow_requantize = not plain
    part = target.with_suffix(".part")
    try:
        code = lib.llama_model_quantize(
            str(source).encode(), str(part).encode(), ctypes.byref(settings)
        )
        if code != 0 or not part.is_file():
            raise ModelError(
                f"llama.cpp could not write {source.name} as {kind} (code {code}).",
                "Choose another kind, or look whether the disk is full.",
            )
        read_header(part)
        part.replace(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error}.", "Free some space.") from error
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def bench(
    path: Path,
    *,
    threads: int = 0,
    context: int = 0,
    step: Callable[[str], None] = lambda stage: None,
) -> Measured:
    """Measure a model: start, speeds, memory and perplexity. Raises ModelError when it does not
    fit."""
    began = time.perf_counter()
    step("loading")
    with Llama(path, context=context, threads=threads) as llama:
        load_s = time.perf_counter() - began
        first = next(iter(llama.stream([("user", "Hello")], max_tokens=1)), "")
        first_s = time.perf_counter() - began
        step(f"speed (the first word is {first!r})")
        size = min(PROMPT, llama.context - DECODED - 1)
        ids = (llama.tokenize("The quick brown fox jumps over the lazy dog. " * size))[:size]
        llama.forget()
        llama.lookup = 0  # the plain speed, without guesses
        wanted = Sampling(max_tokens=DECODED, temperature=1.0, seed=1)
        for _ in llama.write(ids, wanted):
            pass
        timing = replace(llama.timing)
        memory = psutil.Process().memory_info().rss
        total, count = 0.0, 0
        passages = load("general")[:PASSAGES]
        for number, item in enumerate(passages):
            step(f"perplexity {number + 1} of {len(passages)}")
            nats, tokens = llama.nll_text(item["text"])
            total, count = total + nats, count + tokens
        return Measured(
            load_s=load_s,
            first_token_s=first_s,
            prefill=timing.prompt_tokens / max(timing.prompt_s, 1e-9),
            decode=timing.tokens / max(timing.eval_s, 1e-9),
            perplexity=math.exp(min(total / max(count, 1), 700.0)),
            tokens=count,
            context=llama.context,
            cache=llama.room.cache,
            threads=llama.threads,
            file_bytes=path.stat().st_size,
            memory_bytes=memory,
        )


def examine(
    home: Home,
    path: Path,
    sha256: str,
    *,
    threads: int = 0,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> Abilities:
    """Set a base model's exam, with the span reader beside it, and keep what it found in the home.

    Raises ModelError when llama.cpp cannot load the model or it does not fit.
    """
    with (
        Llama(path, context=EXAM_CONTEXT, threads=threads) as llama,
        Reader(home.models, threads=threads or 1) as reader,
    ):

        def point(question: str, note: str) -> str:
            spans = reader.read(question, [note])
            return spans[0].text if spans else ""

        found = exam.examine(llama, step, point)
    store = open_store(home.database)
    try:
        abilities.save(store, sha256, found)
    finally:
        store.close()
    return found


def main(arguments: Sequence[str]) -> None:
    """Serve until stdin closes."""

    def do_quantize(params: dict[str, Any], job: Job) -> Any:
        job.emit({"stage": f"writing {params['kind']}"})
        began = time.perf_counter()
        size = quantize(
            Path(params["source"]),
            Path(params["target"]),
            str(params["kind"]),
            int(params.get("threads") or 0),
            again=bool(params.get("again")),
        )
        return {"bytes": size, "seconds": time.perf_counter() - began}

    def do_bench(params: dict[str, Any], job: Job) -> Any:
        def step(stage: str) -> None:
            job.check()
            job.emit({"stage": stage})

        threads, context = int(params.get("threads") or 0), int(params.get("context") or 0)
        return bench(Path(params["path"]), threads=threads, context=context, step=step)

    def do_examine(params: dict[str, Any], job: Job) -> Any:
        def step(done: int, total: int) -> None:
            job.check()
            worker.beat()
            job.emit({"stage": "exam", "done": done, "total": total})

        job.emit({"stage": "loading for the exam"})
        return examine(
            home_at(params["home"]).create(),
            Path(params["path"]),
            str(params["sha256"]),
            threads=int(params.get("threads") or 0),
            step=step,
        )

    worker = Worker({"quantize": do_quantize, "bench": do_bench, "examine": do_examine})
    worker.run({})
