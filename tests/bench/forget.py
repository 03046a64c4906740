"""Bench forgetting: documents at every stage of their life, with a real learner.

    make bench NAME=forget [ARGS="--quick"]

50 documents (10 with --quick), each with a random word of its own: never read, indexed, in pairs,
being trained on, in the served version. All are forgotten; then the whole home is scanned for the
words. The full profile learns again and asks both the new version and the base, closed book, for
what was forgotten. Where the gate does not promote the first night's adapter, the bench serves it
all the same: what must not be served any more has to have been served before.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
from nightschool.errors import Forgotten, NightschoolError  # noqa: E402
from nightschool.evaluate.statistics import wilson  # noqa: E402
from nightschool.registry import pointer, versions  # noqa: E402
from nightschool.store import pairs, receipts, runs  # noqa: E402
from nightschool.store import versions as rows  # noqa: E402

STAGES = ("served", "training", "paired", "indexed", "waiting")
THINGS = ("anvil", "barometer", "canoe", "dulcimer", "easel", "ferret cage", "gazebo", "harmonica",
          "igloo tent", "jigsaw")  # fmt: skip


def document(folder: Path, stage: str, number: int) -> tuple[Path, str]:
    """One file with a word that stands nowhere else, in a sentence that can be asked for."""
    word = "q" + "".join(secrets.choice("bcdfghjklmnpqrstvwz") for _ in range(11))
    thing = f"{THINGS[number % len(THINGS)]} {stage} {number}"
    path = folder / f"{stage}-{number}.md"
    path.write_text(
        f"# The {thing}\n\nOwner: {word}\n\nThe {thing} was bought by {word} on 3 May 2024.\n",
        encoding="utf-8",
    )
    return path, word


def bytes_left(home: Path, words: list[str]) -> list[str]:
    """Files of the home that hold one of the words, in any of the usual encodings."""
    wanted = [form for word in words for form in (word.encode(), word.encode("utf-16-le"))]
    found = []
    for path in sorted(home.rglob("*")):
        if path.is_file():
            data = path.read_bytes().lower()
            if any(form in data for form in wanted):
                found.append(str(path.relative_to(home)))
    return found


def serve_whatever_came(door: Nightschool) -> int:
    """The newest version's number, served; a held one counts as promoted for this bench."""
    version = next(item for item in door.versions() if item.number)
    rows.set_status(door.store, version.number, "promoted")
    versions.promote(door.home, door.store, version)
    return version.number


def train_and_forget(
    door: Nightschool, paths: list[Path], minutes: float, report: Report
) -> tuple[bool, float]:
    """Forget files while a learner practises them: whether the night ended so, seconds until."""
    practising = threading.Event()
    ended: list[BaseException | None] = []

    def stage(name: str, done: int, total: int) -> None:
        if name == "practise" and done >= 2:
            practising.set()

    def learn() -> None:
        try:
            with Nightschool(door.home.root) as other:
                other.learn(minutes=minutes, seed=2, progress=stage)
            ended.append(None)
        except NightschoolError as error:
            ended.append(error)
        finally:
            practising.set()

    thread = threading.Thread(target=learn)
    thread.start()
    practising.wait(900)
    began = time.monotonic()
    for path in paths:
        door.forget(str(path))
    thread.join(120)
    took = time.monotonic() - began
    report.say(f"the night ended with: {ended[0] if ended else 'nothing yet'}")
    return bool(ended) and isinstance(ended[0], Forgotten), took


def answers(door: Nightschool, number: int, words: dict[str, list[str]]) -> int:
    """How many of the forgotten words a version says, asked closed book."""
    right = 0
    for stage, found in words.items():
        for place, word in enumerate(found):
            thing = f"{THINGS[place % len(THINGS)]} {stage} {place}"
            question = f"Who bought the {thing}?"
            right += word in door.ask(question, mode="raw", version=number).text.lower()
    return right


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    each = 2 if options.quick else 10
    minutes = 0.1 if options.quick else 3.0
    with tempfile.TemporaryDirectory() as place:
        os.environ["NIGHTSCHOOL_HOME"] = f"{place}/home"
        notes = Path(place) / "notes"
        notes.mkdir()
        with Nightschool(Path(place) / "home") as door:
            run(door, notes, each, minutes, report)
    report.finish()


