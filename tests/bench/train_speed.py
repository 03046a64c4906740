"""Bench training against TRL's SFTTrainer with PEFT: the same model, items, order, and final loss.

    make bench NAME=train-speed [ARGS="--quick"] [ARGS="--rounds 3 --threads 2 --out DIR"]

What is practised are the questions of the example vault (--quick: of invented people), closed book
and with passages, as a night would practise them, without replay (TRL has none). Both sides: the
shipped model dequantised to float32, LoRA r = 16 on gate, up and down from the same seed, AdamW
(fused), the same schedule, 12 items a step in the same order, so the losses must agree step by
step. Each runs in a process of its own and they take turns; TRL is installed apart (see
`tests/rivals.py`) and run in three ways (see `tests/train_worker.py`), of which the fastest counts.
Tokens are those of the items, prompt and answer; padding is never counted. The peak of resident
memory of each process stands beside.

With `--out` the questions are written once and finished rounds are kept. One JSON line last.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from people import invent  # noqa: E402

import rivals  # noqa: E402
from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
from nightschool.models.base import load_torch  # noqa: E402
from nightschool.pairs.forms import question_prompt  # noqa: E402
from nightschool.records import Plan  # noqa: E402
from nightschool.store import db  # noqa: E402
from nightschool.syllabus import syllabus  # noqa: E402
from nightschool.train.items import LIMIT, chat_item  # noqa: E402

STARTER = Path(examples.__file__).parents[1] / "models" / "box" / "starter.gguf"
WORKER = Path(rivals.__file__).with_name("train_worker.py")
WAYS = ("trl", "trl-padding-free", "trl-packing")
PLAN = {"batch_size": 12, "replay": 0.0, "kl": 0.0, "kl_text": 0.0, "learning_rate": 2e-3,
        "budget_s": 1e9, "passes": 1, "seed": 1}  # fmt: skip
CONTEXT = 0.15
"""Share of the tokens that are items with passages, as in a night."""


Asked = list[tuple[str, str]]


def of_the_vault(folder: Path, report: Report) -> tuple[Asked, Asked]:
    """`(prompt, answer)` as a night practises them: by heart, and with passages."""
    with Nightschool(folder / "home") as door:
        if not door.roots():
            door.watch(examples.vault_dir())
        report.say("writing the questions")
        door.learn(dry_run=True)
        home = door.home
    store = db.open_store(home.database)
    lessons = syllabus(store, set(), limit=240)
    store.close()
    return list(lessons.closed), list(lessons.context)


def of_people() -> tuple[Asked, Asked]:
    """The same shape without a night's work: four questions on each of forty invented people."""
    facts = invent(1, 160, 1)
    notes = {
        person: "\n".join(f"{f.field}: {f.value}" for f in facts if f.person == person)
        for person in dict.fromkeys(f.person for f in facts)
    }
    closed = [(f"What is the {f.field.lower()} of {f.person}?", f.value) for f in facts]
    around = list(notes.items())
    read = []
    for at, (question, answer) in enumerate(closed):
        shown = (around[(at // 4 + n) % len(around)] for n in range(4))
        context = "\n\n".join(f"{person}\n{text}" for person, text in shown)
        read.append((question_prompt(question, [context]), answer))
    return closed, read[::3]


def practice(asked: tuple[Asked, Asked], model: Path) -> list[tuple[list[int], int]]:
    """Token ids of each item, and where the answer begins."""
    base = load_torch(model)
    closed, read = (
        [chat_item(base, question, answer, "fact", LIMIT) for question, answer in part]
        for part in asked
    )
    kept = [item for item in closed if item is not None]
    room = CONTEXT / (1 - CONTEXT) * sum(len(item.ids) for item in kept)
    for item in read:
        if item is not None and room > 0:
            kept.append(item)
            room -= len(item.ids)
    return [(list(item.ids), item.answer) for item in kept]


def run(name: str, task: Path) -> dict[str, Any]:
    """One trainer from start to end. Raises Absent with the last words of one that failed."""
    python = Path(sys.executable) if name == "ours" else rivals.interpreter()
    if not python.exists():
        raise rivals.Absent("it is not installed")
    done = subprocess.run(
        [python, WORKER, name, task],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOMP_SPINCOUNT": "3000", "HF_HUB_OFFLINE": "1"},  # as a learner has it
    )
    if done.returncode:
        raise rivals.Absent(" ".join(done.stderr.strip().splitlines()[-3:])[-400:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def turns(options: Any, task: Path, folder: Path, report: Report) -> list[dict[str, Any]]:
    """Rounds in which everybody runs once, in another order each time."""
    names = ["ours", *options.ways]
    absent: set[str] = set()
    rounds = []
    for number in range(options.rounds):
        kept = folder / f"round-{number + 1}.json"
        found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            if name in found or name in absent:
                continue
            try:
                found[name] = run(name, task)
            except rivals.Absent as reason:
                report.say(f"{name} cannot be measured here: {reason}")
                absent.add(name)
                continue
            kept.write_text(json.dumps(found), encoding="utf-8")
        for name, row in found.items():
            padded = f", {row['padded']:.0f} computed a step" if "padded" in row else ""
            report.say(
                f"round {number + 1}: {name:17} {row['tokens'] / row['seconds']:7.0f} tokens/s "
                f"({row['answers'] / row['seconds']:.0f} answer tokens/s; "
                f"{per_cpu(row):.0f} a second of the processor), last loss "
                f"{row['losses'][-1]:.4f}, {row['megabytes']:.0f} MB, {row['steps']} steps{padded}"
            )
        rounds.append(found)
    return rounds


def per_cpu(row: dict[str, Any]) -> float:
    """Tokens a second of processor time."""
    return float(row["tokens"] / row["cpu_seconds"])


def judge(rounds: list[dict[str, Any]], report: Report) -> None:
    """Compare ours with the fastest way of each round."""
    whole = [found for found in rounds if "ours" in found and len(found) > 1]
    if not whole:
        report.exactly("rounds with a rival", 0, len(rounds), len(rounds))
        return
    ways = sorted({name for found in whole for name in found} - {"ours"})
    speed = {name: [f[name]["tokens"] / f[name]["seconds"] for f in whole if name in f]
             for name in ["ours", *ways]}  # fmt: skip
    for name in ways:
        ratios = [a / b for a, b in zip(speed["ours"], speed[name], strict=False)]
        work = [per_cpu(f["ours"]) / per_cpu(f[name]) for f in whole if name in f]
        report.say(f"ours against {name} {whole[0][name]['version']}: "
                   + ", ".join(f"{ratio:.2f}" for ratio in ratios)
                   + "; by processor time, which other programs disturb less: "
                   + ", ".join(f"{ratio:.2f}" for ratio in work))  # fmt: skip
    best = [f["ours"]["tokens"] / f["ours"]["seconds"]
            / max(row["tokens"] / row["seconds"] for name, row in f.items() if name != "ours")
            for f in whole]  # fmt: skip
    report.at_least("training tokens/s against TRL's fastest way, median of rounds",
                    statistics.median(best), 2.0, len(best))  # fmt: skip
    for name in (way for way in ways if way != "trl-packing"):
        pairs = list(zip(whole[0]["ours"]["losses"], whole[0][name]["losses"], strict=False))
        off = max(abs(a - b) for a, b in pairs)
        report.at_most(f"largest difference of the loss, {name}, nats a token", off, 0.02,
                       len(pairs))  # fmt: skip
    memory = {name: max(f[name]["megabytes"] for f in whole if name in f)
              for name in ["ours", *ways]}  # fmt: skip
    report.say(f"peak memory, MB: { {name: round(value) for name, value in memory.items()} }")
    least = min(memory[name] for name in ways)
    report.at_most("peak memory against TRL's least", memory["ours"] / least, 1.0, len(whole))


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--untimed", type=int, default=10, help="steps before the clock starts")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, help="keep and reuse what was done")
    options = parser.parse_args()
    report = Report(options.quick)
    if options.quick:
        options.rounds = 1
    rivals.install(["trl"], report)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        task = folder / "task.json"
        if not task.exists():
            asked = of_people() if options.quick else of_the_vault(folder, report)
            plan = {**PLAN, "passes": 3 if options.quick else 1}
            given = {"model": str(STARTER), "plan": plan, "items": practice(asked, STARTER),
                     "threads": options.threads, "untimed": options.untimed}  # fmt: skip
            task.write_text(json.dumps(given), encoding="utf-8")
        sizes = sorted(len(ids) for ids, _ in json.loads(task.read_text("utf-8"))["items"])
        report.say(f"{len(sizes)} items of {sizes[0]} to {sizes[-1]} tokens, median "
                   f"{statistics.median(sizes):g}; {PLAN['batch_size']} a step, "
                   f"{Plan(**PLAN).rank} the rank, {options.threads} threads")  # fmt: skip
        judge(turns(options, task, folder, report), report)
    report.finish()


if __name__ == "__main__":
    main()
