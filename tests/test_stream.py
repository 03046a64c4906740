"""Many nights in a row: the invented notes, the figures of R, and the page. The nights themselves
are `make bench NAME=stream`."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nightschool.cli.main import app
from nightschool.errors import UsageError
from nightschool.ingest.reading import read
from nightschool.lab.stream import figures, material
from nightschool.lab.stream.page import page
from nightschool.lab.stream.run import Options, Stream
from nightschool.lab.stream.summary import summary
from nightschool.lab.stream.world import World
from nightschool.pairs.forms import question_prompt
from nightschool.pairs.phrasing import HELD_OUT
from nightschool.pairs.rules import RuleWriter
from nightschool.pairs.synthesize import write_pairs
from nightschool.paths import Home
from nightschool.records import Chunk, Document, FileStatus, Locator
from nightschool.store import db, documents


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody reads."""


def test_a_night_is_the_same_folder_whatever_was_there_before(tmp_path: Path) -> None:
    world = World(seed=3, nights=6, facts=12)
    for night in range(6):
        world.write(tmp_path / "walked", night)
    world.write(tmp_path / "at once", 5)
    walked, once = (
        {p.relative_to(tmp_path / name): p.read_text() for p in (tmp_path / name).rglob("*.md")}
        for name in ("walked", "at once")
    )
    assert walked == once
    assert World(4, 6, 12).at(5) != world.at(5) == World(3, 6, 12).at(5)


def test_facts_change_are_contradicted_and_go_and_no_fact_does_two_of_these() -> None:
    world = World(seed=1, nights=10, facts=20)
    last = world.at(9)
    changed = {f.key for f in last if f.old}
    contradicted = {f.key for f in last if f.other}
    gone = {f.key for f in world.gone(9)}
    assert (len(changed), len(contradicted), len(gone)) == (9, 9, 8)
    assert not changed & contradicted and not gone & {f.key for f in last}
    assert all(f.old != f.value != f.other for f in last)
    assert len(last) + len(gone) == 200


def test_every_invented_fact_can_be_practised_and_asked_in_a_wording_that_is_not() -> None:
    for fact in (facts := World(seed=2, nights=2, facts=16).at(1)):
        text = f"# {fact.title}\n\n{fact.field}: {fact.value}\n"
        chunk = Chunk(0, text, text, Locator(fact.path, (fact.title,), (1, 3)), 1, 1)
        found = [p for p in RuleWriter().write([chunk], fact.title) if p.answer == fact.value]
        assert sum(p.phrasing >= HELD_OUT for p in found) == 1, fact
        assert sum(p.phrasing < HELD_OUT for p in found) >= 5
    assert len({fact.key for fact in facts}) == 32


def stored(home: Home, folder: Path, world: World, night: int) -> None:
    """The notes of a night in the store, with their questions, as the intake and a night do it."""
    world.write(folder, night)
    store = db.open_store(home.database)
    root = documents.add_root(store, str(folder))
    here = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.md")}
    for gone in {item.path for item in documents.documents(store)} - set(here):
        documents.delete(store, root.id, gone)
    for name, path in sorted(here.items()):
        data = path.read_bytes()
        known, sha = documents.by_path(store, root.id, name), hashlib.sha256(data).hexdigest()
        if known is None or known.sha256 != sha:
            found = read(data, name)
            item = Document(root.id, name, len(data), 0, sha, FileStatus.INDEXED,
                            title=found.title, format="markdown", language="en")  # fmt: skip
            documents.save(store, item, found.chunks)
    write_pairs(store, [RuleWriter()], None, None)
    store.close()


def test_every_fact_finds_its_question_and_what_is_new_is_what_naive_practises(
    tmp_path: Path,
) -> None:
    home, folder = Home(tmp_path / "home").create(), tmp_path / "notes"
    world = World(seed=5, nights=4, facts=12)
    for night in range(4):
        stored(home, folder, world, night)
    facts, before = world.at(3), {f.key: f.value for f in world.at(2)}
    changed = {f.key for f in facts if before.get(f.key, f.value) != f.value}
    found = material.of(home, folder, facts, 3, changed)
    kept = tmp_path / "night.json"
    material.save(found, kept)
    assert material.load(kept) == found
    by_key = {one.key: one for one in found.asked}
    assert set(by_key) == {f.key for f in facts if not f.other}, "kept-out files' facts, too"
    assert len(changed) == 1
    new = {f.value for f in facts if f.night == 3 or f.key in changed}
    learned = {o.value for o in found.asked if o.hidden == material.PHRASING}
    assert {answer for _, answer in found.practice} == new & learned
    assert {question for question, _ in found.everything}.isdisjoint(
        prompt(one.question) for one in found.asked
    )


def prompt(question: str) -> str:
    """A closed-book question as it is practised: alone."""
    return question_prompt(question, [])


def test_the_figures_of_r_are_those_of_the_definitions() -> None:
    matrix = [[0.8, 0.1], [0.6, 0.9, 0.3], [0.4, 1.0, 0.7]]
    assert figures.acc(matrix) == pytest.approx((0.4 + 1.0 + 0.7) / 3)
    assert figures.bwt(matrix) == pytest.approx(((0.4 - 0.8) + (1.0 - 0.9)) / 2)
    assert figures.fwt(matrix, [0.0, 0.1, 0.1]) == pytest.approx((0.0 + 0.2) / 2)
    assert figures.forgetting(matrix) == pytest.approx(((0.8 - 0.4) + (0.9 - 1.0)) / 2)
    assert figures.bwt([[0.5]]) == figures.forgetting([[0.5]]) == 0


def rows(drift: float) -> list[dict[str, object]]:
    return [
        {"recall": [0.5, 0.75][: n + 1], "before": 0.25, "known": 0.6, "practised": 0.7,
         "tonight": 0.75, "dnll": drift * n, "minutes": 2.0, "megabytes": 500.0, "asked": 8,
         "kept_out": 1, "outcome": "promoted"}
        for n in range(2)
    ]  # fmt: skip


def test_the_summary_takes_transfer_from_what_was_known_the_night_before() -> None:
    found = summary("ours", {"ours": rows(0.02)}, 2)
    assert found["FWT"] == pytest.approx(0.25)
    assert found["ACC"] == pytest.approx(0.625) and found["ΔNLL"] == 0.02
    assert found["MB"] == 500.0


def test_the_page_draws_what_was_measured_and_loads_nothing() -> None:
    drawn = page("<two> nights", {"ours": rows(0.02), "naive": rows(0.3)}, [["a<b", "1"]])
    assert "<two>" not in drawn and "a&lt;b" in drawn
    assert drawn.count("<svg") == 5, "a plot for each figure that is there"
    assert "http" not in drawn.replace("http://www.w3.org", "") and "<script" not in drawn


def test_a_state_folder_belongs_to_one_stream(tmp_path: Path) -> None:
    Stream(Options(nights=2, seed=1, arms=("ours",)), tmp_path, quiet)
    Stream(Options(nights=2, seed=1, arms=("ours", "naive")), tmp_path, quiet)
    with pytest.raises(UsageError, match="other options"):
        Stream(Options(nights=3, seed=1), tmp_path, quiet)


@pytest.mark.parametrize(
    "arguments", [["--arms", "ours,theirs"], ["--nights", "0"], ["--minutes", "-1"]]
)
def test_what_makes_no_stream_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    found = CliRunner().invoke(app, ["--home", str(tmp_path), "eval", "stream", *arguments])
    assert found.exit_code == 2 or isinstance(found.exception, UsageError)
    assert not math.isnan(found.exit_code)
