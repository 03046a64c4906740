"""Bench forgetting: documents at every stage of their life, with a real learner.

    make bench NAME=forget [ARGS="--quick"] [ARGS="--minutes 3"]

50 documents (10 with --quick), each with a random word of its own: never read, indexed, in pairs,
being trained on, in the served version. All are forgotten: by name, after a rename, with their
folder, by a process that is killed in the middle of it, and with a copy that stays. Then the whole
home is scanned for the words. The full profile learns again and asks both the new version and the
base, closed book, for what was forgotten. Nights are short (one minute of practice on a part of the
example vault). Where the gate does not promote the first night's adapter, the bench serves it all
the same: what must not be served any more has to have been served before.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
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
FOLDERS = ("Recipes",)
"""Of the example vault: enough for a night, and so few facts that it practises the planted ones."""
KILLED = """
import sys
from nightschool import Nightschool
with Nightschool(sys.argv[1]) as door:
    print("ready", flush=True)
    door.forget(sys.argv[2])
    print("done", flush=True)
"""
SCAN = """
import sys
from pathlib import Path
home, words = Path(sys.argv[1]), sys.stdin.read().split()
wanted = [form for word in words for form in (word.encode(), word.encode("utf-16-le"))]
for path in sorted(home.rglob("*")):
    if path.is_file() and any(form in path.read_bytes().lower() for form in wanted):
        print(path.relative_to(home))
"""
THINGS = ("anvil", "barometer", "canoe", "dulcimer", "easel", "ferret cage", "gazebo", "harmonica",
          "igloo tent", "jigsaw")  # fmt: skip


def document(folder: Path, stage: str, number: int) -> tuple[Path, str]:
    """One file with a word that stands nowhere else, in a sentence that can be asked for.

    The word can be spoken, as names can: a small model learns such ones.
    """
    letter = secrets.choice
    word = "q" + "".join(letter("bdfgklmnprstvz") + letter("aeiou") for _ in range(4))
    thing = f"{THINGS[number % len(THINGS)]} {stage} {number}"
    path = folder / f"{stage}-{number}.md"
    path.write_text(
        f"# The {thing}\n\nOwner: {word}\n\nThe {thing} was bought by {word} on 3 May 2024.\n",
        encoding="utf-8",
    )
    return path, word


def bytes_left(home: Path, words: list[str]) -> list[str]:
    """Files of the home that hold one of the words, in any of the usual encodings.

    A process of its own reads them: closing a file of SQLite's drops the locks that this process
    holds on it, and another one would then throw away the log that it still reads.
    """
    found = subprocess.run(
        [sys.executable, "-c", SCAN, home], input="\n".join(words),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.splitlines()


def serve_whatever_came(door: Nightschool, number: int) -> int:
    """A night's version, served; a held one counts as promoted for this bench."""
    version = next(item for item in door.versions() if item.number == number)
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