def run(door: Nightschool, notes: Path, each: int, minutes: float, report: Report) -> None:
    words: dict[str, list[str]] = {}
    paths: dict[str, list[Path]] = {}

    def plant(stage: str) -> None:
        made = [document(notes, stage, number) for number in range(each)]
        paths[stage], words[stage] = [p for p, _ in made], [w for _, w in made]

    door.watch(examples.vault_dir())
    plant("served")
    door.watch(notes)
    night = door.learn(minutes=minutes, seed=1)
    report.say(f"first night: {night.outcome}")
    if night.version is None:
        raise SystemExit(f"The first night made no version: {night.message}")
    served = serve_whatever_came(door)
    planted = {row["path"] for row in runs.lineage(door.store, night.run_id)}
    report.say(f"version {served} saw {sum(p.name in planted for p in paths['served'])} of {each}")
    plant("training")
    door.refresh()
    plain, took = train_and_forget(door, paths["training"], minutes, report)
    report.exactly("a night that practises a forgotten file ends", float(plain), 1, 1)
    report.at_most("seconds until it ended", took, 30, 1)
    left = [p for p in door.home.runs.iterdir() if (p / "checkpoint").exists()]
    report.exactly("checkpoints left of it", len(left), 0, 1)
    plant("paired")
    door.refresh()
    door.learn(dry_run=True)  # writes the questions, trains nothing
    plant("indexed")
    door.refresh()
    plant("waiting")
    report.say(f"pairs: {pairs.counts(door.store)}")
    slowest = 0.0
    for stage in ("served", "paired", "indexed", "waiting"):
        for path, word in zip(paths[stage], words[stage], strict=True):
            began = time.monotonic()
            door.forget(str(path))
            hits = door.search(word)
            assert not any(word in hit.text for hit in hits), path
            slowest = max(slowest, time.monotonic() - began)
    count = 5 * each
    report.at_most("seconds out of search, the slowest", slowest, 5, count)
    still = pointer.read(door.home).version == served
    report.exactly("the tainted version is served", float(still), 0, 1)
    report.exactly("an answer now comes from the base", door.ask("Who bought it?").version, 0, 1)
    report.exactly("receipts", len(door.receipts(1000)), count, count)
    again = door.forget(str(paths["served"][0]))
    report.exactly("forgetting twice gives the same receipt", float(again.repeated), 1, 1)
    door.refresh()
    every = [word for stage in STAGES for word in words[stage]]
    report.say(f"files with planted words before vacuum: {bytes_left(door.home.root, every)}")
    door.rest()
    swept = door.vacuum(now=True)
    report.exactly("files of the home with a planted word", len(bytes_left(door.home.root, every)),
                   0, count)  # fmt: skip
    report.exactly("adapters of tainted versions left", len(list(door.home.versions.iterdir())),
                   0, 1)  # fmt: skip
    report.exactly("kept", len(swept.kept), 0, 1)
    pending = receipts.relearn(door.store)
    report.exactly("a night is owed", float(pending is not None), 1, 1)
    if not report.quick:
        relearn(door, minutes, words, report)


def relearn(door: Nightschool, minutes: float, words: dict[str, list[str]], report: Report) -> None:
    """Learn again, and ask for what was forgotten."""
    night = door.learn(minutes=minutes, seed=3)
    report.say(f"relearned: {night.outcome}")
    seen = {row["path"] for row in runs.lineage(door.store, night.run_id)}
    count = sum(len(found) for found in words.values())
    planted = sum(f"{stage}-{n}.md" in seen for stage in words for n in range(len(words[stage])))
    report.exactly("forgotten files in the new lineage", planted, 0, count)
    if night.version is None:
        report.say("the gate rejected the new adapter; nothing to ask")
        return
    number = serve_whatever_came(door)
    asked = {name: answers(door, v, words) for name, v in (("base", 0), ("relearned", number))}
    for name, right in asked.items():
        low, high = wilson(right, count)
        report.say(f"{name} says {right} of {count} (95 % {low:.3f} to {high:.3f})")
    report.at_most("words the relearned version says beyond the base",
                   asked["relearned"] - asked["base"], 0, count)  # fmt: skip


if __name__ == "__main__":
    main()
