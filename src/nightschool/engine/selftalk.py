"""Text that the base model writes by itself: rehearsal for what a night must not change.

Self-synthesised rehearsal is at least as good as real data (SSR, 2403.01244) and exists for every
model. Sampled once for each base, at temperature 1 from an empty start, and kept in the home.
"""

from __future__ import annotations

import json

from nightschool.engine.llama import Llama
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.registry.atomic import write_bytes

TEXTS = 120
TOKENS = 96
SEED = 7001


def selftalk(home: Home, llama: Llama, base_sha: str, report: Progress) -> list[str]:
    """`TEXTS` samples of the base alone; the adapter is switched off."""
    path = home.models / f"selftalk-{base_sha[:16]}.json"
    try:
        known: list[str] = json.loads(path.read_text(encoding="utf-8"))
        if len(known) == TEXTS:
            return known
    except (OSError, ValueError):
        pass  # not written yet, or damaged: it is made again from the same seeds
    llama.activate(None)
    texts = []
    for number in range(TEXTS):
        report("the base rehearses", number, TEXTS)
        pieces = llama.stream(
            llama.opening(), max_tokens=TOKENS, temperature=1.0, seed=SEED + number
        )
        texts.append("".join(pieces))
    write_bytes(path, json.dumps(texts).encode())
    return texts
