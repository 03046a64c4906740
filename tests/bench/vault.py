"""Bench the main job on the example vault: citations, answers, abstention, and what a night adds.

    make bench NAME=vault [ARGS="--quick"] [ARGS="--seeds 1 2 3 4 5"]

Everything goes through the Python door, the way a user would. Prints progress, then as its last
line one JSON object {"checks": [...]}; exits 1 if any is not ok.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
from nightschool.evaluate.statistics import wilson  # noqa: E402
from nightschool.evaluate.text import abstains, contains, normalise  # noqa: E402
from nightschool.examples import Question  # noqa: E402
from nightschool.records import Answer, Outcome  # noqa: E402


def cited(door: Nightschool, answer: Answer, question: Question) -> bool:
    """Whether a cited passage of the gold file holds the gold evidence."""
    wanted = normalise(question.evidence or "")
    found = door.passages([citation.chunk_id for citation in answer.citations])
    return any(
        chunk.locator.path == question.path and wanted in normalise(chunk.text)
        for chunk in found.values()
    )


def share(report: Report, name: str, right: int, n: int, bound: float) -> None:
    low, high = wilson(right, n)
    report.say(f"{name}: {right}/{n} = {right / n:.3f} (95 % {low:.3f} to {high:.3f})")
    report.at_least(name, right / n, bound, n)


def open_book(door: Nightschool, report: Report) -> None:
    items = examples.questions()
    spans = [q for q in items if q.kind == "span"]
    nowhere = [q for q in items if q.kind != "span"]
    if report.quick:
        spans, nowhere = spans[::3], nowhere[::2]
    gold = right = 0
    for question in spans:
        answer = door.ask(question.question)
        gold += cited(door, answer, question)
        right += contains(answer.text, (question.answer, *question.aliases))
    share(report, "gold passage cited", gold, len(spans), 0.80)
    share(report, "answer in the text", right, len(spans), 0.0)
    silent = sum(abstains(door.ask(q.question).text) for q in nowhere)
    share(report, "abstains where the vault says nothing", silent, len(nowhere), 0.0)


def night(folder: Path, seed: int, minutes: float, report: Report) -> bool:
    """One night from nothing; whether it was promoted."""
    with Nightschool(folder) as door:
        door.watch(examples.vault_dir())
        found = door.learn(seed=seed, minutes=minutes)
        assert found.scorecard is not None
        for figure in found.scorecard.figures:
            report.say(f"  {figure.name}: {figure.value:g} [{figure.low}, {figure.high}] "
                       f"{figure.unit} {figure.bound} {figure.note}")  # fmt: skip
        report.say(f"seed {seed}: {found.outcome}; {found.message}")
        figures = {figure.name: figure for figure in found.scorecard.figures}
        recall = figures["gain: closed-book recall, unseen phrasing"]
        report.exactly(f"seed {seed}: recall rises, exact McNemar", float(bool(recall.ok)), 1,
                       recall.n)  # fmt: skip
        drift = figures["general text, ΔNLL against the base"]
        report.at_most(f"seed {seed}: ΔNLL, upper 95 %", drift.high or 0.0, 0.05, drift.n)
        return found.outcome is Outcome.PROMOTED


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--minutes", type=float, default=4.5)
    parser.add_argument("--nights-only", action="store_true", help="ask no questions first")
    options = parser.parse_args()
    report = Report(options.quick)
    with tempfile.TemporaryDirectory() as folder:
        if not options.nights_only:
            with Nightschool(Path(folder) / "ask") as door:
                door.watch(examples.vault_dir())
                open_book(door, report)
        seeds = options.seeds[:1] if options.quick else options.seeds
        promoted = sum(
            night(Path(folder) / f"night{seed}", seed, options.minutes, report) for seed in seeds
        )
    report.at_least("nights promoted", promoted / len(seeds), 0.8, len(seeds))
    report.finish()


if __name__ == "__main__":
    main()
