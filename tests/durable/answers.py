"""G28 and G15 on the real thing: versions of the starter, loaded by llama.cpp, and what they say.

The adapters are random and strong enough that each version answers differently. Greedy answers
before a promotion and after its rollback must be the same bytes, with kills in between.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from durable import made, rollbacks
from made_versions import make_versions
from nightschool.config import Config, Engine
from nightschool.engine.runtime import Runtime
from nightschool.errors import NightschoolError
from nightschool.paths import Home
from nightschool.registry import pointer, versions
from nightschool.store import versions as rows

PROMPTS = ("Who has the key?", "Say what the garden needs in March.", "When does the train leave?")


@dataclass
class Outcome:
    loads: int = 0
    answers: int = 0
    differing: int = 0
    distinct: int = 0
    wrong: list[str] = field(default_factory=list)


def said(runtime: Runtime, number: int) -> tuple[str, ...]:
    """What the served version answers; raises NightschoolError when it is not this one."""
    found = []
    for prompt in PROMPTS:
        answer = runtime.ask(prompt, mode="raw")
        if answer.version != number:
            raise NightschoolError(f"version {answer.version} answered, not {number}", "")
        found.append(answer.text)
    return tuple(found)


def sweep(room: Path, rounds: int) -> Outcome:
    """So many rounds: serve one version, be killed while another is chosen, recover, roll back."""
    outcome = Outcome()
    luck = random.Random(28)
    shutil.rmtree(room, ignore_errors=True)
    home = Home(room / "home").create()
    make_versions(home, 2)
    store = made.recover(home)
    for row in rows.versions(store):
        rows.set_status(store, row.number, "promoted")
    base = rows.versions(store)[0].base_sha
    runtime = Runtime(home, store, Config(engine=Engine(max_tokens=16)))
    known: dict[int, tuple[str, ...]] = {}
    try:
        for _ in range(rounds):
            for number in (0, 1, 2):
                versions.use(home, store, number, base_sha=base)
                now = said(runtime, number)
                outcome.loads += 1
                outcome.answers += len(now)
                outcome.differing += now != known.setdefault(number, now)
            before = luck.choice((0, 1))
            versions.use(home, store, before, base_sha=base)
            with contextlib.suppress(rollbacks.Killed), rollbacks.killed_at(luck.randrange(1, 5)):
                versions.use(home, store, 2, base_sha=base)
            made.forget.settle(home, store)
            served = pointer.read(home).version
            outcome.differing += said(runtime, served) != known[served]
            if served == 2:
                versions.rollback(home, store)
                rows.set_status(store, 2, "promoted")
            outcome.differing += said(runtime, before) != known[before]
            outcome.loads += 2
            outcome.answers += 2 * len(PROMPTS)
    except NightschoolError as error:
        outcome.wrong.append(str(error))
    finally:
        runtime.close()
        store.close()
    outcome.distinct = len(set(known.values()))
    return outcome
