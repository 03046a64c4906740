"""How soon a saved file is found, a cold engine speaks, and whether switching versions mixes any.

    python tests/bench/service_latency.py [--quick]

Adapters for the switch are random LoRA files: each makes the model say something else, so an
answer of the wrong version shows in its words and not only in its label.
"""

from __future__ import annotations

import http.client
import json
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from bench_report import Report, arguments, percentile  # noqa: E402
from lora_files import write_lora  # noqa: E402
from nightschool.config import Config  # noqa: E402
from nightschool.models import catalogue  # noqa: E402
from nightschool.records import Outcome, Plan  # noqa: E402
from nightschool.registry import versions as registry  # noqa: E402
from nightschool.store import runs  # noqa: E402
from nightschool.store.db import open_store  # noqa: E402
from service_harness import Service, service, until  # noqa: E402

SETTLE_S = Config().files.settle_s
MEANINGS = (
    ("The automobile received four new tyres before the holiday.", "car wheels replaced"),
    ("Our infant began to walk at eleven months.", "baby took first steps"),
    ("The physician prescribed tablets against hay fever.", "doctor gave pills for allergy"),
    ("Grandmother bakes bread with rye flour each Saturday.", "loaf made in the oven"),
    ("The lawn has to be mowed twice a fortnight in summer.", "cutting the grass"),
    ("We purchased a sofa and two armchairs at the auction.", "bought furniture for living room"),
    ("The puppy chewed the left slipper to pieces.", "dog destroyed a shoe"),
    ("Heavy rain flooded the cellar in November.", "water damage in basement"),
    ("The vessel departs from the quay at dawn.", "boat leaves harbour early morning"),
    ("He fractured his wrist while skating on the pond.", "broke a bone on the ice"),
)


def files(report: Report, door: Service, folder: Path, rounds: int) -> None:
    """Saved → found by words and by meaning; deleted → gone. Seconds after it settled."""
    words: list[float] = []
    meaning: list[float] = []
    gone: list[float] = []
    door.find("warm up the engine")
    for number in range(rounds):
        text, query = MEANINGS[number % len(MEANINGS)]
        word = f"ibex{number}quay"
        name = f"note {number}.md"
        path = folder / name
        path.write_text(f"# Note {word}\n\n{text}\n", encoding="utf-8")
        settled = time.monotonic() + SETTLE_S

        def by_words(name: str = name, word: str = word) -> bool:
            return any(hit["locator"]["path"] == name for hit in door.find(word, 5))

        def by_meaning(name: str = name, query: str = query) -> bool:
            return any(
                hit["locator"]["path"] == name and hit["dense_rank"] and not hit["lexical_rank"]
                for hit in door.find(query, 20)
            )

        until(by_words, 30, "found by words", 0.03)
        words.append(max(0.0, time.monotonic() - settled))
        until(by_meaning, 30, "found by meaning", 0.03)
        meaning.append(max(0.0, time.monotonic() - settled))
        path.unlink()
        deleted = time.monotonic()
        until(lambda: not by_words(), 30, "gone", 0.03)
        gone.append(time.monotonic() - deleted)
    for name, seconds, bound in (
        ("saved_found_by_words_s", words, 1.0),
        ("saved_found_by_meaning_s", meaning, 5.0),
        ("deleted_not_found_s", gone, 5.0),
    ):
        report.at_most(f"{name}_max", max(seconds), bound, len(seconds))
        report.say(f"       median {percentile(seconds, 0.5):.2f} s")


def cold(report: Report, door: Service, rounds: int) -> None:
    """Seconds from the request to the first token, with no engine running."""
    seconds = []
    for _ in range(rounds):
        until(lambda: door.children()["engine"]["state"] == "asleep", 60, "the engine sleeps", 0.2)
        began = time.monotonic()
        first = 0.0
        for piece in stream(door, "nightschool-raw", "Hello"):
            if piece["choices"] and piece["choices"][0]["delta"].get("content"):
                first = first or time.monotonic() - began
        seconds.append(first)
        report.say(f"       cold engine to first token {first:.2f} s")
    report.at_most("cold_engine_to_first_token_s_median", percentile(seconds, 0.5), 2.0, rounds)


