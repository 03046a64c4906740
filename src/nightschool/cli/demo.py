"""`demo`: the whole chain on a folder, in a home of its own."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightschool.cli import scorecard
from nightschool.cli.door import Options
from nightschool.cli.folders import summary
from nightschool.cli.nights import ending
from nightschool.cli.progress import Bar
from nightschool.cli.show import line, say, table
from nightschool.errors import Refused, TooLittle, UsageError
from nightschool.records import Answer, FileStatus, Outcome, PairKind, Split

if TYPE_CHECKING:
    from nightschool.api import Night, Nightschool

OPEN_BOOK, CLOSED_BOOK = 20, 10
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Quiz:
    """One question with what is known of its answer. `chunks` or `path` + `evidence` are gold."""

    question: str
    answers: tuple[str, ...]
    chunks: tuple[int, ...] = ()
    path: str = ""
    evidence: str = ""

    def hit(self, text: str) -> bool:
        """Whether `text` says one of the known answers, letter case and punctuation aside."""
        said = f" {words(text)} "
        return any(f" {words(answer)} " in said for answer in self.answers if words(answer))

    def cited(self, door: Nightschool, answer: Answer) -> bool:
        """Whether one citation is a passage that holds the evidence."""
        ids = [item.chunk_id for item in answer.citations]
        if self.chunks:
            return not set(ids).isdisjoint(self.chunks)
        wanted = words(self.evidence)
        return any(
            chunk.locator.path == self.path and wanted in words(chunk.text)
            for chunk in door.passages(ids).values()
        )


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of yours; without it, the example vault.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the questions; printed.")] = None,
    minutes: Annotated[float, typer.Option(help="Bound of the training itself.")] = 4.5,
    keep: Annotated[bool, typer.Option("--keep", help="Go on with the last demo's home.")] = False,
) -> None:
    """Index, ask, learn one night, examine, ask again, roll back: in a home of its own."""
    from nightschool import examples
    from nightschool.api import Nightschool

    source = examples.vault_dir() if folder is None else folder
    number = random.SystemRandom().randrange(1, 10_000) if seed is None else seed
    options: Options = context.find_root().obj
    home = Path(options.home) if options.home else Path.cwd() / ".demo" / "home"
    if not options.home and not keep:
        _remove(home)
    say(f"Nightschool demo: {source}, seed {number}, home {home}")
    with Nightschool(home) as door:
        _Demo(door, source, folder is None, number, minutes).run()


@dataclass
class _Demo:
    door: Nightschool
    source: Path
    vault: bool
    seed: int
    minutes: float
    step: int = 0

    def run(self) -> None:
        with self.stage("The folder is indexed"):
            self.index()
        quizzes = self.open_book() if self.vault else []
        if quizzes:
            with self.stage(f"{len(quizzes)} questions, answered with citations"):
                self.ask(quizzes)
        with self.stage("Practice questions are written"):
            closed = self.prepare()
        if not self.vault and closed:
            with self.stage(f"{len(closed)} questions, answered with citations"):
                self.ask(closed)
        closed = closed[:CLOSED_BOOK]
        with self.stage(f"{len(closed)} questions from memory, before the night"):
            before = self.recall(closed)
        with self.stage("One night: practise, then examine what would be served"):
            night = self.night()
        with self.stage("The same questions from memory, after the night"):
            after = self.recall(closed)
            self.compare(closed, before, after)
        with self.stage("Rolled back"):
            self.roll_back(night, closed, before)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """A heading before, the time after."""
        self.step += 1
        began = time.monotonic()
        say(f"\n== {self.step}. {title}")
        yield
        say(f"   ({time.monotonic() - began:.1f} s)")

    def index(self) -> None:
        with Bar() as bar:
            say(summary(self.door.watch(self.source, progress=bar)))
        skipped = self.door.files(status=FileStatus.SKIPPED)
        if not self.door.files(status=FileStatus.INDEXED):
            why = f"; {len(skipped)} were skipped (see `nightschool files`)" if skipped else ""
            raise TooLittle(
                f"{self.source} holds no file that can be read{why}.",
                "Give a folder with .md, .txt, .html or .pdf files: make demo DIR=…",
            )
        if skipped:
            table(("skipped", "why"), [(item.path, item.reason) for item in skipped[:10]])

    def open_book(self) -> list[Quiz]:
        from nightschool import examples

        known = [item for item in examples.questions() if item.kind == "span"]
        return [
            Quiz(q.question, (q.answer, *q.aliases), path=q.path or "", evidence=q.evidence or "")
            for q in random.Random(self.seed).sample(known, min(OPEN_BOOK, len(known)))
        ]

    def prepare(self) -> list[Quiz]:
        """Write the pairs without learning them, and draw from what only the exam may see."""
        with Bar() as bar:
            planned = self.door.learn(
                dry_run=True,
                seed=self.seed,
                minutes=self.minutes,
                progress=bar,
                on_note=bar.note,
            )
        say(ending(planned))
        hidden = self.door.pairs(Split.HIDDEN, PairKind.CLOSED)
        asked = set(planned.asked)  # of the facts that fit tonight's budget
        facts = {pair.fact: pair for pair in hidden if pair.question in asked}
        drawn = random.Random(self.seed).sample(
            sorted(facts), min(CLOSED_BOOK if self.vault else OPEN_BOOK, len(facts))
        )
        return [
            Quiz(facts[f].question, (facts[f].answer,), chunks=facts[f].chunk_ids) for f in drawn
        ]

    def ask(self, quizzes: Sequence[Quiz]) -> None:
        cited = right = 0
        for number, quiz in enumerate(quizzes, start=1):
            answer = self.door.ask(quiz.question)
            good, hit = quiz.cited(self.door, answer), quiz.hit(answer.text)
            cited, right = cited + good, right + hit
            say(f"{number:2}. {quiz.question}")
            say(f"    {_short(answer.text)}")
            where = "; ".join(f"[{c.mark}] {line(c.locator)}" for c in answer.citations)
            marks = f"gold passage {'cited' if good else 'NOT cited'}, answer "
            say(f"    {where or 'no citation'} ({marks}{'found' if hit else 'not found'})")
        count = len(quizzes)
        say(f"Gold passage cited: {cited}/{count} ({cited / count:.0%})")
        say(f"Known answer in the text: {right}/{count} ({right / count:.0%})")

    def recall(self, quizzes: Sequence[Quiz]) -> list[str]:
        """What the weights alone answer, without passages."""
        answers = [self.door.ask(quiz.question, mode="raw").text for quiz in quizzes]
        known = sum(quiz.hit(text) for quiz, text in zip(quizzes, answers, strict=True))
        say(f"Known by heart: {known}/{len(quizzes)}")
        return answers

    def compare(self, quizzes: Sequence[Quiz], before: list[str], after: list[str]) -> None:
        table(
            ("question", "truth", "before", "after", ""),
            [
                (quiz.question, quiz.answers[0], _short(old, 40), _short(new, 40),
                 "yes" if quiz.hit(new) else "no")
                for quiz, old, new in zip(quizzes, before, after, strict=True)
            ],
        )  # fmt: skip

    def night(self) -> Night:
        with Bar() as bar:
            night = self.door.learn(
                seed=self.seed, minutes=self.minutes, progress=bar, on_note=bar.note
            )
        if night.scorecard is not None:
            scorecard.show(night.scorecard)
        say(ending(night))
        return night

    def roll_back(self, night: Night, quizzes: Sequence[Quiz], before: list[str]) -> None:
        if night.outcome is not Outcome.PROMOTED:
            try:
                self.door.rollback()
            except Refused as error:
                say(f"The verdict was to keep the old one. {error.message}")
                return
        served = self.door.rollback()
        again = self.recall(quizzes)
        same = sum(old == new for old, new in zip(before, again, strict=True))
        name = f"version {served.number}" if served.number else "the base model"
        say(f"Served again: {name}; {same}/{len(quizzes)} answers as before the night.")


def words(text: str) -> str:
    """Letters and digits only, lower case, single spaces: what two spellings share."""
    return " ".join(_WORD.findall(text.casefold()))


def _short(text: str, length: int = 160) -> str:
    flat = " ".join(line(text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def _remove(home: Path) -> None:
    """Delete the last demo's home, and nothing that is not one."""
    if not home.exists():
        return
    if not (home / "nightschool.db").exists() and any(home.iterdir()):
        raise UsageError(f"{home} is not a Nightschool home.", "Move it away, or use --home.")
    shutil.rmtree(home)
