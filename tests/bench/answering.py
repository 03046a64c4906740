"""Bench the answer path on the invented notes; `--fit` refits the weights of `engine.evidence`.

    make bench NAME=answering [ARGS="--quick"|"--fit"]

Prints progress, then as its last line one JSON object {"checks": [...]}; exits 1 if any is not ok.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from invented_notes import NOTES, QUESTIONS  # noqa: E402
from nightschool.children.child import Child  # noqa: E402
from nightschool.config import Config  # noqa: E402
from nightschool.engine import evidence  # noqa: E402
from nightschool.engine.runtime import Runtime  # noqa: E402
from nightschool.engine.support import stems  # noqa: E402
from nightschool.intake import run_intake  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.store import documents  # noqa: E402
from nightschool.store.db import open_store  # noqa: E402

PENALTY = 0.5
"""Ridge on the refitted weights: 340 spans of 68 questions must not be learnt by heart."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the questions")
    parser.add_argument("--fit", action="store_true", help="refit and print the weights")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = _fill(Path(folder))
        store = open_store(home.database)
        runtime = Runtime(home, store, Config())
        questions = QUESTIONS[::3] if options.quick else QUESTIONS
        if options.fit:
            _fit(runtime)
        checks = _ask(runtime, questions)
        runtime.close()
        store.close()
        checks += _cold(home, 2 if options.quick else 5)
    print(json.dumps({"checks": checks}))
    return 0 if all(check["ok"] for check in checks) else 1


def _fill(folder: Path) -> Home:
    notes = folder / "notes"
    notes.mkdir()
    for name, text in NOTES.items():
        (notes / name).write_text(text, encoding="utf-8")
    home = Home(folder / "home").create()
    store = open_store(home.database)
    documents.add_root(store, str(notes))
    run_intake(home, store, Config())
    store.close()
    return home


def _ask(runtime: Runtime, questions: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    right, shy, cited, seconds = [], [], [], []
    for question, note, gold in questions:
        answer = runtime.ask(question)
        seconds.append(answer.seconds)
        if gold:
            right.append(gold.casefold() in answer.text.casefold())
            if answer.citations:
                cited.append(answer.citations[0].locator.startswith(note))
        else:
            shy.append(answer.carried_by == "abstained")
        print(f"{answer.carried_by:9} {question} -> {answer.text}")
    return [
        _check("right_with_gold_in_answer", np.mean(right), 0.75, len(right)),
        _check("abstains_when_files_do_not_say", np.mean(shy), 0.75, len(shy)),
        _check("first_citation_is_the_right_file", np.mean(cited), 0.9, len(cited)),
        _check("median_seconds", np.median(seconds), 1.5, len(seconds), at_most=True),
    ]


def _cold(home: Home, times: int) -> list[dict[str, Any]]:
    """Seconds from starting the process to its first token."""
    took = []
    for _ in range(times):
        begun = time.monotonic()
        child = Child("nightschool.engine.main", [str(home.root)], log=home.logs / "engine.log")
        child.wait_ready()
        chat = {"messages": [["user", "Hello?"]], "mode": "raw", "temperature": 2.0, "seed": 1}
        next(child.stream("chat", chat))
        took.append(time.monotonic() - begun)
        child.stop()
    print(f"cold starts: {', '.join(f'{second:.2f} s' for second in took)}")
    return [_check("cold_start_to_first_token_s", np.median(took), 2.0, times, at_most=True)]


def _check(
    name: str, value: float | np.floating[Any], bound: float, n: int, *, at_most: bool = False
) -> dict[str, Any]:
    ok = value <= bound if at_most else value >= bound
    sign = "<=" if at_most else ">="
    return {
        "name": name,
        "value": round(float(value), 3),
        "bound": f"{sign} {bound}",
        "ok": bool(ok),
        "n": n,
    }


def _fit(runtime: Runtime) -> None:
    """Logistic regression: does this span of this passage answer this question?"""
    rows: list[list[float]] = []
    labels: list[float] = []
    groups: list[int] = []
    for number, (question, note, gold) in enumerate(QUESTIONS):
        hits = runtime.search(question, 5)
        asked = stems(question)
        for span in runtime.reader.read(question, [hit.text for hit in hits]):
            hit = hits[span.passage]
            p = min(max(span.probability, 1e-9), 1 - 1e-9)
            limit = evidence.LOG_ODDS_LIMIT
            odds = min(max(math.log(p / (1 - p)), -limit), limit)
            rows.append([1, odds, hit.similarity or 0.0, evidence.coverage(asked, hit)])
            whole = evidence.sentence_at(hit.text, span.start, span.end).text
            right = bool(gold) and hit.locator.path == note and gold.casefold() in whole.casefold()
            labels.append(float(right))
            groups.append(number)
    x, y, g = np.array(rows), np.array(labels), np.array(groups)
    weights = _regress(x, y)
    print("weights (bias, reader, near, covered):", np.round(weights, 2).tolist())
    folds = [_regress(x[g % 5 != fold], y[g % 5 != fold]) for fold in range(5)]
    held = np.array([row @ folds[group % 5] for row, group in zip(x, g, strict=True)])
    now = np.array([evidence.BIAS, evidence.READER, evidence.NEAR, evidence.COVERED])
    for name, scores in (("now", x @ now), ("refitted, held out", held)):
        best = {n: np.flatnonzero(g == n)[np.argmax(scores[g == n])] for n in set(groups)}
        chosen = np.array([best[n] for n in range(len(QUESTIONS)) if n in best])
        say = scores[chosen] > 0
        has = np.array([bool(QUESTIONS[g[i]][2]) for i in chosen])
        figures = {
            "right": np.sum(say & (y[chosen] > 0)),
            "wrong": np.sum(say & has & (y[chosen] == 0)),
            "missed": np.sum(~say & has),
            "invented": np.sum(say & ~has),
        }
        print(name, {key: int(value) for key, value in figures.items()})


def _regress(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Newton's method with a ridge on all weights but the bias."""
    weights = np.zeros(x.shape[1])
    ridge = PENALTY * np.diag([0.0, *[1.0] * (x.shape[1] - 1)])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - y) + ridge @ weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge + 1e-9 * np.eye(x.shape[1])
        weights -= np.linalg.solve(hessian, gradient)
    return weights


if __name__ == "__main__":
    raise SystemExit(main())