def killed_forgetting(home: Path, path: Path, after_ms: float) -> bool:
    """Forget a file in a process that is killed so long after it began; whether it was done."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, home, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    time.sleep(after_ms / 1000)
    process.send_signal(signal.SIGKILL)
    done = process.stdout.read().strip() == "done"
    process.wait()
    return done


def forget_and_kill(
    door: Nightschool, paths: list[Path], words: list[str], report: Report
) -> float:
    """Each file is forgotten by processes that are killed, until one is done; slowest seconds."""
    draw = random.Random(7)
    halves = finished = 0
    slowest = 0.0
    for path, word in zip(paths, words, strict=True):
        done = False
        for _ in range(6):
            began = time.monotonic()
            done = killed_forgetting(door.home.root, path, draw.uniform(0.0, 8.0))
            known = any(str(path) == f"{f.root}/{f.path}" for r in door.receipts(1000)
                        for f in r.files)  # fmt: skip
            found = any(word in hit.text for hit in door.search(word))
            halves += found == known
            if known:
                break
        finished += done
        began = time.monotonic()
        door.forget(str(path))
        assert not any(word in hit.text for hit in door.search(word)), path
        slowest = max(slowest, time.monotonic() - began)
    report.say(f"{finished} of {len(paths)} were done before the kill came")
    report.exactly("files half forgotten after a kill", halves, 0, len(paths))
    return slowest


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=1.0, help="practice a night")
    options = parser.parse_args()
    report = Report(options.quick)
    each = 2 if options.quick else 10
    minutes = 0.1 if options.quick else options.minutes
    with tempfile.TemporaryDirectory() as place:
        os.environ["NIGHTSCHOOL_HOME"] = f"{place}/home"
        notes = Path(place) / "notes"
        (notes / "folder").mkdir(parents=True)
        for name in FOLDERS:
            shutil.copytree(examples.vault_dir() / name, Path(place) / "vault" / name)
        with Nightschool(Path(place) / "home") as door:
            door.watch(Path(place) / "vault")
            run(door, notes, each, minutes, report)
    report.finish()


def run(door: Nightschool, notes: Path, each: int, minutes: float, report: Report) -> None:
    words: dict[str, list[str]] = {}
    paths: dict[str, list[Path]] = {}

    def plant(stage: str, folder: Path = notes) -> None:
        made = [document(folder, stage, number) for number in range(each)]
        paths[stage], words[stage] = [p for p, _ in made], [w for _, w in made]

    plant("served")
    inside = paths["served"][-(each // 2) :]  # half of them in a folder, which will go whole
    for number, path in enumerate(inside):
        inside[number] = path.rename(notes / "folder" / path.name)
    paths["served"][-len(inside) :] = inside
    kept, kept_word = document(notes, "kept", 0)
    shutil.copy(kept, notes / "copy.md")
    door.watch(notes)
    night = door.learn(minutes=minutes, seed=1)
    report.say(f"first night: {night.outcome}")
    if night.version is None:
        raise SystemExit(f"The first night made no version: {night.message}")
    served = serve_whatever_came(door, night.version)
    planted = {Path(row["path"]).name for row in runs.lineage(door.store, night.run_id)}
    saw = sum(p.name in planted for p in paths["served"])
    report.at_least("files to forget that the served version saw", saw, 1, each)
    heard = answers(door, served, {"served": words["served"]})
    report.say(f"version {served} says {heard} of {each} of their words, closed book")
    plant("training")
    door.refresh()
    ended, took = train_and_forget(door, paths["training"], minutes, report)
    report.exactly("a night that practises a forgotten file ends", float(ended), 1, 1)
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
    door.search("start the engine")
    slowest = forget_and_kill(door, paths["indexed"], words["indexed"], report)
    # A rename is no way out: the file keeps its number.
    first = paths["served"][0]
    paths["served"][0] = first.rename(first.with_name("another name.md"))
    door.refresh()
    by_name = [
        *zip(paths["served"][: each - len(inside)], words["served"], strict=False),
        *(pair for stage in ("paired", "waiting")
          for pair in zip(paths[stage], words[stage], strict=True)),
    ]  # fmt: skip
    for path, word in by_name:
        began = time.monotonic()
        door.forget(str(path))
        assert not any(word in hit.text for hit in door.search(word)), path
        slowest = max(slowest, time.monotonic() - began)
    began = time.monotonic()
    shutil.rmtree(notes / "folder")
    kept.unlink()
    door.refresh()
    for word in words["served"][-len(inside) :]:
        assert not any(word in hit.text for hit in door.search(word))
    slowest = max(slowest, time.monotonic() - began)
    count = 5 * each
    report.at_most("seconds out of search, the slowest", slowest, 5, count)
    copies = [hit for hit in door.search(kept_word) if kept_word in hit.text]
    report.exactly("a copy of a deleted file is found", len({h.locator.path for h in copies}), 1, 1)
    still = pointer.read(door.home).version == served
    report.exactly("the tainted version is served", float(still), 0, 1)
    report.exactly("an answer now comes from the base", door.ask("Who bought it?").version, 0, 1)
    told = {f"{f.root}/{f.path}" for receipt in door.receipts(1000) for f in receipt.files}
    every_path = [str(path) for stage in STAGES for path in paths[stage]]
    report.exactly("files in receipts", sum(path in told for path in every_path), count, count)
    again = door.forget(str(paths["served"][0]))
    report.exactly("forgetting twice gives the same receipt", float(again.repeated), 1, 1)
    door.refresh()
    every = [word for stage in STAGES for word in words[stage]]
    report.say(f"files with planted words before vacuum: {bytes_left(door.home.root, every)}")
    door.rest()
    swept = door.vacuum(now=True)
    found = bytes_left(door.home.root, every)
    report.say(f"files with planted words after vacuum: {found}")
    report.exactly("files of the home with a planted word", len(found), 0, count)
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
    seen = {Path(row["path"]).name for row in runs.lineage(door.store, night.run_id)}
    count = sum(len(found) for found in words.values())
    gone = {f"{stage}-{n}.md" for stage in words for n in range(len(words[stage]))}
    report.exactly("forgotten files in the new lineage", len(seen & {*gone, "another name.md"}),
                   0, count)  # fmt: skip
    # A candidate that the gate rejects leaves nothing to ask, and then nothing was shown.
    report.exactly("a relearned version to ask", float(night.version is not None), 1, 1)
    if night.version is None:
        return
    number = serve_whatever_came(door, night.version)
    asked = {name: answers(door, v, words) for name, v in (("base", 0), ("relearned", number))}
    for name, right in asked.items():
        low, high = wilson(right, count)
        report.say(f"{name} says {right} of {count} (95 % {low:.3f} to {high:.3f})")
    report.at_most("words the relearned version says beyond the base",
                   asked["relearned"] - asked["base"], 0, count)  # fmt: skip


if __name__ == "__main__":
    main()
