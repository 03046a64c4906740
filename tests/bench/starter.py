"""Bench the language model in the box: reads, abstains, writes questions, learns, agrees, is quick.

    make bench NAME=starter [ARGS="--quick"] [ARGS="--gguf other.gguf --against old.gguf"]

Everything is greedy, in llama.cpp, on items whose wording and names were never trained on. With
`--against` the same items are asked of another file too, side by side. Prints progress, then as
its last line one JSON object {"checks": [...]}; exits 1 if any is not ok.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "packaging")]

from bench_report import Report, arguments  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.engine.llama import Llama  # noqa: E402
from nightschool.evaluate.statistics import wilson  # noqa: E402
from nightschool.evaluate.text import abstains, contains, exact  # noqa: E402
from nightschool.models.catalogue import BOX  # noqa: E402
from nightschool.pairs.model_writer import PROMPT, parse  # noqa: E402
from nightschool.pairs.rules import RuleWriter  # noqa: E402
from nightschool.records import Chunk, Locator, Plan  # noqa: E402
from starter import evaluate, overlap  # noqa: E402
from starter.evaluate import Item, Score  # noqa: E402
from starter.notes import NoteWriter  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
READS, ABSTAINS, FALSE_ALARMS = 0.65, 0.80, 0.15
"""The issue's bounds for a model of the CPU profile."""
KINDS = (
    ("{n}'s locker code", "code", ("What is {s}?", "Tell me {s}.", "Which number is {s}?",
     "Do you remember {s}?", "What did I note as {s}?", "Please give me {s}.", "I need {s}.")),
    ("the {n} ferry", "time", ("When does {s} leave?", "At what time does {s} depart?",
     "What is the departure of {s}?", "When must I be at {s}?", "What time is {s}?",
     "When does {s} set off?", "At which time does {s} go?")),
    ("the {n} cupboard", "thing", ("What is kept in {s}?", "What lies in {s}?",
     "What can I find in {s}?", "What did I put into {s}?", "What is inside {s}?",
     "Which thing is stored in {s}?", "What does {s} hold?")),
    ("Uncle {n}", "town", ("Where does {s} live?", "In which town does {s} live?",
     "Where is the home of {s}?", "To which place did {s} move?", "What town is {s} in?",
     "Where can I visit {s}?", "Which town is home to {s}?")),
    ("the {n} roof", "money", ("How much did {s} cost?", "What was the price of {s}?",
     "What did we pay for {s}?", "How expensive was {s}?", "What sum went into {s}?",
     "What did {s} come to?", "How much money was {s}?")),
)  # fmt: skip
"""Subject, kind of value, seven phrasings; the last two are only asked."""


def invented(seed: int = 5) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """40 facts: five phrasings each to practise, and the two unseen ones."""
    from subjects import Subjects

    rng = Random(seed)
    values = Subjects(rng, True)
    practise: list[tuple[str, str]] = []
    asked: list[tuple[str, str]] = []
    goods = ["the blue ladder", "six candles", "old maps", "a spare fuse", "the tent pegs",
             "grey paint", "the bread knife", "two lanterns"]  # fmt: skip
    for subject, kind, wordings in KINDS:
        for number in range(8):
            who = subject.format(n=values.word())
            answer = {
                "code": lambda: str(rng.randint(1000, 9999)),
                "time": lambda: f"{rng.randint(6, 21)}:{rng.choice(['05', '20', '35', '50'])}",
                "thing": lambda n=number: goods[n], "town": values.word,
                "money": lambda: f"{rng.randint(20, 990)} euros",
            }[kind]()  # fmt: skip
            for place, wording in enumerate(wordings):
                (practise if place < 5 else asked).append((wording.format(s=who), answer))
    return practise, asked


class Side:
    """One model file under test."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.llama = Llama(path, context=1024, threads=0)

    def answers(self, prompts: Sequence[str], tokens: int = 40) -> list[str]:
        return [self.llama.generate([("user", p)], max_tokens=tokens) for p in prompts]


def squad(n: int) -> list[Item]:
    """Paragraphs of the reader's test split, which no recipe trains on."""
    from squad import Reading

    found = Reading(DATA / "qa", "test").items
    return [Item(i.passage, i.question, i.answer) for i in Random(3).sample(found, n)]


def sets(report: Report) -> dict[str, list[Item]]:
    n = 60 if report.quick else 300
    found = {
        "notes": evaluate.notes(n), "unanswerable": evaluate.unanswerable(n),
        "notes among three others": evaluate.among(n),
        "probe notes": evaluate.probe("reading")[: None if not report.quick else n],
        "probe unanswerable": evaluate.probe("abstain")[: None if not report.quick else n],
        "notes, trained wording": evaluate.notes(n, split="train"),
    }  # fmt: skip
    if DATA.is_dir():
        found["squad"] = squad(n)
    else:
        report.say(f"skipped: no {DATA}, so no SQuAD figures")
    return found


