"""The Python door: verbs in-process, children started when needed and ended on close."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightschool import Nightschool
from nightschool.errors import NotFound, Refused, UsageError
from nightschool.records import FileStatus, Outcome


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nightschool]:
    base = tmp_path_factory.mktemp("api")
    notes = base / "notes"
    notes.mkdir()
    (notes / "Fence.md").write_text("# Fence\n\nThe fence was painted green in May.\n", "utf-8")
    (notes / "Cat.txt").write_text("The cat is called Tuppence. She likes tuna.\n", "utf-8")
    with Nightschool(base / "home") as opened:
        report = opened.watch(notes)
        assert report["added"] == 2
        yield opened


def test_the_public_name_is_the_door() -> None:
    import nightschool
    from nightschool import api

    assert nightschool.Nightschool is api.Nightschool
    with pytest.raises(AttributeError, match="Nothing"):
        _ = nightschool.Nothing


def test_files_can_be_asked_for_by_status(school: Nightschool) -> None:
    assert [item.path for item in school.files(status=FileStatus.INDEXED)] == [
        "Cat.txt",
        "Fence.md",
    ]
    assert school.files(status="skipped") == []
    with pytest.raises(UsageError, match="no file status"):
        school.files(status="lost")


def test_watching_twice_indexes_once(school: Nightschool) -> None:
    report = school.watch(school.roots()[0].path)
    assert (report["added"], report["unchanged"]) == (0, 2)
    assert len(school.roots()) == 1


def test_an_answer_streams_and_is_a_record(school: Nightschool) -> None:
    pieces: list[str] = []
    answer = school.ask("What is the cat called?", on_text=pieces.append)
    assert "Tuppence" in answer.text
    assert answer.citations[0].locator.startswith("Cat.txt")
    assert "".join(pieces).strip() == answer.text.strip()


def test_a_hit_has_a_locator_that_a_person_can_follow(school: Nightschool) -> None:
    hit = school.search("painted fence", k=1)[0]
    assert hit.locator.path == "Fence.md"
    assert "green" in school.passages([hit.chunk_id])[hit.chunk_id].text


def test_an_unknown_mode_is_a_usage_error(school: Nightschool) -> None:
    with pytest.raises(UsageError, match="mode"):
        school.ask("What?", mode="loud")


def test_the_engine_starts_again_after_it_was_killed(school: Nightschool) -> None:
    school.search("fence")
    school.engine().kill()
    assert school.search("fence")[0].locator.path == "Fence.md"


def test_close_ends_the_engine(tmp_path: Path) -> None:
    school = Nightschool(tmp_path / "home")
    engine = school.engine()
    assert engine.alive
    school.close()
    assert not engine.alive


def test_the_base_is_served_until_something_is_promoted(school: Nightschool) -> None:
    assert [(item.number, item.current) for item in school.versions()] == [(0, True)]
    assert school.use(0).number == 0
    with pytest.raises(NotFound, match="no version 3"):
        school.use(3)
    with pytest.raises(Refused, match="nothing to roll back"):
        school.rollback()


def test_a_night_of_no_minutes_is_refused(school: Nightschool) -> None:
    with pytest.raises(UsageError, match="no minutes"):
        school.learn(minutes=0)


def test_two_short_notes_are_too_little_to_learn(school: Nightschool) -> None:
    with pytest.raises(Refused, match="facts"):
        school.learn(dry_run=True)
    assert school.runs() == []
    assert Outcome.TOO_LITTLE not in {run.outcome for run in school.runs()}


def test_settings_that_fix_the_model_win_over_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSCHOOL_MODEL", "starter")
    with Nightschool(tmp_path / "home") as opened, pytest.raises(Refused, match="fix the base"):
        opened.use_model("starter")


def test_status_counts_what_is_there(school: Nightschool) -> None:
    found = school.status()
    assert found["folders"] == 1
    assert found["files"]["indexed"] == 2
    assert (found["model"], found["version"]) == ("starter", 0)
