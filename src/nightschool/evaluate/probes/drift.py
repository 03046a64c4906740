"""KL(base‖subject) where nothing was to be learned: rehearsed prompts with the base's answers.

Forgetting is predicted by this divergence (RL's razor, 2509.04259). The base is examined first;
its greedy answer and its top-k log-probabilities on it are kept in `material.reference`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nightschool.evaluate.subject import Material, Subject, Tick

PROMPTS = 64
TOKENS = 24
TOP = 64
KEY = "drift"


def run(subject: Subject, material: Material, tick: Tick) -> dict[str, Any]:
    """`kl`: mean KL in nats a token, one a prompt; empty for the base, whose answers are kept."""
    questions = material.rehearsed[:PROMPTS]
    known: Any = material.reference.get(KEY)
    if known is None:
        material.reference[KEY] = [_reference(subject, q.messages) for q in questions]
        return {"kl": []}
    found = []
    for number, (ids, start, index, logp, rest) in enumerate(known):
        tick("drift", number, len(known))
        rows = subject.logprobs(ids)[start - 1 : len(ids) - 1]
        kept = np.take_along_axis(rows, index, axis=1)
        other = np.log(np.clip(1 - np.exp(kept).sum(1), 1e-6, None))
        inner = (np.exp(logp) * (logp - kept)).sum(1) + np.exp(rest) * (rest - other)
        found.append(float(inner.mean()))
    return {"kl": found}


def _reference(subject: Subject, messages: Any) -> tuple[Any, ...]:
    before = subject.prompt(messages)
    answer = subject.tokenize(subject.generate(messages, max_tokens=TOKENS)) or before[-1:]
    ids = [*before, *answer]
    rows = subject.logprobs(ids)[len(before) - 1 : len(ids) - 1]
    top = min(TOP, rows.shape[1])
    index = np.argpartition(-rows, top - 1, axis=1)[:, :top]
    logp = np.take_along_axis(rows, index, axis=1)
    rest = np.log(np.clip(1 - np.exp(logp).sum(1), 1e-6, None))
    return ids, len(before), index, logp, rest