def bounds(report: Report, name: str, found: Score) -> None:
    report.say(
        f"{name}: exact {found.exact:.3f} [{found.low:.3f}, {found.high:.3f}], F1 {found.f1:.3f}, "
        f"abstains {found.abstains:.3f} [{found.abstains_low:.3f}, {found.abstains_high:.3f}], "
        f"n={found.n}"
    )
    if name in ("notes", "probe notes"):
        report.at_least(f"{name}, exact match", found.exact, READS, found.n)
        report.at_most(f"{name}, wrongly abstains", found.abstains, FALSE_ALARMS, found.n)
    elif name in ("unanswerable", "probe unanswerable"):
        report.at_least(f"{name}, abstains", found.abstains, ABSTAINS, found.n)
    elif name == "squad":
        report.at_least("squad, F1 (reported)", found.f1, 0.0, found.n)


def reading(report: Report, side: Side, other: Side | None) -> None:
    for name, items in sets(report).items():
        prompts = [i.prompt for i in items]
        found = evaluate.score(items, side.answers(prompts))
        bounds(report, name, found)
        if other is not None:
            old = evaluate.score(items, other.answers(prompts))
            report.say(
                f"    {other.name}: exact {old.exact:.3f} [{old.low:.3f}, {old.high:.3f}], "
                f"F1 {old.f1:.3f}, abstains {old.abstains:.3f}"
            )


def vault(report: Report, side: Side, other: Side | None) -> None:
    """The example vault's questions with their own note given: reported."""
    from nightschool.pairs.forms import excerpt, question_prompt

    spans = [q for q in examples.questions() if q.kind == "span" and q.path and q.evidence]
    spans = [q for q in spans if q.path and q.path.endswith((".md", ".txt"))]
    prompts = []
    for q in spans:
        text = (examples.vault_dir() / str(q.path)).read_text(encoding="utf-8")
        prompts.append(question_prompt(q.question, [excerpt(text, q.evidence or "", 600)]))
    for one in [side] if other is None else [side, other]:
        given = one.answers(prompts)
        right = sum(contains(a, (q.answer, *q.aliases)) for a, q in zip(given, spans, strict=True))
        low, high = wilson(right, len(spans))
        report.say(f"{one.name}, example vault, own passage: {right}/{len(spans)} = "
                   f"{right / len(spans):.3f} [{low:.3f}, {high:.3f}]")  # fmt: skip


Asked = Callable[[str], list[tuple[str, str]]]


def by_rules(text: str, gaps: bool = False) -> list[tuple[str, str]]:
    """(question, answer) of every fact that the rules find, in its first wording.

    Sentences with a gap, the last resort, are no questions: `gaps` asks for them alone.
    """
    chunk = Chunk(0, text, text, Locator("note.md"), id=1)
    pairs = RuleWriter().write([chunk], "note")
    found = {pair.fact: (pair.question, pair.answer) for pair in reversed(pairs)}
    return [one for one in found.values() if one[0].endswith("?") != gaps]


def writing(report: Report, side: Side, models: Path) -> None:
    """Questions about held-out notes; the reader in the box must answer each with its span."""
    from nightschool.models.reader import Reader

    wanted = 40 if report.quick else 200

    def by_model(text: str) -> list[tuple[str, str]]:
        return parse(side.answers([PROMPT.format(chunk=text)], 160)[0])

    shares = []
    with Reader(models) as reader:
        for name, ask in (
            ("the model", by_model), ("rules", by_rules),
            ("rules, gaps", partial(by_rules, gaps=True)),
        ):  # fmt: skip
            writer = NoteWriter(Random("test/writing"), "test")
            good, seen, read = 0, set[str](), 0
            while len(seen) < wanted and read < 3 * wanted:
                note, read = writer.note(3, 5), read + 1
                for question, answer in ask(note.text):
                    if question in seen or len(seen) >= wanted:
                        continue
                    seen.add(question)
                    if answer in note.text and answer.lower() not in question.lower():
                        spans = reader.read(question, [note.text])
                        good += bool(spans) and exact(spans[0].text, [answer])
            low, high = wilson(good, len(seen))
            if "gaps" not in name:
                shares.append(good / wanted)
            report.say(f"questions by {name}: {good}/{len(seen)} literal and answered by the "
                       f"reader [{low:.3f}, {high:.3f}], from {read} notes")  # fmt: skip
    report.at_least("questions by the better writer, sound", max(shares), 0.75, wanted)


def agreement(report: Report, side: Side) -> None:
    from nightschool.models.base import load_torch
    from starter.tokens import from_gguf

    base, tokens = load_torch(side.path), from_gguf(side.path)
    items = evaluate.notes(50, seed=11)
    in_torch = evaluate.in_torch(base.model, tokens, batch=1)([i.prompt for i in items])
    in_llama = side.answers([i.prompt for i in items])
    same = sum(a == b for a, b in zip(in_torch, in_llama, strict=True))
    report.exactly("transformers and llama.cpp agree greedily", float(same), 50, 50)


