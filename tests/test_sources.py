"""The comparison of a folder with the store: what counts as a change, and what never does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from nightschool.config import Files
from nightschool.errors import SourceError
from nightschool.records import Change, Document, FileStatus, Kind, Root
from nightschool.sources.files import obstacle, portable, resolve
from nightschool.sources.reconcile import digest_of, reconcile
from nightschool.store import documents
from nightschool.store.db import Store, open_store

FILES = Files()
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
not_root = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    path.mkdir()
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home" / "nightschool.db")


@pytest.fixture
def root(store: Store, folder: Path) -> Root:
    return documents.add_root(store, str(folder))


def remember(store: Store, root: Root, changes: list[Change]) -> None:
    """What intake does with changes, without reading the files."""
    for change in changes:
        if change.kind is Kind.DELETED:
            documents.delete(store, root.id, change.path)
        elif change.kind is Kind.MOVED:
            assert change.old_path is not None
            documents.move(store, root.id, change.old_path, change.path, change.mtime_ns)
        else:
            file = resolve(Path(root.path), change.path)
            assert file is not None
            reason = obstacle(file, Path(root.path), FILES.max_bytes)
            status = FileStatus.SKIPPED if reason else FileStatus.INDEXED
            digest = "" if reason else digest_of(file)
            item = Document(
                root.id, change.path, change.size, change.mtime_ns, digest, status, reason
            )
            documents.save(store, item, [])


def sync(store: Store, root: Root, only: set[str] | None = None) -> set[tuple[str, str]]:
    """Compare, remember, and give `(kind, path)` of every change."""
    changes = reconcile(store, root, FILES, only=only)
    remember(store, root, changes)
    return {(str(change.kind), change.path) for change in changes}


def test_new_files_are_added_once(store: Store, root: Root, folder: Path) -> None:
    (folder / "a.md").write_text("one")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("two")
    assert sync(store, root) == {("added", "a.md"), ("added", "sub/b.txt")}
    assert sync(store, root) == set()


def test_an_edit_is_a_modification_and_a_touch_is_nothing(
    store: Store, root: Root, folder: Path
) -> None:
    file = folder / "a.md"
    file.write_text("one")
    sync(store, root)
    os.utime(file, ns=(1, 1))
    assert sync(store, root) == set()
    assert documents.known(store, root.id)["a.md"].mtime_ns == 1
    file.write_text("two")
    assert sync(store, root) == {("modified", "a.md")}


def test_a_renamed_file_has_moved(store: Store, root: Root, folder: Path) -> None:
    (folder / "a.md").write_text("the same text")
    sync(store, root)
    (folder / "sub").mkdir()
    (folder / "a.md").rename(folder / "sub" / "b.md")
    (change,) = reconcile(store, root, FILES)
    assert (change.kind, change.old_path, change.path) == (Kind.MOVED, "a.md", "sub/b.md")


def test_a_moved_tree_moves_every_file_to_its_own_name(
    store: Store, root: Root, folder: Path
) -> None:
    (folder / "old").mkdir()
    for name in ("x", "y", "z"):
        (folder / "old" / f"{name}.md").write_text("all three are equal")
    sync(store, root)
    (folder / "old").rename(folder / "new")
    changes = reconcile(store, root, FILES)
    assert {(item.old_path, item.path) for item in changes} == {
        (f"old/{name}.md", f"new/{name}.md") for name in ("x", "y", "z")
    }


def test_a_copy_is_not_a_move(store: Store, root: Root, folder: Path) -> None:
    (folder / "a.md").write_text("text")
    sync(store, root)
    (folder / "b.md").write_text("text")
    assert sync(store, root) == {("added", "b.md")}


def test_a_deleted_file_is_a_deletion(store: Store, root: Root, folder: Path) -> None:
    (folder / "a.md").write_text("text")
    sync(store, root)
    (folder / "a.md").unlink()
    assert sync(store, root) == {("deleted", "a.md")}


def test_an_emptied_folder_loses_its_files(store: Store, root: Root, folder: Path) -> None:
    (folder / "a.md").write_text("text")
    sync(store, root)
    (folder / "a.md").unlink()
    assert sync(store, root) == {("deleted", "a.md")}
    assert sync(store, root) == set()


def test_a_missing_root_is_an_error_and_deletes_nothing(
    store: Store, root: Root, folder: Path
) -> None:
    (folder / "a.md").write_text("text")
    sync(store, root)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(SourceError, match="missing") as caught:
        reconcile(store, root, FILES)
    assert "nightschool watch remove" in caught.value.remedy
    assert set(documents.known(store, root.id)) == {"a.md"}
    folder.with_name("elsewhere").rename(folder)
    assert sync(store, root) == set()


@pytest.mark.parametrize("foreign", [[], ["other.md"]])
def test_another_folder_in_the_roots_place_is_not_a_deletion(
    store: Store, root: Root, folder: Path, foreign: list[str]
) -> None:
    (folder / "a.md").write_text("text")
    sync(store, root)
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    for name in foreign:
        (folder / name).write_text("from another stick")
    with pytest.raises(SourceError, match="another folder"):
        reconcile(store, root, FILES)
    with pytest.raises(SourceError, match="another folder"):
        reconcile(store, root, FILES, only={"a.md"})


def test_a_restored_copy_of_the_root_is_accepted(store: Store, root: Root, folder: Path) -> None:
    for name in ("a.md", "b.md"):
        (folder / name).write_text(name)
    sync(store, root)
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    (folder / "a.md").write_text("a.md")
    assert sync(store, root) == {("deleted", "b.md")}


def test_a_root_that_is_a_file_is_an_error(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file.md"
    file.write_text("text")
    with pytest.raises(SourceError, match="not a folder"):
        reconcile(store, documents.add_root(store, str(file)), FILES)


@not_root
def test_files_in_an_unreadable_subfolder_stay(store: Store, root: Root, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.md").write_text("text")
    sync(store, root)
    (folder / "sub").chmod(0)
    try:
        assert sync(store, root) == set()
        assert sync(store, root, only={"sub/a.md"}) == set()
    finally:
        (folder / "sub").chmod(0o700)


@not_root
def test_a_file_that_becomes_readable_is_read(store: Store, root: Root, folder: Path) -> None:
    file = folder / "a.md"
    file.write_text("text")
    file.chmod(0)
    sync(store, root)
    assert documents.known(store, root.id)["a.md"].reason == "unreadable: permission denied"
    file.chmod(0o600)
    assert sync(store, root) == {("modified", "a.md")}


def test_hidden_temporary_and_build_files_are_passed_over(
    store: Store, root: Root, folder: Path
) -> None:
    for name in (
        ".git/config.md", ".obsidian/x.md", "node_modules/p/readme.md", "__pycache__/a.txt",
        "~$draft.md", "notes.md~", "a.tmp", ".hidden.md", "app/build/out.md", "app/pyproject.toml",
        "cache/CACHEDIR.TAG", "cache/a.md",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "build").mkdir()
    (folder / "build" / "the house we build.md").write_text("an ordinary folder of notes")
    assert sync(store, root) == {
        ("added", "app/pyproject.toml"),
        ("added", "build/the house we build.md"),
    }


def test_own_patterns_hold_below_their_folder_and_deeper_ones_win(
    store: Store, root: Root, folder: Path
) -> None:
    for name in ("drafts/a.md", "keep/b.md", "keep/secret/c.md", "x.txt", "keep/y.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".gitignore").write_text("*.txt\n")
    (folder / ".nightschoolignore").write_text("drafts/\nkeep/secret\n")
    (folder / "keep" / ".nightschoolignore").write_text("!y.txt\n")
    assert sync(store, root) == {("added", "keep/b.md"), ("added", "keep/y.txt")}


def test_a_new_pattern_takes_its_files_out(store: Store, root: Root, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.md").write_text("text")
    (folder / "b.md").write_text("other")
    sync(store, root)
    (folder / "sub" / ".nightschoolignore").write_text("*.md\n")
    assert sync(store, root, only={"sub/.nightschoolignore"}) == {("deleted", "sub/a.md")}
    (folder / ".nightschoolignore").write_text("b.*\n")
    assert sync(store, root, only={".nightschoolignore"}) == {("deleted", "b.md")}


def test_only_the_named_paths_are_compared(store: Store, root: Root, folder: Path) -> None:
    for name in ("a.md", "b.md", "sub/c.md", "sub/d.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    assert sync(store, root, only={"a.md", "sub"}) == {
        ("added", "a.md"),
        ("added", "sub/c.md"),
        ("added", "sub/d.md"),
    }
    (folder / "a.md").unlink()
    (folder / "sub" / "c.md").unlink()
    assert sync(store, root, only={"sub/c.md"}) == {("deleted", "sub/c.md")}
    assert sync(store, root) == {("deleted", "a.md"), ("added", "b.md")}


def test_a_move_is_seen_when_only_the_new_name_is_given(
    store: Store, root: Root, folder: Path
) -> None:
    (folder / "a.md").write_text("text")
    sync(store, root)
    (folder / "a.md").rename(folder / "b.md")
    assert sync(store, root, only={"b.md"}) == {("moved", "b.md")}


def test_a_root_inside_a_root_is_left_to_itself(store: Store, root: Root, folder: Path) -> None:
    inner = folder / "private"
    inner.mkdir()
    (inner / "a.md").write_text("search only")
    (folder / "b.md").write_text("learn")
    second = documents.add_root(store, str(inner), learn=False)
    assert sync(store, root) == {("added", "b.md")}
    assert sync(store, root, only={"private/a.md"}) == set()
    assert sync(store, second) == {("added", "a.md")}


def test_our_own_home_is_never_read(tmp_path: Path) -> None:
    store = open_store(tmp_path / "home" / "nightschool.db")
    (tmp_path / "home" / "notes.md").write_text("ours")
    (tmp_path / "a.md").write_text("theirs")
    assert sync(store, documents.add_root(store, str(tmp_path))) == {("added", "a.md")}


@posix_only
def test_links_are_listed_and_not_followed(store: Store, root: Root, folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text("not ours")
    (folder / "a.md").write_text("text")
    (folder / "out.md").symlink_to(outside / "secret.md")
    (folder / "in.md").symlink_to(folder / "a.md")
    (folder / "tree").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "self.md").symlink_to(folder / "self.md")
    sync(store, root)
    reasons = {path: item.reason for path, item in documents.known(store, root.id).items()}
    assert reasons == {
        "a.md": "",
        "out.md": "symbolic link that leads out of the folder",
        "tree": "symbolic link that leads out of the folder",
        "in.md": "symbolic link: what it points to is listed under its own name",
        "loop": "symbolic link: what it points to is listed under its own name",
        "self.md": "symbolic link that leads nowhere or in a circle",
    }


@posix_only
def test_pipes_and_sockets_are_skipped_with_a_reason(
    store: Store, root: Root, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "pipe.md")
    monkeypatch.chdir(folder)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("door.txt")
        sync(store, root)
    reasons = {path: item.reason for path, item in documents.known(store, root.id).items()}
    assert reasons == {
        "pipe.md": "not a regular file (named pipe)",
        "door.txt": "not a regular file (socket)",
    }


def test_key_files_and_huge_files_are_named_and_not_read(
    store: Store, root: Root, folder: Path
) -> None:
    (folder / "server.pem").write_text("-----BEGIN")
    (folder / "id_rsa").write_text("-----BEGIN")
    with (folder / "huge.txt").open("wb") as stream:
        stream.truncate(200_000_000)
    sync(store, root)
    reasons = {path: item.reason for path, item in documents.known(store, root.id).items()}
    assert reasons == {
        "server.pem": "key or credential file: never read",
        "id_rsa": "key or credential file: never read",
        "huge.txt": "larger than 50 MB",
    }
    assert sync(store, root) == set()
    assert [item.path for item in reconcile(store, root, Files(max_bytes=300_000_000))] == [
        "huge.txt"
    ]


@posix_only
def test_names_of_any_encoding_are_stored_and_found_again(
    store: Store, root: Root, folder: Path
) -> None:
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.md")).write_text("latin-1 name")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (folder / "cafe\u0301.md").write_text("decomposed name")
    assert sync(store, root) == {("added", "caf\\xe9.md"), ("added", "caf\u00e9.md")}
    assert sync(store, root) == set()
    found = resolve(folder, "caf\\xe9.md")
    assert found is not None and found.read_text() == "latin-1 name"
    assert sync(store, root, only={"caf\u00e9.md"}) == set()


def test_a_stored_path_cannot_lead_out_of_the_root(folder: Path) -> None:
    (folder.parent / "secret.md").write_text("x")
    for key in ("../secret.md", "/etc/passwd", "a//b", ".", "", "sub/../../secret.md"):
        assert resolve(folder, key) is None


def test_portable_names_are_composed() -> None:
    assert portable("u\u0308ber.md") == "\u00fcber.md"
    assert portable("plain.md") == "plain.md"
