"""The command, through its real door: exit codes, one-line errors, JSON on every read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from command import nightschool

BOILER = "# Boiler\n\nThe boiler was serviced on 6 March by Oskar Brandreth and cost 118 pounds.\n"
READS = [
    ("watch", "list"),
    ("files",),
    ("runs",),
    ("versions",),
    ("status",),
    ("model", "list"),
    ("model", "card"),
    ("doctor", "--quick"),
]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home with one small watched folder: `(home, folder)`."""
    base = tmp_path_factory.mktemp("indexed")
    folder = base / "notes"
    folder.mkdir()
    (folder / "Boiler.md").write_text(BOILER, encoding="utf-8")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 not text")
    (folder / "\x1b[31mred.md").write_text("# Red\n\nThe fence is red.\n", encoding="utf-8")
    said = nightschool(base / "home", "watch", "add", str(folder))
    assert said.code == 0, said.error
    return base / "home", folder


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["bogus"], 2, "bogus"),
        (["files", "--bogus"], 2, "--bogus"),
        (["files", "--status", "lost"], 2, "indexed"),
        (["use", "7"], 2, "version 7"),
        (["use", "-1"], 2, "--help"),
        (["runs", "9"], 2, "night 9"),
        (["ask", "anything"], 2, "watch add"),
        (["search", "anything"], 2, "watch add"),
        (["learn"], 2, "watch add"),
        (["rollback"], 3, "base model"),
        (["watch", "remove", "nowhere"], 2, "not watched"),
        (["model", "use", "nothing"], 2, "nothing"),
    ],
)
def test_an_error_is_one_line_with_its_remedy_and_the_right_exit_code(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    said = nightschool(tmp_path / "home", *arguments)
    assert said.code == code
    assert words in said.complaint
    assert said.out == ""


def test_a_missing_folder_is_a_usage_error_and_changes_nothing(tmp_path: Path) -> None:
    said = nightschool(tmp_path / "home", "watch", "add", str(tmp_path / "gone"))
    assert said.code == 2
    assert "no folder" in said.complaint
    assert nightschool(tmp_path / "home", "watch", "list", "--json").json == []


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("x", encoding="utf-8")
    said = nightschool(tmp_path / "home", "watch", "add", str(note))
    assert (said.code, "not a folder" in said.complaint) == (2, True)


def test_the_own_home_is_never_watched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    nightschool(home, "status")
    said = nightschool(home, "watch", "add", str(home / "models"))
    assert (said.code, "own home" in said.complaint) == (2, True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    said = nightschool(tmp_path / "home", "watch", "add", str(folder))
    assert (said.code, "permission" in said.complaint.lower()) == (1, True)


@pytest.mark.parametrize("arguments", READS)
def test_every_read_prints_json_in_an_empty_home(tmp_path: Path, arguments: list[str]) -> None:
    said = nightschool(tmp_path / "home", *arguments, "--json")
    assert said.code == 0, said.error
    assert said.json is not None


def test_a_model_that_is_no_gguf_is_refused_in_one_line(tmp_path: Path) -> None:
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"this is not a model")
    said = nightschool(tmp_path / "home", "model", "add", str(fake))
    assert said.code == 1
    assert "fake.gguf" in said.complaint


def test_a_damaged_database_is_one_line_that_names_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "nightschool.db").write_bytes(b"not a database, but long enough to look at" * 50)
    said = nightschool(home, "files")
    assert said.code == 1
    assert "nightschool.db" in said.complaint


def test_a_wrong_setting_names_its_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text("[learn]\nbudget_s = 'long'\n", encoding="utf-8")
    said = nightschool(home, "files")
    assert (said.code, "learn.budget_s" in said.complaint) == (2, True)


def test_an_unexpected_failure_is_one_line_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    home, broken = tmp_path / "home", tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "from nightschool.api import Nightschool\n"
        "def files(self, *arguments):\n"
        "    raise ZeroDivisionError('broken on purpose')\n"
        "Nightschool.files = files\n",
        encoding="utf-8",
    )
    said = nightschool(home, "files", PYTHONPATH=str(broken))
    assert said.code == 1
    assert "broken on purpose" in said.complaint and "command.log" in said.complaint
    assert "Traceback" in (home / "logs" / "command.log").read_text(encoding="utf-8")
    shown = nightschool(home, "--debug", "files", PYTHONPATH=str(broken))
    assert "Traceback" in shown.error