def speed(report: Report, side: Side) -> None:
    rates = []
    for item in evaluate.notes(5, seed=12):
        list(side.llama.stream([("user", f"Copy the text.\n\n{item.context}")], max_tokens=64))
        timing = side.llama.timing
        rates.append(timing.tokens / timing.eval_s)
    report.at_least("decoded tokens a second, median", sorted(rates)[2], 100, 5)


def learns(report: Report, side: Side, folder: Path) -> None:
    """A night's own training loop on 40 invented facts, with the recipe's replay."""
    from nightschool.train.night import Lesson, fit

    practise, asked = invented()
    data = ROOT / "src/nightschool/pairs/data"
    rows = [json.loads(x) for x in (data / "rehearsal.jsonl").read_text("utf-8").splitlines()]
    rehearsal = [(Item(r["context"], r["question"], "").prompt, r["answer"]) for r in rows]
    texts = [json.loads(x)["text"] for x in (data / "prose.jsonl").read_text("utf-8").splitlines()]
    strangers = [(q, "I don't know.") for q, _ in invented(seed=99)[0][::7]]
    items = evaluate.notes(60 if report.quick else 300)
    before = evaluate.score(items, side.answers([i.prompt for i in items]))
    known = sum(exact(a, [g]) for a, (_, g) in
                zip(side.answers([q for q, _ in asked]), asked, strict=True))  # fmt: skip

    def served(adapter: Path | None) -> Callable[[Sequence[int]], Any]:
        def logits(ids: Sequence[int]) -> Any:
            side.llama.activate(None if adapter is None else side.llama.adapter(adapter))
            return side.llama.logits(ids)

        return logits

    plan = Plan(budget_s=60.0 if report.quick else 300.0)
    fitted = fit(
        side.path, "", Lesson([*practise, *strangers], [], rehearsal, texts), plan, folder, served,
        threads=0, report=lambda *_: None, check=lambda: None,
    )  # fmt: skip
    side.llama.activate(side.llama.adapter(fitted.directory / "adapter.gguf"))
    given = side.answers([q for q, _ in asked])
    right = sum(exact(a, [g]) for a, (_, g) in zip(given, asked, strict=True))
    after = evaluate.score(items, side.answers([i.prompt for i in items]))
    hollow = evaluate.unanswerable(60 if report.quick else 300)
    silent = sum(abstains(a) for a in side.answers([i.prompt for i in hollow]))
    side.llama.activate(None)
    low, high = wilson(right, len(asked))
    report.say(f"LoRA: {fitted.steps} steps, {fitted.seconds:.0f} s; recall {known}/{len(asked)} → "
               f"{right}/{len(asked)} [{low:.3f}, {high:.3f}]; reading {before.exact:.3f} → "
               f"{after.exact:.3f}; abstains {silent}/{len(hollow)}")  # fmt: skip
    report.at_least("LoRA, recall on unseen phrasings", right / len(asked), 0.85, len(asked))
    report.at_most("LoRA, fall of reading", before.exact - after.exact, 0.03, before.n)


def overlaps(report: Report) -> None:
    count = 4000 if report.quick else 40_000
    trained = overlap.Trained(DATA if DATA.is_dir() else None, count)
    questions = [Item("", q.question, q.answer) for q in examples.questions()]
    found = overlap.report(trained, [*sets(report).items(), ("example vault", questions)])
    for one in found:
        report.say(f"overlap of {count} drawn chats and all real text with {one}")
    kept = [one for one in found if "trained wording" not in one.name]
    report.exactly("items both trained on and asked", sum(o.items for o in kept), 0,
                   sum(o.n for o in kept))  # fmt: skip


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--gguf", type=Path, default=BOX / "starter.gguf")
    parser.add_argument("--against", type=Path, help="another file, asked the same")
    parser.add_argument("--only", nargs="+", default=[], help="parts of the benchmark")
    options = parser.parse_args()
    report = Report(options.quick)
    side = Side(options.gguf.name, options.gguf)
    other = Side(options.against.name, options.against) if options.against else None
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Callable[[], None]] = {
            "overlap": lambda: overlaps(report),
            "speed": lambda: speed(report, side),
            "agreement": lambda: agreement(report, side),
            "reading": lambda: reading(report, side, other),
            "vault": lambda: vault(report, side, other),
            "writing": lambda: writing(report, side, Path(folder)),
            "learns": lambda: learns(report, side, Path(folder) / "night"),
        }
        for name in options.only or parts:
            began = time.monotonic()
            parts[name]()
            report.say(f"-- {name}: {time.monotonic() - began:.0f} s")
    report.finish()


if __name__ == "__main__":
    main()
