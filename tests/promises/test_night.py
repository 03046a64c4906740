"""A whole night through the Python door, on real notes, with the shipped models. One night serves
all tests here: it is the expensive part."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from command import nightschool
from nightschool import Nightschool, examples
from nightschool.api import Night
from nightschool.errors import Refused, TooLittle
from nightschool.paths import Home
from nightschool.records import Outcome, PairKind, Split
from nightschool.registry import pointer
from nightschool.store import db, runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FOLDERS = ("People", "Meetings", "Recipes", "House")
VERDICTS = {
    Outcome.PROMOTED: "promote",
    Outcome.HELD: "hold",
    Outcome.REJECTED: "reject",
}


@dataclass
class Learned:
    door: Nightschool
    home: Home
    notes: Path
    night: Night
    stages: list[str]
    asked: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learned]:
    root = tmp_path_factory.mktemp("night")
    notes = root / "notes"
    for name in FOLDERS:
        shutil.copytree(examples.vault_dir() / name, notes / name)
    stages: list[str] = []

    def progress(stage: str, done: int, total: int) -> None:
        if not stages or stages[-1] != stage:
            stages.append(stage)

    with Nightschool(root / "home") as door:
        door.watch(notes)
        night = door.learn(seed=1, minutes=0.6, progress=progress)
        hidden = door.pairs(Split.HIDDEN, PairKind.CLOSED)
        asked = tuple(pair.question for pair in hidden)
        yield Learned(door, Home(root / "home"), notes, night, stages, asked)


def test_a_night_ends_in_a_verdict_with_every_figure_and_its_bound(learned: Learned) -> None:
    assert learned.night.outcome in VERDICTS
    card = learned.night.scorecard
    assert card is not None
    assert card.verdict.value == VERDICTS[learned.night.outcome]
    assert card.reasons
    names = " ".join(figure.name for figure in card.figures)
    for word in ("general text", "recall", "reading", "don't know", "as users get them", "secrets"):
        assert word in names.replace("’", "'"), word
    assert all(figure.bound for figure in card.figures)


def test_what_is_served_is_what_the_verdict_implies(learned: Learned) -> None:
    served = pointer.read(learned.home).version
    expected = learned.night.version if learned.night.outcome is Outcome.PROMOTED else 0
    assert served == expected
    question = next(q for q in examples.questions() if q.path and q.path.startswith("People"))
    assert learned.door.ask(question.question).version == served


def test_every_stage_showed_its_progress(learned: Learned) -> None:
    assert {"questions", "practise", "check parity", "general text", "reading"} <= set(
        learned.stages
    )


def test_the_run_knows_which_files_it_practised(learned: Learned) -> None:
    store = db.open_store(learned.home.database)
    run = runs.runs(store)[0]
    files = {row["path"] for row in runs.lineage(store, run.id)}
    store.close()
    assert len(files) >= 10
    assert all((learned.notes / path).is_file() for path in files)


def test_the_doctor_finds_nothing_wrong_after_a_night(learned: Learned) -> None:
    said = nightschool(learned.home.root, "doctor", "--quick", "--json")
    assert [check for check in said.json["checks"] if not check["ok"]] == []
    assert said.code == 0


def test_a_night_leaves_its_report_with_real_answers_before_and_after(learned: Learned) -> None:
    path = learned.home.runs / str(learned.night.run_id) / "report.html"
    assert path.is_file(), "it lies there without being asked for"
    found, told = learned.door.report(learned.night.run_id)
    assert found == path and told["outcome"] == learned.night.outcome.value
    assert 0 < told["exams"]["subjects"][-1]["marks"]["recall"][1] <= len(learned.asked)
    assert {item["question"] for item in told["samples"]["items"] if item["probe"] == "recall"} <= (
        set(learned.asked)
    )
    assert all(item["after"] for item in told["samples"]["items"] if item["right_after"])
    assert len(told["curve"]["losses"]) > 1 and told["cost"]["peak_bytes"] > 10**8
    assert sum(len(file["facts"]) for file in told["learned"]) >= told["facts"]["learned"] > 0


def test_a_second_night_with_nothing_new_does_nothing_and_says_why(learned: Learned) -> None:
    before = pointer.read(learned.home)
    night = learned.door.learn()
    assert night.outcome is Outcome.NOTHING_NEW
    assert "Nothing new" in night.message
    path, told = learned.door.report()
    assert (told["run"], told["outcome"]) == (0, "nothing_new") and path.is_file()
    assert pointer.read(learned.home) == before


def test_a_plan_can_be_seen_without_learning(learned: Learned) -> None:
    before = len(learned.door.runs())
    planned = learned.door.learn(dry_run=True, seed=9)
    assert planned.plan is not None and planned.plan["seed"] == 9
    assert len(learned.door.runs()) == before


def test_too_few_facts_are_refused_with_what_to_do(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "one.md").write_text("# Shopping\n\nMilk and bread.\n")
    with Nightschool(tmp_path / "home") as door:
        door.watch(notes)
        with pytest.raises(TooLittle, match="facts") as refused:
            door.learn(minutes=0.1)
        path, told = door.report()
    assert refused.value.remedy
    assert told["facts"]["missing"] == 8 - told["facts"]["available"] and path.is_file()


def test_rollback_goes_back_to_what_was_served_before(learned: Learned) -> None:
    if learned.night.outcome is Outcome.PROMOTED:
        assert learned.door.rollback().number == 0
    with pytest.raises(Refused, match="nothing to roll back"):
        learned.door.rollback()
    assert pointer.read(learned.home).version == 0
