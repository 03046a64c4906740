"""Many clients at once, versions by name, unloads in between: nothing fails, nothing is crossed.

python tests/bench/engine_load.py [--quick]
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import ollama  # noqa: E402
import openai  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from made_versions import make_versions  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from service_harness import Service, service, until  # noqa: E402

QUESTIONS = ("Tell me of the boiler.", "Who are you?", "What is a ferry?", "Say something long.")


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    total, clients, unloads = (60, 4, 4) if options.quick else (200, 8, 20)
    names = ["nightschool-raw:base", *(f"nightschool-raw:v{n}" for n in (1, 2, 3))]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_versions(Home(home / "home"), 3)
        with service(home=home) as door:
            _load(report, door, names, total, clients, unloads)
    report.finish()


def _load(
    report: Report, door: Service, names: list[str], total: int, clients: int, unloads: int
) -> None:
    local = threading.local()

    def client() -> openai.OpenAI:
        if not hasattr(local, "client"):
            local.client = openai.OpenAI(
                base_url=f"{door.url}/v1", api_key=door.token, timeout=300, max_retries=0,
                default_headers={"X-Client-Name": threading.current_thread().name},
            )  # fmt: skip
        made: openai.OpenAI = local.client
        return made

    def ask(name: str, question: str, stream: bool) -> tuple[str, str]:
        messages = [{"role": "user", "content": question}]
        if not stream:
            done = client().chat.completions.create(  # type: ignore[call-overload]
                model=name, messages=messages, max_tokens=24, temperature=0.7, seed=11
            )
            return done.choices[0].message.content, done.system_fingerprint
        pieces, print_ = [], ""
        for piece in client().chat.completions.create(  # type: ignore[call-overload]
            model=name, messages=messages, max_tokens=24, temperature=0.7, seed=11, stream=True
        ):
            if piece.choices:
                pieces.append(piece.choices[0].delta.content or "")
                print_ = piece.system_fingerprint or print_
        return "".join(pieces).strip(), print_

    wanted = {(n, q): ask(n, q, False) for n in names for q in QUESTIONS}
    report.say(f"{len(set(wanted.values()))} different answers of {len(wanted)} were noted")
    memory = [door.children()["engine"]["memory_bytes"]]
    draw = random.Random(1)
    work = [(draw.choice(names), draw.choice(QUESTIONS), draw.random() < 0.5) for _ in range(total)]
    seen: Counter[str] = Counter()

    def one(job: tuple[str, str, bool]) -> str:
        name, question, stream = job
        try:
            found = ask(name, question, stream)
        except openai.OpenAIError as error:
            report.say(f"failed: {error}")
            return "failed"
        return "right" if found == wanted[name, question] else "crossed"

    def sleeping() -> bool:
        return bool(door.children()["engine"]["state"] == "asleep")

    began, real = time.monotonic(), 0
    each = -(-total // (unloads + 1))
    headers = {"Authorization": f"Bearer {door.token}"}
    with (
        ThreadPoolExecutor(clients) as pool,
        ollama.Client(host=door.url, headers=headers, timeout=300) as llama,
    ):
        for number, at in enumerate(range(0, total, each)):
            jobs = [pool.submit(one, job) for job in work[at : at + each]]
            if number < unloads:  # asked for in the middle of the batch, done when it is over
                llama.generate(model="nightschool", prompt="", keep_alive=0)
            for job in jobs:
                seen[job.result()] += 1
            if number < unloads:
                llama.generate(model="nightschool", prompt="", keep_alive=0)
                until(sleeping, 30, "the engine gave its memory back")
                real += 1
    switches = sum(a[0] != b[0] for a, b in itertools.pairwise(work))
    ask(names[0], QUESTIONS[0], False)
    memory.append(door.children()["engine"]["memory_bytes"])
    report.say(
        f"{total} requests, {switches} switches, {real} unloads, "
        f"{time.monotonic() - began:.0f} s; engine {memory[0] >> 20} → {memory[-1] >> 20} MB"
    )
    report.exactly("failed", seen["failed"], 0, total)
    report.exactly("crossed_answers", seen["crossed"], 0, total)
    report.at_least("version_switches", switches, total // 2, total)
    report.exactly("unloads", real, unloads, unloads)
    report.at_most("memory_growth_mb", (memory[-1] - memory[0]) / 2**20, 50.0, total)


if __name__ == "__main__":
    main()
