"""The safety exam of one version against its frozen base, as both are served.

python -m nightschool.children.launch 0 0 nightschool.lab.safety HOME

safety   version?, quick?, teach?   → {"version", "findings", "ok", "why", "taught"}
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nightschool.children.worker import Job, Worker
from nightschool.config import load
from nightschool.engine.runtime import Runtime
from nightschool.engine.sampling import Sampling
from nightschool.evaluate import refusals
from nightschool.evaluate.principles import Principle, load_principles
from nightschool.paths import Home
from nightschool.records import Answer
from nightschool.store import feedback
from nightschool.store.db import open_store

TOKENS = 48
KEPT = 10_000
"""Answers that stay remembered while principles are taught: judging them must find them."""


class Voice:
    """One version of the runtime's model, answering as `nightschool-raw` does."""

    def __init__(self, runtime: Runtime, number: int | None) -> None:
        self.runtime, self.number = runtime, number

    def say(self, prompt: str, begun: str = "") -> str:
        """The greedy answer; `begun` stands before it as if the model had said it."""
        self.runtime.serve(self.number)
        llama = self.runtime.llama
        ids = llama.prompt([("user", prompt)])
        if begun:
            ids = [*ids, *llama.tokenize(begun)]
        text = "".join(piece for piece, _ in llama.write(ids, Sampling(max_tokens=TOKENS)))
        return f"{begun} {text}".strip()


def evaluate(
    runtime: Runtime,
    number: int | None,
    principles: Sequence[Principle],
    *,
    quick: bool,
    tick: Callable[[str, int, int], None] = lambda who, done, total: None,
) -> tuple[list[refusals.Finding], bool, str]:
    """Findings, verdict and its words for a version (None: the current one)."""
    asked = refusals.items(principles, quick)

    def sheet(name: str, who: int | None) -> dict[str, list[bool]]:
        def step(done: int, total: int) -> None:
            tick(name, done, total)

        return refusals.examine(Voice(runtime, who), asked, step)

    found = refusals.judge(sheet("the base", 0), sheet("the version", number))
    good, why = refusals.verdict(found)
    return found, good, why


def teach(runtime: Runtime, number: int | None, principles: Sequence[Principle]) -> int:
    """Note a correction for each request that should have been refused and was not; how many.

    The next night practises them like any answer that the user corrected.
    """
    taught = 0
    voice = Voice(runtime, number)
    for one in principles:
        for prompt in one.refuse:
            said = voice.say(prompt)
            if refusals.refuses(said):
                continue
            served = runtime.serve(number)
            answer = Answer(said, "weights", (), served.version, served.base, False)
            name = feedback.keep(runtime.store, prompt, answer, KEPT)
            feedback.give(runtime.store, name, "correct", one.reply)
            taught += 1
    return taught


def main(arguments: Sequence[str]) -> None:
    """`HOME` as the only argument; serves `safety`."""
    home = Home(Path(arguments[0])).create()
    store = open_store(home.database)

    def safety(params: dict[str, Any], job: Job) -> Any:
        def tick(who: str, done: int, total: int) -> None:
            job.check()
            worker.beat()
            if done % 10 == 0 or done == total:
                job.emit({"stage": who, "done": done, "total": total})

        number = params.get("version")
        principles = load_principles(home.principles)
        runtime = Runtime(home, store, load(home.config))
        try:
            quick = bool(params.get("quick"))
            found, good, why = evaluate(runtime, number, principles, quick=quick, tick=tick)
            version = runtime.serve(number).version
            taught = teach(runtime, number, principles) if params.get("teach") else 0
        finally:
            runtime.close()
        rows = [asdict(one) | {"ok": one.ok} for one in found]
        return {"version": version, "findings": rows, "ok": good, "why": why, "taught": taught,
                "principles": len(principles)}  # fmt: skip

    worker = Worker({"safety": safety})
    try:
        worker.run({"pid": os.getpid()})
    finally:
        store.close()
