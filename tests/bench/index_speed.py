"""Bench indexing: passages a second, beside a plain loop, txtai, Chroma and LEANN.

    make bench NAME=index-speed [ARGS="--quick"] [ARGS="--rivals none"]

All get the same passages of the same 2,000 documents, cut by the product's chunker, and the same
encoder from the same file. Each runs in a process of its own, loaded and warmed up before, and they
take turns: the documents come in slices, and every program does a slice before the next begins.
The plain loop is what a tutorial writes: encode a document's passages, add them to FAISS, keep the
text. Ours also stores text, full text and vectors durably. Rivals are installed into `.rivals`
(with `--rivals none` they are left out; --quick uses them only where they are installed already).
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import rivals  # noqa: E402
from bench_report import Report, arguments  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.ingest.chunk import chunk  # noqa: E402
from nightschool.ingest.parse import parse  # noqa: E402
from nightschool.models.minilm import ensure_minilm, package_dir  # noqa: E402

SLICES = 4


def corpus(count: int) -> list[list[str]]:
    """Passages of `count` documents: paragraphs of the example vault, shuffled together."""
    seed = random.Random(3)
    paragraphs = [
        part
        for path in sorted(examples.vault_dir().rglob("*.md"))
        for part in path.read_text(encoding="utf-8").split("\n\n")
        if len(part.split()) > 8
    ]
    found = []
    for number in range(count):
        text = "\n\n".join(seed.choices(paragraphs, k=seed.randint(1, 12)))
        blocks = parse(f"# Document {number}\n\n{text}\n".encode(), f"{number}.md").blocks
        found.append([passage.text for passage in chunk(blocks)])
    return found


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rivals", choices=["install", "none"], default="install")
    options = parser.parse_args()
    report = Report(options.quick)
    texts = corpus(60 if report.quick else 2_000)
    count = sum(len(passages) for passages in texts)
    report.say(f"{len(texts)} documents, {count} passages")
    others = list(rivals.PACKAGES) if options.rivals == "install" else []
    if others and not report.quick:
        rivals.install(others, report)
    with tempfile.TemporaryDirectory() as place:
        models = Path(place) / "models"
        models.mkdir()
        ensure_minilm(models)
        systems = rivals.start([*rivals.OURS, *others], package_dir(), models, report)
        try:
            seconds = measure(systems, texts, Path(place), report)
        finally:
            for system in systems.values():
                system.close()
    for name, took in seconds.items():
        if name != "nightschool":
            bound = 1.5 if name == "plain" else 1.0
            report.at_least(f"passages a second, ours over {name}",
                            took / seconds["nightschool"], bound, count)  # fmt: skip
    report.finish()


def measure(
    systems: dict[str, rivals.System], texts: list[list[str]], place: Path, report: Report
) -> dict[str, float]:
    """Seconds of each system over all slices."""
    seconds: dict[str, float] = {}
    for name, system in list(systems.items()):
        try:
            system.call("warm")
            seconds[name] = 0.0
        except rivals.Absent as reason:
            report.say(f"{name} cannot be measured here: {reason}")
            systems.pop(name).close()
    size = -(-len(texts) // SLICES)
    for number in range(SLICES):
        part = texts[number * size : (number + 1) * size]
        file = place / f"slice{number}.json"
        file.write_text(json.dumps(part), encoding="utf-8")
        done = sum(len(passages) for passages in part)
        rates = []
        # Another order each time, so that none is always the first on a cool machine.
        names = list(seconds)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            target = place / f"{name}-{number}"
            try:
                took = systems[name].call("index", file=str(file), place=str(target))["seconds"]
            except rivals.Absent as reason:
                if name == "nightschool":
                    raise
                report.say(f"{name} failed: {reason}")
                del seconds[name]
                continue
            seconds[name] += took
            rates.append(f"{name} {done / took:.1f}/s")
            shutil.rmtree(target, ignore_errors=True)
        report.say(", ".join(rates))
    for name in seconds:
        memory = systems[name].call("memory")["mb"]
        report.say(f"{name}: {seconds[name]:.1f} s, {memory:.0f} MB resident")
    return seconds


if __name__ == "__main__":
    main()
