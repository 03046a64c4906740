"""Bench search quality: words, meaning, and both, on SciFact or any data set in BEIR's layout.

    make bench NAME=retrieval [ARGS="--dataset DIR --at-least 0.69"] [ARGS="--quick"]

--quick asks the questions of the example vault, whose gold files are known; its bound is only that
the fused ranking finds at least as many of them in the first ten as the better of its parts, less
two in a hundred.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.index.rerank import Wish  # noqa: E402
from nightschool.lab.retrieval import Result, evaluate  # noqa: E402
from nightschool.paths import Home  # noqa: E402

SCIFACT = Path(__file__).resolve().parents[3] / "shared" / "data" / "retrieval" / "scifact"


def vault(folder: Path) -> Path:
    """The example vault's notes and questions in BEIR's layout."""
    texts = {
        path.relative_to(examples.vault_dir()).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(examples.vault_dir().rglob("*.md"))
    }
    asked = [q for q in examples.questions() if q.path in texts]
    (folder / "qrels").mkdir(parents=True)
    _lines(folder / "corpus.jsonl", [
        {"_id": name, "title": Path(name).stem, "text": text} for name, text in texts.items()
    ])  # fmt: skip
    _lines(folder / "queries.jsonl", [
        {"_id": str(number), "text": question.question} for number, question in enumerate(asked)
    ])  # fmt: skip
    rows = [f"{number}\t{question.path}\t1" for number, question in enumerate(asked)]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows))
    return folder


def _lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def show(result: Result, report: Report) -> None:
    for name, row in result.systems.items():
        figures = ", ".join(f"{metric} {value:.4f}" for metric, value in row.items())
        report.say(f"{name}: {figures}")
    for metric, (value, low, high) in result.gain.items():
        report.say(f"reranked less fused, {metric}: {value:+.4f} (95 % {low:+.4f} to {high:+.4f})")
    if result.rerank_ms is not None:
        report.say(f"reranking: {result.rerank_ms:.0f} ms a query (median)")
    report.say(f"{result.queries} queries, {result.documents} documents, {result.passages} "
               f"passages, {result.seconds} s")  # fmt: skip


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--dataset", type=Path, default=SCIFACT)
    parser.add_argument("--at-least", type=float, default=0.69)
    parser.add_argument("--rerank", default="", help="reader, or a cross-encoder's folder")
    parser.add_argument("--depth", type=int, default=20, help="passages that it reads")
    parser.add_argument("--work", type=Path, help="a folder to go on in after an interruption")
    options = parser.parse_args()
    report = Report(options.quick)
    with tempfile.TemporaryDirectory() as place:
        dataset = vault(Path(place) / "vault") if report.quick else options.dataset
        if not dataset.is_dir():
            raise SystemExit(f"There is no {dataset}: name a data set with --dataset.")
        last = ""

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal last
            if stage != last or done == total:
                report.say(f"{stage} {done}/{total}")
                last = stage

        home = Home(Path(place) / "home").create()
        work = options.work or Path(place) / "work"
        wish = Wish(options.rerank, options.depth) if options.rerank else None
        result = evaluate(dataset, work, "test", progress, home.models, wish)
    show(result, report)
    fused = result.systems["fused"]
    if report.quick:
        parts = max(result.systems[name]["recall@10"] for name in ("lexical", "dense"))
        report.at_least("fused recall@10", fused["recall@10"], parts - 0.02, result.queries)
        report.finish()
    for name in ("lexical", "dense"):
        report.at_least(f"fused nDCG@10 less that of {name}",
                        fused["ndcg@10"] - result.systems[name]["ndcg@10"], 1e-9,
                        result.queries)  # fmt: skip
    report.at_least("fused nDCG@10", fused["ndcg@10"], options.at_least, result.queries)
    report.finish()


if __name__ == "__main__":
    main()