def test_what_lies_where_a_folder_belongs_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").write_text("a file where a folder belongs", encoding="utf-8")
    said = nightschool(home, "files")
    assert said.code == 1
    assert "models" in said.complaint and "Move away" in said.complaint


def test_a_folder_is_indexed_at_once_and_every_file_says_where_it_stands(
    indexed: tuple[Path, Path],
) -> None:
    home, _ = indexed
    files = {item["path"]: item for item in nightschool(home, "files", "--json").json}
    assert files["Boiler.md"]["status"] == "indexed"
    assert files["Boiler.md"]["chunks"] == 1
    assert files["photo.jpg"]["status"] == "skipped"
    assert files["photo.jpg"]["reason"]


def test_control_characters_of_file_names_do_not_reach_the_terminal(
    indexed: tuple[Path, Path],
) -> None:
    said = nightschool(indexed[0], "files")
    assert "red.md" in said.out
    assert "\x1b" not in said.out


def test_search_finds_the_passage_and_says_where_it_stands(indexed: tuple[Path, Path]) -> None:
    found = nightschool(indexed[0], "search", "boiler service", "--json").json
    assert found[0]["locator"]["path"] == "Boiler.md"
    assert found[0]["locator"]["where"].startswith("Boiler.md:")


def test_ask_cites_the_passage_it_rests_on(indexed: tuple[Path, Path]) -> None:
    answer = nightschool(indexed[0], "ask", "When was the boiler serviced?", "--json").json
    assert "6 March" in answer["text"]
    assert answer["citations"][0]["locator"].startswith("Boiler.md")
    assert answer["supported"] is True


def test_ask_for_people_shows_text_citation_and_what_carried_it(
    indexed: tuple[Path, Path],
) -> None:
    said = nightschool(indexed[0], "ask", "When was the boiler serviced?")
    assert "[1] Boiler.md" in said.out
    assert "answered by" in said.out


def test_a_change_is_found_by_refresh(indexed: tuple[Path, Path]) -> None:
    home, folder = indexed
    (folder / "New.md").write_text("# New\n\nThe new lamp is green.\n", encoding="utf-8")
    before = [item["path"] for item in nightschool(home, "files", "--json").json]
    after = [item["path"] for item in nightschool(home, "files", "--refresh", "--json").json]
    assert "New.md" not in before
    assert "New.md" in after


def test_too_few_facts_are_refused_with_exit_code_three(indexed: tuple[Path, Path]) -> None:
    said = nightschool(indexed[0], "learn", "--dry-run")
    assert said.code == 3
    assert "facts" in said.error


def test_removing_a_folder_takes_it_out_and_leaves_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "Boiler.md").write_text(BOILER, encoding="utf-8")
    home = tmp_path / "home"
    assert nightschool(home, "watch", "add", str(folder)).code == 0
    assert nightschool(home, "watch", "remove", str(folder)).code == 0
    assert nightschool(home, "files", "--json").json == []
    assert (folder / "Boiler.md").exists()


def test_a_folder_that_vanishes_is_not_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "Boiler.md").write_text(BOILER, encoding="utf-8")
    home = tmp_path / "home"
    nightschool(home, "watch", "add", str(folder))
    folder.rename(tmp_path / "elsewhere")
    said = nightschool(home, "files", "--refresh")
    assert said.code == 1
    assert "missing" in said.complaint
    assert [item["path"] for item in nightschool(home, "files", "--json").json] == ["Boiler.md"]


def test_a_demo_on_a_missing_folder_ends_at_once(tmp_path: Path) -> None:
    said = nightschool(tmp_path / "home", "demo", str(tmp_path / "gone"))
    assert (said.code, "no folder" in said.complaint) == (2, True)


def test_a_demo_on_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    said = nightschool(tmp_path / "home", "demo", str(empty))
    assert said.code == 3
    assert "no file that can be read" in said.error
