"""Bench the encoder and the reader as shipped: `python -m tests.bench.reader [--quick]`.

Prints progress, then as its last line one JSON object {"checks": [{name, value, bound, ok, n, …}]};
exit 1 if any check is not ok. Parts whose rival (sentence-transformers) or data (../shared/data)
is absent are named as skipped. Questions on notes come from `packaging/reader/notes.py` with
held-out templates and names; SQuAD is held out by context.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "packaging" / "reader")]

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # for torch's OpenMP as well as llama.cpp's

import evaluate  # noqa: E402  (packaging/reader/evaluate.py)
import numpy as np  # noqa: E402

from nightschool.models.llama_encoder import LlamaEncoder  # noqa: E402
from nightschool.models.minilm import ensure_minilm, package_dir  # noqa: E402
from nightschool.models.reader import Reader  # noqa: E402
from nightschool.models.reader_box import BOX  # noqa: E402

QA = ROOT.parent / "shared" / "data" / "qa"
WORDS = [
    "garden",
    "report",
    "water",
    "engine",
    "old",
    "river",
    "house",
    "town",
    "marble",
    "seven",
    "small",
    "boats",
    "letter",
    "invoice",
    "Thursday",
    "Berlin",
    "42",
    "naïve",
    "café",
    "contract",
    "phone",
    "meeting",
    "doctor's",
    "wi-fi",
    "£30",
    "quickly",
    "and",
    "the",
    "of",
]

PARTS = ("encoder", "speed", "reading")

#: name in evaluate.results -> (bound, at least?)
BOUNDS = {
    "notes exact match": (0.85, True),
    "squad F1": (0.60, True),
    "all false alarms": (0.10, False),
    "all unanswerable caught": (0.85, True),
}


class Checks:
    """Collects the checks and prints each as it is made."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.made: list[dict[str, Any]] = []

    def add(self, name: str, value: float, bound: float, least: bool, n: int, **more: Any) -> None:
        judged = value
        if (
            self.quick and "low" in more
        ):  # few items: only what is surely worse than the bound fails
            judged = more["high"] if least else more["low"]
        ok = judged >= bound if least else judged <= bound
        line = {"name": name, "value": round(value, 4), "bound": bound, "ok": ok, "n": n, **more}
        self.made.append(line)
        print(f"{'ok  ' if ok else 'MISS'} {name}: {value:.4f} (bound {bound}, n={n})", flush=True)


def sample(count: int, words: int) -> list[str]:
    rng = Random(words)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(count)]


def rate(work: Callable[[list[str]], Any], texts: list[str], rounds: int = 3) -> float:
    """Texts per second, best of some rounds."""
    work(texts[:4])
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work(texts)
        best = min(best, time.perf_counter() - began)
    return len(texts) / best


def bench_encoder(models: Path, checks: Checks, quick: bool) -> None:
    path = ensure_minilm(models)
    try:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError:
        print("skipped: sentence-transformers is not installed, no rival for the encoder")
        return
    published = SentenceTransformer(str(package_dir()), device="cpu")
    varied = [t for n in (1, 3, 8, 20, 60, 200, 400) for t in sample(8 if quick else 32, n)]
    with LlamaEncoder(path, 2) as encoder:
        cosines = (encoder.embed(varied) * published.encode(varied)).sum(axis=1)
    checks.add("encoder: least cosine to sentence-transformers", float(cosines.min()), 0.999, True,
               len(varied))  # fmt: skip
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with LlamaEncoder(path, threads) as encoder:
            for name, texts in (("short", sample(64, 8)), ("200 tokens", sample(16, 150))):
                ours, theirs = rate(encoder.embed, texts), rate(published.encode, texts)
                print(f"{name}, {threads} threads: llama.cpp {ours:.1f} texts/s, "
                      f"sentence-transformers {theirs:.1f} texts/s", flush=True)  # fmt: skip


def bench_speed(reader: Reader, checks: Checks, rounds: int) -> None:
    """A question on one passage of 200 tokens."""
    passage = " ".join(Random(1).choices(WORDS, k=400))
    tokens = reader._encoder.tokens(passage)
    passage = passage[: tokens.ends[199]]
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        reader.read("Where was the letter sent on Thursday?", [passage])
        times.append((time.perf_counter() - began) * 1000)
    # the best of the rounds: other work on the machine can only add to it
    checks.add("reader: least ms per 200-token passage, 2 threads", min(times), 60, False,
               rounds, median=round(statistics.median(times), 1))  # fmt: skip


def bench_reading(reader: Reader, checks: Checks, n: int) -> None:
    qa = QA if QA.is_dir() else None
    if qa is None:
        print("skipped: ../shared/data/qa is absent, no SQuAD")
    measure = evaluate.Measure(reader, qa, lambda line: print(line, flush=True))
    found: dict[str, float] = {}
    for name, values in evaluate.results(measure, n):
        mean, low, high = evaluate.mean95(values)
        found[name] = mean
        if name in BOUNDS:
            bound, least = BOUNDS[name]
            checks.add(f"reader: {name}", mean, bound, least, len(values),
                       low=round(low, 4), high=round(high, 4))  # fmt: skip
        else:
            print(f"     {name}: {mean:.4f} [{low:.4f}, {high:.4f}]", flush=True)
    if "squad F1" in found:
        for kind in ("random", "similar"):
            ratio = found[f"squad F1, 3 {kind} distractors"] / max(found["squad F1"], 1e-9)
            checks.add(f"reader: share of F1 kept with 3 {kind} distractors", ratio,
                       0.9 if kind == "random" else 0.8, True, n)  # fmt: skip


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument(
        "--quick", action="store_true", help="60 items instead of 300, judged by interval"
    )
    ask.add_argument("--models", type=Path, help="cache folder for the GGUFs")
    ask.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="parts; speed alone takes seconds"
    )
    args = ask.parse_args()
    checks = Checks(args.quick)
    with tempfile.TemporaryDirectory() as folder:
        models = args.models or Path(folder)
        size = (BOX / "reader.safetensors").stat().st_size / 1e6
        checks.add("reader: MB of the shipped file", size, 6, False, 1)
        if "encoder" in args.only:
            bench_encoder(models, checks, args.quick)
        if "speed" in args.only:
            with Reader(models, threads=2) as reader:
                bench_speed(reader, checks, 10 if args.quick else 40)
        if "reading" in args.only:
            with Reader(models, threads=1) as reader:  # steadier on a busy machine
                bench_reading(reader, checks, 60 if args.quick else 300)
    print(json.dumps({"checks": checks.made}))
    return int(not all(check["ok"] for check in checks.made))


if __name__ == "__main__":
    np.seterr(all="ignore")
    raise SystemExit(main())
