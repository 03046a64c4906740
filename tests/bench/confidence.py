"""Bench what speaks for an answer: span support, token entropy, agreement of two samples.

    make bench NAME=confidence [ARGS="--quick"] [ARGS="--model FILE.gguf"]

Every question of the example vault is answered by the model in use, a second answer is always
sampled, and each signal is compared with whether the answer was right (AUROC with its 95 %
interval; 0.5 says nothing). Then the thresholds are swept: what a second answer would decide in
doubtful cases, against deciding by the span's support alone. Bounds are held only for what the
defaults rest on. The last line is one JSON object {"checks": [...]}; exits 1 if any is not ok.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.config import Config  # noqa: E402
from nightschool.engine.agreement import Rules, Signals  # noqa: E402
from nightschool.engine.answering import Answering  # noqa: E402
from nightschool.engine.evidence import ANSWERS, weigh  # noqa: E402
from nightschool.engine.runtime import Runtime  # noqa: E402
from nightschool.engine.support import abstains, agree  # noqa: E402
from nightschool.evaluate.text import contains  # noqa: E402
from nightschool.examples import Question  # noqa: E402
from nightschool.intake import run_intake  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.store import documents  # noqa: E402
from nightschool.store.db import open_store  # noqa: E402

DRAWS = 2000
DOUBTS = (0.1, 0.2, 0.3, 0.4)
LEVELS = (0.3, 0.5, 0.7, 0.9)
SILENT = -9.0
"""Score of an answer whose signal could not be taken: below all others."""


@dataclass(frozen=True)
class Row:
    """One question: its signals, and whether the span and the model's own words are right."""

    answerable: bool
    support: float
    mean: float
    largest: float
    agreement: float
    same: bool
    span_right: bool
    own: bool
    own_right: bool


def look(runtime: Runtime, question: Question) -> Row:
    rules = Rules("informs", doubt=0.5)  # a second answer to every question
    answering = Answering(
        runtime.llama, runtime.searcher, runtime.reader, runtime.abilities, rules=rules
    )
    answer = answering.answer(question.question, runtime.serve())
    sure = answer.confidence
    assert sure is not None
    hits = runtime.searcher.search(question.question, 5)
    found = weigh(question.question, hits, runtime.reader)
    gold = (question.answer, *question.aliases) if question.kind == "span" else ()
    span = found[0] if found else None
    shown = "" if span is None else f"{span.text} {span.quote.text}"
    own = answer.generated
    return Row(
        answerable=bool(gold),
        support=sure.span_support or 0.0,
        mean=SILENT if sure.entropy_mean is None else -sure.entropy_mean,
        largest=SILENT if sure.entropy_max is None else -sure.entropy_max,
        agreement=SILENT if sure.agreement is None else sure.agreement,
        same=bool(span and own and agree(own, span.text)),
        span_right=bool(gold) and contains(shown, gold),
        own=bool(own) and not abstains(own),
        own_right=bool(gold) and contains(own, gold),
    )


def auroc(scores: list[float], right: list[bool]) -> tuple[float, float, float]:
    """Chance that a right answer scores above a wrong one (ties count half), and its bootstrap
    95 % interval. NaN when all are right or all are wrong."""
    s, r = np.array(scores), np.array(right)

    def area(s: np.ndarray, r: np.ndarray) -> float:
        good, bad = s[r], s[~r]
        if not len(good) or not len(bad):
            return float("nan")
        above = (good[:, None] > bad[None, :]).mean()
        return float(above + 0.5 * (good[:, None] == bad[None, :]).mean())

    draw = np.random.default_rng(7)
    areas = [area(s[i], r[i]) for i in draw.integers(0, len(s), (DRAWS, len(s)))]
    low, high = np.nanquantile(areas, [0.025, 0.975])
    return area(s, r), float(low), float(high)


def signals(report: Report, rows: list[Row], title: str, right: list[bool]) -> dict[str, float]:
    report.say(f"{title}: {sum(right)} of {len(right)} right")
    lows = {}
    for name in ("support", "mean", "largest", "agreement", "same"):
        area, low, high = auroc([float(getattr(row, name)) for row in rows], right)
        lows[name] = low
        told = {"mean": "low mean entropy", "largest": "low largest entropy",
                "same": "model says what the reader says"}.get(name, name)  # fmt: skip
        report.say(f"  AUROC of {told}: {area:.3f} [{low:.3f}, {high:.3f}] n={len(rows)}")
    return lows


def value(rows: list[Row], doubt: float, level: float) -> int:
    """Right answers less wrong ones, when a second answer decides within `doubt` of even odds."""
    total = 0
    for row in rows:
        given = row.support >= ANSWERS
        if doubt and abs(row.support - ANSWERS) <= doubt:
            given = row.own and row.agreement >= level
        total += (1 if row.span_right else -1) if given else 0
    return total


def sweep(report: Report, rows: list[Row]) -> float:
    """What the best thresholds of one half gain on the other, both ways, in answers of all."""
    alone = value(rows, 0.0, 0.0)
    report.say(f"right less wrong, by span support alone: {alone} of {len(rows)}")
    for doubt in DOUBTS:
        cells = " ".join(f"{value(rows, doubt, level):4d}" for level in LEVELS)
        many = sum(abs(row.support - ANSWERS) <= doubt for row in rows)
        report.say(f"  doubt {doubt}: {cells} (agreement {LEVELS}); {many} in doubt")
    halves = rows[::2], rows[1::2]
    gain = 0
    for chosen, other in (halves, halves[::-1]):
        best = max(((d, a) for d in DOUBTS for a in LEVELS), key=lambda at: value(chosen, *at))
        gain += value(other, *best) - value(other, 0.0, 0.0)
        report.say(f"  chosen on one half: doubt {best[0]}, agreement {best[1]}")
    report.say(f"  gain of those on the other halves: {gain:+d} answers of {len(rows)}")
    return gain / len(rows)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--model", default="", help="another base model than the one in the box")
    options = parser.parse_args()
    report = Report(options.quick)
    items = examples.questions()[:: 3 if report.quick else 1]
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).create()
        store = open_store(home.database)
        documents.add_root(store, str(examples.vault_dir()))
        run_intake(home, store, Config())
        runtime = Runtime(home, store, replace(Config(), model=options.model))
        report.say(f"{runtime.model.name}: the {'model' if runtime.abilities.leads else 'reader'} "
                   f"leads; {len(items)} questions")  # fmt: skip
        rows = [look(runtime, question) for question in items]
        runtime.close()
        store.close()
    span = signals(report, rows, "the span that is quoted", [row.span_right for row in rows])
    spoken = [row for row in rows if row.own]
    signals(report, spoken, "the model's own words", [row.own_right for row in spoken])
    gain = sweep(report, rows)
    if not options.model:  # what the defaults rest on, for the model that they are made for
        report.at_least("span support, AUROC, lower 95 %", span["support"], 0.6, len(rows))
        default = Config().engine.second_answer
        report.exactly("a second answer decides by default only where it gains",
                       float(default != "decides" or gain > 0), 1, len(rows))  # fmt: skip
        silent = Signals(Rules.of(Config().engine))
        report.exactly("no second answer is drawn for clear support",
                       float(silent.rules.doubtful(0.95)), 0, 1)  # fmt: skip
    report.finish()


if __name__ == "__main__":
    main()
