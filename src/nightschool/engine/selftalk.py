"""Text that the base model writes by itself: rehearsal for what a night must not change.

Self-synthesised rehearsal is at least as good as real data (SSR, 2403.01244) and exists for every
model. Sampled once for each base, at temperature 1 from an empty start, and kept in the home; a
night that is broken off keeps what it has sampled so far.
"""

from __future__ import annotations

import json
from pathlib import Path

from nightschool.engine.llama import Llama
from nightschool.paths import Home
from nightschool.ports import Progress
from nightschool.store.atomic import write_bytes

TEXTS = 120
TOKENS = 96
SEED = 7001
OFTEN = 10
"""After so many samples they are written, for a kill."""


def selftalk(home: Home, llama: Llama, base_sha: str, report: Progress) -> list[str]:
    """`TEXTS` samples of the base alone; the adapter is switched off."""
    path = home.models / f"selftalk-{base_sha[:16]}.json"
    texts = _known(path)
    if len(texts) == TEXTS:
        return texts
    llama.activate(None)
    try:
        for number in range(len(texts), TEXTS):
            report("the base rehearses", number, TEXTS)  # raises when the night shall stop
            pieces = llama.stream(
                llama.opening(), max_tokens=TOKENS, temperature=1.0, seed=SEED + number
            )
            texts.append("".join(pieces))
            if len(texts) % OFTEN == 0:
                _keep(path, texts)
    finally:
        _keep(path, texts)
    return texts


def _known(path: Path) -> list[str]:
    """What is sampled already; a damaged file is nothing, and made again from the same seeds."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(text) for text in found[:TEXTS]] if isinstance(found, list) else []


def _keep(path: Path, texts: list[str]) -> None:
    write_bytes(path, json.dumps(texts).encode())
