"""Kinds of places: what is read of a mailbox, a vault, a repository, a browser, and what is not."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from format_samples import MESSAGE, SAMPLES, chatgpt
from nightschool.config import Files
from nightschool.errors import ParseError
from nightschool.ingest.reading import Reading
from nightschool.ingest.sandbox import Sandbox
from nightschool.records import Kind
from nightschool.sources import kinds
from nightschool.sources.reconcile import reconcile
from nightschool.sources.watch import Watch
from nightschool.store import documents, foreign
from nightschool.store.db import Store


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def seen(store: Store, folder: Path) -> tuple[str, set[str]]:
    """The kind of a folder, and which files a comparison finds in it."""
    source = kinds.recognise(folder)
    root = documents.add_root(store, str(folder), source=source.name)
    assert root.source == source.name
    return source.name, {change.path for change in reconcile(store, root, Files())}


def words(reading: Reading) -> str:
    return "\n".join(chunk.text for chunk in reading.chunks)


def test_a_folder_of_notes_is_a_plain_folder(store: Store, tmp_path: Path) -> None:
    folder = fill(tmp_path / "notes", {"a.md": b"a", ".hidden/b.md": b"b", "c.csv": b"c"})
    assert seen(store, folder) == ("folder", {"a.md", "c.csv"})


def test_mail_is_read_in_hidden_maildirs_but_not_while_it_is_delivered(
    store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    name = "1700000000.M1P1.host:2,S"
    folder = fill(
        tmp_path / "Maildir",
        {
            f"cur/{name}": MESSAGE,
            "new/1700000001.M2P1.host": MESSAGE,
            "tmp/1700000002.M3P1.host": MESSAGE,
            f".Sent/cur/{name}": MESSAGE,
            ".Sent/new/.keep": b"",
            ".Sent/dovecot.index.log": b"\0",
            "dovecot-uidlist": b"3 V1",
        },
    )
    assert seen(store, folder) == (
        "mail",
        {f"cur/{name}", "new/1700000001.M2P1.host", f".Sent/cur/{name}", ".Sent/new/.keep"},
    )
    assert "The wheel of the mill" in words(
        sandbox.read(folder / ".Sent" / "cur" / name, f".Sent/cur/{name}")
    )


def test_mbox_files_without_a_type_are_mail_where_a_mail_program_keeps_them(
    store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "Mail", {"Inbox": SAMPLES["mbox"](), "Inbox.msf": b"index"})
    assert kinds.recognise(folder).name == "mail"
    assert "From here on it is quiet." in words(sandbox.read(folder / "Inbox", "Inbox"))


def test_a_vault_is_its_notes_and_not_its_settings(store: Store, tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "vault",
        {
            ".obsidian/app.json": b"{}",
            ".obsidian/plugins/x/main.js": b"x",
            ".trash/old.md": b"gone",
            "Wren.md": b"[[Mill|the mill]] ![[Plan]] #bird",
            "Board.canvas": b"{}",
            "Sketch.excalidraw.md": b"x",
        },
    )
    assert seen(store, folder) == ("obsidian", {"Wren.md", "Board.canvas"})


def repository(folder: Path) -> Path:
    from dulwich import porcelain

    repo = porcelain.init(str(folder))
    fill(folder, {"mill.py": b"def turn():\n    return 9\n", "ignored.md": b"x"})
    fill(folder, {".gitignore": b"ignored.md\n"})
    for number, text in enumerate(("Begin the mill", "Oil the wheel\n\nIt squeaked at noon.\n")):
        porcelain.add(repo, [str(folder / "mill.py")])
        porcelain.commit(
            repo,
            message=text.encode(),
            author=b"Bram Orrel <bram@example.org>",
            committer=b"Bram Orrel <bram@example.org>",
            author_timestamp=1700000000 + number,
            commit_timestamp=1700000000 + number,
            author_timezone=0,
            commit_timezone=0,
        )
        fill(folder, {"mill.py": b"def turn():\n    return 10\n"})
    repo.close()
    return folder


def test_a_repository_gives_its_files_and_its_commit_messages(
    store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "repo")
    assert seen(store, folder) == ("git", {"mill.py", ".git/logs/HEAD"})
    reading = sandbox.read(folder / ".git" / "logs" / "HEAD", ".git/logs/HEAD")
    assert (reading.title, reading.format) == ("Commit messages", "commits")
    assert words(reading) == (
        "Oil the wheel (2023-11-14 Bram Orrel)\n\nIt squeaked at noon.\n"
        "- Begin the mill (2023-11-14 Bram Orrel)"
    )
    assert reading.chunks[0].locator.place.startswith("commit ")


def test_a_repository_that_is_damaged_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = repository(tmp_path / "repo")
    shutil.rmtree(folder / ".git" / "objects")
    with pytest.raises(ParseError, match="empty, damaged"):
        sandbox.read(folder / ".git" / "logs" / "HEAD", ".git/logs/HEAD")


def test_the_users_patterns_hold_in_a_repositorys_own_folder_too(
    store: Store, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "repo")
    fill(folder, {".nightschoolignore": b".git/\n"})
    assert seen(store, folder) == ("git", {"mill.py"})


def firefox(file: Path) -> sqlite3.Connection:
    """A history as Firefox keeps it, its last visit only in the log."""
    made = sqlite3.connect(file, isolation_level=None)
    made.execute("PRAGMA journal_mode=WAL")
    made.executescript(
        "CREATE TABLE moz_places(id INTEGER PRIMARY KEY, url TEXT, title TEXT);"
        "CREATE TABLE moz_historyvisits(place_id INTEGER, visit_date INTEGER);"
        "CREATE TABLE moz_bookmarks(fk INTEGER, type INTEGER, parent INTEGER, title TEXT, "
        "id INTEGER PRIMARY KEY);"
        "INSERT INTO moz_places VALUES(1, 'https://mills.example/wheel?token=abc#x', 'Wheels');"
        "INSERT INTO moz_historyvisits VALUES(1, 1700000000000000);"
        "INSERT INTO moz_bookmarks VALUES(NULL, 2, 0, 'Crafts', 1), (1, 1, 1, 'On wheels', 2);"
        "PRAGMA wal_checkpoint(TRUNCATE);"
    )
    made.execute("INSERT INTO moz_places VALUES(2, 'https://rivers.example/weir', 'Weirs')")
    made.execute("INSERT INTO moz_historyvisits VALUES(2, 1700100000000000)")
    return made


def test_a_browser_gives_bookmarks_and_history_and_nothing_else(
    store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = fill(
        tmp_path / "firefox" / "abc.default",
        {"logins.json": b"{}", "cookies.sqlite": b"x", "prefs.js": b"x", "notes.md": b"x"},
    )
    owner = firefox(folder / "places.sqlite")
    before = {file.name: file.read_bytes() for file in folder.glob("places*")}
    assert seen(store, tmp_path / "firefox") == ("browser", {"abc.default/places.sqlite"})
    reading = sandbox.read(folder / "places.sqlite", "abc.default/places.sqlite")
    assert {file.name: file.read_bytes() for file in folder.glob("places*")} == before
    owner.close()
    assert [chunk.locator.place for chunk in reading.chunks] == [
        "bookmarks Crafts", "visited 2023-11-16", "visited 2023-11-14",
    ]  # fmt: skip
    assert "- Weirs (rivers.example/weir)" in words(reading)
    assert "On wheels (mills.example/wheel)" in words(reading)
    assert "token" not in words(reading)


def test_a_visit_that_stands_only_in_the_log_is_a_change(store: Store, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    owner = firefox(tmp_path / "p" / "places.sqlite")
    root = documents.add_root(store, str(tmp_path / "p"), source="browser")
    (first,) = reconcile(store, root, Files())
    owner.execute("INSERT INTO moz_places VALUES(3, 'https://x.example/', 'More')")
    (second,) = reconcile(store, root, Files(), only={"places.sqlite-wal"})
    owner.close()
    assert (second.kind, second.path) == (Kind.ADDED, "places.sqlite")
    assert second.size > first.size


def test_the_log_is_merged_as_sqlite_itself_does(tmp_path: Path) -> None:
    owner = firefox(tmp_path / "places.sqlite")
    for number in range(300):
        owner.execute("INSERT INTO moz_places VALUES(NULL, ?, ?)", (f"u{number}", "t" * number))
    owner.execute("BEGIN")
    owner.execute("DELETE FROM moz_places")  # never committed
    data = (tmp_path / "places.sqlite").read_bytes()
    log = (tmp_path / "places.sqlite-wal").read_bytes()
    made = sqlite3.connect(":memory:")
    made.deserialize(foreign.merged(data, log))
    assert made.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert made.execute("SELECT count(*) FROM moz_places").fetchone() == (302,)
    torn = bytearray(log)
    torn[len(torn) // 2] ^= 255
    made.deserialize(foreign.merged(data, bytes(torn)))
    assert made.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert 2 <= made.execute("SELECT count(*) FROM moz_places").fetchone()[0] < 302
    made.close()
    owner.close()


def test_chromiums_history_and_bookmarks_are_read(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "History"
    made = sqlite3.connect(file)
    made.executescript(
        "CREATE TABLE urls(url TEXT, title TEXT, last_visit_time INTEGER, hidden INTEGER);"
        "INSERT INTO urls VALUES('https://mills.example/a', 'Mills', 13344473600000000, 0);"
    )
    made.close()
    assert words(sandbox.read(file, "Default/History")) == (
        "Visited on 2023-11-14\n\n- Mills (mills.example/a)"
    )
    marks = (
        '{"roots": {"bookmark_bar": {"name": "Bar", "type": "folder", "children": '
        '[{"type": "url", "name": "Weirs", "url": "https://rivers.example/"}]}}}'
    )
    (tmp_path / "Bookmarks").write_text(marks)
    assert "- Weirs (rivers.example)" in words(sandbox.read(tmp_path / "Bookmarks", "Bookmarks"))


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\0" + b"\0" * 200, b"SQLite format 3\0x"])
def test_a_database_that_is_none_is_refused(sandbox: Sandbox, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "places.sqlite").write_bytes(data)
    with pytest.raises(ParseError, match=r"empty file|cannot be read|not a browser"):
        sandbox.read(tmp_path / "places.sqlite", "places.sqlite")


def test_a_locked_database_is_read_all_the_same(sandbox: Sandbox, tmp_path: Path) -> None:
    owner = firefox(tmp_path / "places.sqlite")
    owner.execute("BEGIN EXCLUSIVE")
    assert "Wheels" in words(sandbox.read(tmp_path / "places.sqlite", "places.sqlite"))
    owner.close()


def test_an_export_of_chats_is_its_conversations(store: Store, tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "export",
        {"conversations.json": chatgpt(), "user.json": b"{}", "chat.html": b"<p>x"},
    )
    assert seen(store, folder) == ("chats", {"conversations.json"})


def test_calendars_and_contacts_are_recognised(store: Store, tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "dav",
        {"home/a.ics": SAMPLES["ics"](), "people/b.vcf": SAMPLES["vcf"](), "people/.props": b"{}"},
    )
    assert seen(store, folder) == ("agenda", {"home/a.ics", "people/b.vcf"})


def test_what_a_kind_reads_is_watched_though_it_is_hidden(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repo")
    hints: list[str] = []
    watch = Watch(lambda root_id, key: hints.append(key), lambda: None)
    watch.start()
    try:
        watch.add(1, folder, "git")
        (folder / ".git" / "logs" / "HEAD").write_text("changed")
        (folder / ".git" / "index.lock").write_text("noise")
        (folder / "z.md").write_text("last")
        end = time.monotonic() + 10
        while "z.md" not in hints and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        watch.stop()
    assert ".git/logs/HEAD" in hints and "z.md" in hints
    assert ".git/index.lock" not in hints
