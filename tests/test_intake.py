"""A batch from folder to index, through the one door: what is on disk is what is found."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightschool import intake
from nightschool.children.child import Child
from nightschool.config import Config, Files
from nightschool.errors import NotFound, SourceError, StoreError
from nightschool.index.embed import QuickMiniLM
from nightschool.index.search import Search
from nightschool.ingest.chunk import VERSION
from nightschool.intake import IntakeReport, run_intake
from nightschool.paths import Home
from nightschool.records import FileStatus, Pair, PairKind, Root, Split
from nightschool.store import documents, pairs, state, vectors
from nightschool.store.db import Store, open_store

EXAMPLES = Path(__file__).parent.parent / "src" / "nightschool" / "examples" / "vault"
CONFIG = Config()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    path.mkdir()
    return path


@pytest.fixture
def root(store: Store, folder: Path) -> Root:
    return documents.add_root(store, str(folder))


def statuses(store: Store) -> dict[str, str]:
    return {item.path: item.reason for item in documents.documents(store)}


def passages(store: Store) -> list[str]:
    return [
        chunk.text
        for item in documents.documents(store)
        for chunk in documents.chunks_of(store, item.id)
    ]


def test_the_example_vault_is_read_whole(home: Home, store: Store) -> None:
    documents.add_root(store, str(EXAMPLES))
    report = run_intake(home, store, CONFIG)
    files = [file for file in EXAMPLES.rglob("*") if file.is_file()]
    assert (report.added, report.skipped, report.problems) == (len(files), 0, ())
    assert report.embedded == report.chunks >= len(files)
    assert {item.format for item in documents.documents(store)} == {
        "markdown", "text", "html", "pdf",
    }  # fmt: skip
    with_secrets = [item.path for item in documents.documents(store) if item.redactions]
    assert "House/Network and router.md" in with_secrets
    again = run_intake(home, store, CONFIG)
    assert again == IntakeReport(unchanged=len(files), seconds=again.seconds)


def test_edits_moves_and_deletions_are_right_afterwards(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "a.md").write_text("# Alpha\n\nThe kettle is green.")
    (folder / "b.md").write_text("# Beta\n\nThe lamp is red.")
    (folder / "c.md").write_text("# Gamma\n\nThe chair is old.")
    run_intake(home, store, CONFIG, embedder=encoder)
    (folder / "a.md").write_text("# Alpha\n\nThe kettle is blue.")
    (folder / "b.md").rename(folder / "moved.md")
    (folder / "c.md").unlink()
    report = run_intake(home, store, CONFIG, embedder=encoder)
    assert (report.modified, report.moved, report.deleted, report.embedded) == (1, 1, 1, 1)
    assert sorted(passages(store)) == ["Alpha\n\nThe kettle is blue.", "Beta\n\nThe lamp is red."]
    search = Search(store, home, encoder)
    assert {hit.locator.path for hit in search.search("kettle lamp chair", 9)} == {
        "a.md",
        "moved.md",
    }
    assert not search.search("green", 9)[0].lexical_rank
    assert search.note == ""


def test_a_move_keeps_passages_vectors_and_pairs(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "a.md").write_text("# Boiler\n\nThe pressure is 1.4 bar.")
    run_intake(home, store, CONFIG, embedder=encoder)
    (item,) = documents.documents(store)
    (chunk,) = documents.chunks_of(store, item.id)
    practice(store, item.id, chunk.id)
    (folder / "House").mkdir()
    (folder / "a.md").rename(folder / "House" / "Boiler.md")
    report = run_intake(home, store, CONFIG, embedder=encoder)
    assert (report.moved, report.embedded) == (1, 0)
    (after,) = documents.documents(store)
    assert (after.id, after.path, after.pairs) == (item.id, "House/Boiler.md", 1)
    (moved,) = documents.chunks_of(store, after.id)
    assert (moved.id, str(moved.locator)) == (chunk.id, "House/Boiler.md:1-3 › Boiler")


def test_a_file_called_by_its_name_gets_its_new_name(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "Kettle.md").write_text("It is descaled with vinegar.")
    run_intake(home, store, CONFIG, embedder=encoder)
    (item,) = documents.documents(store)
    practice(store, item.id, documents.chunks_of(store, item.id)[0].id)
    (folder / "Kettle.md").rename(folder / "Samovar.md")
    report = run_intake(home, store, CONFIG, embedder=encoder)
    assert (report.moved, report.embedded) == (1, 1)
    (after,) = documents.documents(store)
    assert (after.title, after.pairs) == ("Samovar", 1)
    search = Search(store, home, encoder)
    assert search.search("samovar")[0].lexical_rank == 1
    assert search.search("kettle")[0].lexical_rank is None


def test_an_edit_keeps_the_pairs_of_what_stayed(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    filler = "The wind came from the west and the boats stayed in the harbour. " * 12
    note = f"# Log\n\n## One\n\n{filler}\n\n## Two\n\n{filler} It rained.\n"
    (folder / "log.md").write_text(note)
    run_intake(home, store, CONFIG, embedder=encoder)
    (item,) = documents.documents(store)
    chunks = documents.chunks_of(store, item.id)
    practice(store, item.id, *(chunk.id for chunk in chunks))
    (folder / "log.md").write_text(note.replace("It rained.", "It snowed."))
    report = run_intake(home, store, CONFIG, embedder=encoder)
    after = documents.chunks_of(store, item.id)
    kept = {chunk.id for chunk in chunks} & {chunk.id for chunk in after}
    assert len(after) == len(chunks) and len(kept) == len(chunks) - 1
    assert report.embedded == 1
    assert documents.documents(store)[0].pairs == len(chunks) - 1
    assert pairs.unpaired(store) == [item.id]


def practice(store: Store, document_id: int, *chunk_ids: int) -> None:
    """One practice pair for each passage."""
    kind, split = PairKind.CLOSED, Split.TRAIN
    pairs.replace(
        store,
        document_id,
        [Pair(kind, "How?", "so", "so", f"fact {one}", 0, split, (one,)) for one in chunk_ids],
    )


def test_what_cannot_be_read_says_why_and_stops_nothing(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "good.md").write_text("Fine text.")
    (folder / "empty.md").touch()
    (folder / "cut.pdf").write_bytes(b"%PDF-1.7 cut")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "binary.txt").write_bytes(bytes(range(256)))
    (folder / "latin.txt").write_bytes("Die Bäume blühen früh im schönen Garten.".encode("cp1252"))
    (folder / "id_rsa").write_text("key")
    os.mkfifo(folder / "pipe.md")
    (folder / "loop").symlink_to(folder)
    with (folder / "huge.txt").open("wb") as stream:
        stream.truncate(200_000_000)
    report = run_intake(home, store, CONFIG, embedder=encoder)
    assert (report.added, report.skipped, report.problems) == (2, 8, ())
    found = statuses(store)
    assert found.pop("latin.txt").startswith("read as ")
    assert found == {
        "good.md": "",
        "empty.md": "empty file",
        "cut.pdf": "the PDF is damaged or cut off",
        "photo.jpg": "type .jpg is not read",
        "binary.txt": "the content is not text (control bytes)",
        "id_rsa": "key or credential file: never read",
        "pipe.md": "not a regular file (named pipe)",
        "loop": "symbolic link: what it points to is listed under its own name",
        "huge.txt": "larger than 50 MB",
    }
    (folder / "empty.md").write_text("Now there is something.")
    assert run_intake(home, store, CONFIG, embedder=encoder).modified == 1
    assert statuses(store)["empty.md"] == ""


def test_a_file_that_became_unreadable_leaves_the_index(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "a.md").write_text("The old words.")
    run_intake(home, store, CONFIG, embedder=encoder)
    (folder / "a.md").write_bytes(bytes(range(256)) * 9)
    run_intake(home, store, CONFIG, embedder=encoder)
    assert passages(store) == []
    assert documents.documents(store)[0].status is FileStatus.SKIPPED
    assert Search(store, home, encoder).search("old words") == []


def test_a_slow_file_costs_its_time_and_no_more(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "a slow.html").write_bytes(b"<div>" * 150_000)
    (folder / "b.md").write_text("Fine.")
    quick = replace(CONFIG, files=Files(parse_timeout_s=2.0))
    run_intake(home, store, quick, embedder=encoder)
    assert statuses(store) == {"a slow.html": "reading it took longer than 2 s", "b.md": ""}


def test_a_vanished_folder_is_a_problem_and_the_others_are_served(
    home: Home, store: Store, root: Root, folder: Path, tmp_path: Path, encoder: QuickMiniLM
) -> None:
    (folder / "a.md").write_text("The first.")
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.md").write_text("The second.")
    documents.add_root(store, str(other))
    run_intake(home, store, CONFIG, embedder=encoder)
    shutil.rmtree(folder)
    (other / "b.md").write_text("The second, changed.")
    report = run_intake(home, store, CONFIG, embedder=encoder)
    assert (report.modified, report.deleted) == (1, 0)
    assert len(report.problems) == 1 and str(folder) in report.problems[0]
    assert sorted(passages(store)) == ["The first.", "The second, changed."]
    with pytest.raises(SourceError):
        run_intake(home, store, CONFIG, roots=[root], embedder=encoder)


@pytest.mark.parametrize("another", [False, True])
def test_a_folder_pulled_out_while_it_is_read_leaves_what_was_known(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM, another: bool
) -> None:
    for name in ("a", "b", "c"):
        (folder / f"{name}.md").write_text(f"# {name}\n\nThe kettle is green.")
    run_intake(home, store, CONFIG, embedder=encoder)
    before = {item.path: item.sha256 for item in documents.documents(store)}
    for name in ("a", "b", "c"):
        (folder / f"{name}.md").write_text(f"# {name}\n\nThe kettle is blue now.")
    away = folder.with_name("drawer")

    def pull(stage: str, done: int, total: int) -> None:
        if stage == "read" and done == 1 and not away.exists():
            folder.rename(away)
            if another:
                folder.mkdir()

    report = run_intake(home, store, CONFIG, progress=pull, embedder=encoder)
    now = {item.path: item.sha256 for item in documents.documents(store)}
    assert len(report.problems) == 1
    assert report.modified == 1
    assert (now["b.md"], now["c.md"]) == (before["b.md"], before["c.md"])
    assert not any(statuses(store).values())
    if another:
        folder.rmdir()
    away.rename(folder)
    assert run_intake(home, store, CONFIG, embedder=encoder).modified == 2


def test_an_empty_folder_is_no_error(home: Home, store: Store, root: Root) -> None:
    assert run_intake(home, store, CONFIG).problems == ()


def test_a_new_way_of_reading_reads_every_file_again(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "a.md").write_text("Text.")
    run_intake(home, store, CONFIG, embedder=encoder)
    assert state.get(store, intake.READER) == VERSION
    state.put(store, intake.READER, 0)
    assert run_intake(home, store, CONFIG, embedder=encoder).modified == 1
    assert run_intake(home, store, CONFIG, embedder=encoder).modified == 0


def test_secrets_are_found_by_the_owner_and_never_in_training_text(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "net.md").write_text("Wifi password: teapot-Gannet-5519\n\nThe printer is upstairs.")
    run_intake(home, store, CONFIG, embedder=encoder)
    (item,) = documents.documents(store)
    assert item.redactions == {"password": 1}
    (chunk,) = documents.chunks_of(store, item.id)
    assert "teapot-Gannet-5519" in chunk.text
    assert "teapot" not in chunk.safe
    assert Search(store, home, encoder).search("teapot-Gannet-5519")[0].lexical_rank == 1


def test_a_full_disk_is_a_clear_error_and_what_was_stored_stays(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    (folder / "a.md").write_text("The first note.")
    run_intake(home, store, CONFIG, embedder=encoder)
    for number in range(80):
        (folder / f"n{number}.md").write_text(f"Note {number} has some words about the mill.")
    limit = sum(file.stat().st_size for file in home.root.glob("nightschool.db*")) + 200_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(StoreError) as caught:
            run_intake(home, store, CONFIG, embedder=encoder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.remedy
    assert store.one("PRAGMA integrity_check") == "ok"
    whole = {item.path for item in documents.documents(store)}
    assert "a.md" in whole and len(whole) < 81
    report = run_intake(home, store, CONFIG, embedder=encoder)
    assert report.added == 81 - len(whole)
    assert Search(store, home, encoder).note == ""


def test_the_child_streams_progress_and_reports(
    home: Home, store: Store, root: Root, folder: Path
) -> None:
    for number in range(30):
        (folder / f"{number}.md").write_text(f"Note {number}.")
    child = Child("nightschool.intake", [str(home.root)], log=home.logs / "intake.log")
    try:
        child.wait_ready()
        messages = list(child.stream("intake", {"root": root.id, "paths": None}))
        stages = [message["event"]["stage"] for message in messages if "event" in message]
        assert list(dict.fromkeys(stages)) == ["scan", "compare", "read", "embed", "index"]
        assert messages[-1]["result"]["added"] == 30
        assert messages[-1]["result"]["embedded"] == 30
        (folder / "7.md").write_text("Note seven.")
        (folder / "8.md").write_text("Note eight.")
        result = child.call("intake", {"root": root.id, "paths": ["7.md"]})
        assert (result["modified"], result["added"]) == (1, 0)
        with pytest.raises(NotFound):
            child.call("intake", {"root": 99, "paths": None})
    finally:
        child.stop()


def test_a_killed_intake_goes_on_where_it_was(
    home: Home, store: Store, root: Root, folder: Path, encoder: QuickMiniLM
) -> None:
    for number in range(200):
        (folder / f"{number}.md").write_text(f"Note {number} about the mill.")
    child = Child("nightschool.intake", [str(home.root)], log=home.logs / "intake.log")
    child.wait_ready()
    for message in child.stream("intake", {"root": None, "paths": None}):
        if message.get("event", {}).get("stage") == "read" and message["event"]["done"] > 20:
            child.kill()
            break
    stored = len(documents.documents(store))
    assert 0 < stored < 200
    report = run_intake(home, store, CONFIG, embedder=encoder)
    assert report.added == 200 - stored
    assert store.one("PRAGMA integrity_check") == "ok"
    assert report.embedded == len(passages(store)) == 200


# -- whatever happens to the tree ----------------------------------------------------------------

NAMES = st.sampled_from(["a.md", "b.txt", "sub/c.md", "sub/d.md", "deep/er/e.txt", "sub/x.jpg"])
WORD = st.sampled_from(["mill", "heron", "kettle", "otter", "plum"])
WORDS = st.lists(WORD, max_size=6).map(" ".join)
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, WORDS),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("move"), NAMES, NAMES),
    st.tuples(st.just("copy"), NAMES, NAMES),
    st.tuples(st.just("tree"), st.sampled_from(["sub", "deep"]), st.sampled_from(["new", "deep"])),
    st.tuples(st.just("touch"), NAMES, st.integers(0, 2**31)),
    st.tuples(st.just("intake"), st.booleans(), NAMES),
)


def edit(folder: Path, step: tuple[str, object, object]) -> None:
    """Do one thing to the tree, if it can be done."""
    kind, first, second = step
    source = folder / str(first)
    target = folder / str(second)
    if kind == "write":
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(str(second))
    elif kind == "delete":
        source.unlink(missing_ok=True)
    elif kind in ("move", "copy") and source.exists() and source != target:
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.move if kind == "move" else shutil.copy)(source, target)
    elif kind == "tree" and source.exists() and not target.exists():
        source.rename(target)
    elif kind == "touch" and source.exists():
        os.utime(source, (int(str(second)), int(str(second))))


@given(steps=st.lists(STEPS, min_size=1, max_size=14))
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_after_any_edits_the_index_is_the_disk(
    tmp_path_factory: pytest.TempPathFactory,
    encoder: QuickMiniLM,
    steps: list[tuple[str, object, object]],
) -> None:
    base = tmp_path_factory.mktemp("tree")
    folder = base / "notes"
    folder.mkdir()
    home = Home(base / "home").create()
    store = open_store(home.database)
    root = documents.add_root(store, str(folder))
    for step in steps:
        if step[0] == "intake":
            only = {str(step[2])} if step[1] else None
            run_intake(home, store, CONFIG, roots=[root], only=only, embedder=encoder)
        else:
            edit(folder, step)
    run_intake(home, store, CONFIG, embedder=encoder)
    on_disk = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
    known = {item.path: item for item in documents.documents(store)}
    assert set(known) == set(on_disk)
    for path, data in on_disk.items():
        if data.strip() and not path.endswith(".jpg"):
            assert known[path].sha256 == hashlib.sha256(data).hexdigest()
            (chunk,) = documents.chunks_of(store, known[path].id)
            assert (chunk.text, chunk.locator.path) == (data.decode(), path)
        else:
            assert known[path].reason and not documents.chunks_of(store, known[path].id)
    ids = {chunk for item in known.values() for chunk in _ids(store, item.id)}
    assert set(vectors.ids(store, encoder.name)) == ids
    found = {hit.chunk_id for hit in Search(store, home, encoder).search("mill heron", 50)}
    assert found == ids
    store.close()


def _ids(store: Store, document_id: int) -> list[int]:
    return [chunk.id for chunk in documents.chunks_of(store, document_id)]