def stream(door: Service, model: str, text: str) -> Iterator[dict[str, Any]]:
    """All chunks of one streamed chat, as they come. Raises on an error event."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=300)
    body = {
        "model": model, "stream": True, "max_tokens": 24,
        "messages": [{"role": "user", "content": text}],
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {door.token}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    try:
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.read(500)!r}")
        for line in answer:
            if line.startswith(b"data: {"):
                piece = json.loads(line[6:])
                if "error" in piece:
                    raise RuntimeError(str(piece))
                yield piece
    finally:
        connection.close()


def make_versions(door: Service, folder: Path) -> list[int]:
    """Two promoted versions with random adapters of the shipped base."""
    store = open_store(door.home.database)
    base = catalogue.resolve(door.home, store, "")
    numbers = []
    for seed in (1, 2):
        candidate = folder / f"candidate{seed}"
        candidate.mkdir()
        write_lora(candidate / registry.ADAPTER, base.path, seed=seed, strength=0.6)
        run_id = runs.start(store, Plan(), base.sha256, parent=0)
        runs.finish(store, run_id, Outcome.PROMOTED)
        version = registry.register(
            door.home, store, candidate, base_sha=base.sha256, status="promoted", scale=1.0,
            run_id=run_id,
        )  # fmt: skip
        registry.promote(door.home, store, version)
        numbers.append(version.number)
    store.close()
    return numbers


QUESTIONS = ("Hello", "What is a garden?", "Where does the river flow?", "Name a colour")


def said(door: Service, model: str, question: str) -> tuple[str, int]:
    """The streamed text and the version that says it made it."""
    text, version = "", -1
    for piece in stream(door, model, question):
        extra = piece.get("nightschool")
        if isinstance(extra, dict):
            version = extra["version"]
        for choice in piece["choices"]:
            text += choice["delta"].get("content") or ""
    return text, version


@dataclass
class Served:
    """Each switch: when it was asked for, when that was answered, and to which version.

    The version before may answer until the switch was answered, the new one from the moment it was
    asked for; after that only the new one.
    """

    switches: list[tuple[float, float, int]]

    @property
    def last(self) -> int:
        return self.switches[-1][2]

    def begin(self, version: int) -> None:
        self.switches.append((time.monotonic(), math.inf, version))

    def end(self) -> None:
        asked, _, version = self.switches[-1]
        self.switches[-1] = (asked, time.monotonic(), version)

    def between(self, began: float, ended: float) -> set[int]:
        """The versions that may have answered a request of that time."""
        until = [answered for _, answered, _ in self.switches[1:]] + [math.inf]
        return {
            version
            for (asked, _, version), over in zip(self.switches, until, strict=True)
            if asked <= ended and over >= began
        }


def switches(report: Report, door: Service, numbers: list[int], count: int, clients: int) -> None:
    """`count` switches while `clients` stream: each answer is wholly of one served version."""
    choices = [0, *numbers]
    truth = {
        (number, question): said(door, f"nightschool-raw:{name}", question)[0]
        for number in choices
        for name in [f"v{number}" if number else "base"]
        for question in QUESTIONS
    }
    distinct = len({tuple(truth[(n, q)] for q in QUESTIONS) for n in choices})
    report.exactly("versions_that_speak_differently", distinct, 3, len(truth))
    history = Served([(0.0, 0.0, door.status()["serving"]["version"])])
    failed: list[str] = []
    wrong: list[str] = []
    answers = 0
    lock = threading.Lock()
    over = threading.Event()

    def ask(seed: int) -> None:
        nonlocal answers
        rng = random.Random(seed)
        while not over.is_set():
            question = rng.choice(QUESTIONS)
            began = time.monotonic()
            try:
                text, version = said(door, "nightschool-raw", question)
            except (RuntimeError, OSError, ValueError) as error:
                with lock:
                    failed.append(repr(error))
                continue
            ended = time.monotonic()
            with lock:
                answers += 1
                current = history.between(began, ended)
                if version not in current or text != truth[(version, question)]:
                    wrong.append(f"{version} of {current}: {text!r}")

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    rng = random.Random(7)
    try:
        for number in range(count):
            target = rng.choice([n for n in choices if n != history.last])
            with lock:
                history.begin(target)
            reply = door.request("POST", "/ns/use", {"version": target})
            with lock:
                history.end()
            if reply.status != 200:
                failed.append(f"use {target}: {reply.status}")
            time.sleep(rng.uniform(0.0, 0.15))
            if number % 20 == 0:
                report.say(f"       {number} switches, {answers} answers")
    finally:
        over.set()
        for thread in threads:
            thread.join(300)
    report.exactly("switches_failed_requests", len(failed), 0, answers + count)
    report.exactly("answers_of_the_wrong_version", len(wrong), 0, answers)
    for line in [*failed, *wrong][:5]:
        report.say(line)


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    with service() as door, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "watched"
        folder.mkdir()
        (folder / "first.md").write_text("# First\n\nThe kettle is on the shelf.\n")
        door.watch(folder)
        files(report, door, folder, 4 if options.quick else 20)
        numbers = make_versions(door, Path(temporary))
        switches(report, door, numbers, 20 if options.quick else 100, 8)
    with service(environment={"NIGHTSCHOOL_ENGINE_KEEP_ALIVE_S": "1"}) as door:
        cold(report, door, 2 if options.quick else 7)
    report.finish()


if __name__ == "__main__":
    main()
