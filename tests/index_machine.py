"""Anything that may happen to a folder, in any order; afterwards the index is the disk.

A hypothesis state machine over a real folder, a real store and the real parsers. What should be in
the index is worked out anew from the disk, by rules of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from flat_embedder import Flat
from nightschool.config import Config
from nightschool.errors import ParseError
from nightschool.ingest.reading import read
from nightschool.ingest.sandbox import Sandbox
from nightschool.intake import run_intake
from nightschool.paths import Home
from nightschool.records import FileStatus
from nightschool.sources.files import portable
from nightschool.store import documents, fulltext, vectors
from nightschool.store.db import open_store

FOLDERS = ("", "sub/", "sub/deep/", "Other/", "private/")
FILES = (
    "a.md", "A.md", "b.txt", "c.csv", "d.py", "ü.md", "u\u0308.md", "\udcff.md", "photo.jpg",
    "notes.skip", ".hidden.md", "<b onclick=x>.md", "#draft.md#", f"{'long' * 50}.md",
)  # fmt: skip
PATHS = st.builds(str.__add__, st.sampled_from(FOLDERS), st.sampled_from(FILES))
WORDS = st.lists(st.sampled_from(("mill", "heron", "kettle", "otter", "plum", "weir")), max_size=9)
SAME_SIZE = {"mill": "weir", "weir": "plum", "plum": "mill", "heron": "otter", "otter": "heron"}
TREES = st.sampled_from(("sub", "sub/deep", "Other", "private", "new", "Sub"))
PATTERNS = {"*.skip": ("notes.skip",), "private/": ("private",)}
"""Lines of `.nightschoolignore` and the names that they pass over."""


class Machine(RuleBasedStateMachine):
    """One folder and its index. `sandbox` is set once for all runs; `steps` counts."""

    sandbox: Sandbox
    steps = 0
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        Machine.runs += 1
        self.place = Path(tempfile.mkdtemp(prefix="index"))
        self.folder = self.place / "notes"
        self.folder.mkdir()
        self.home = Home(self.place / "home").create()
        self.store = open_store(self.home.database)
        self.root = documents.add_root(self.store, str(self.folder))
        self.dirty: set[str] = set()
        self.clock = 1_000_000

    @initialize(path=PATHS, words=WORDS)
    def begin(self, path: str, words: list[str]) -> None:
        self.write(path, words)
        self.take_in()

    # -- what people and programs do ------------------------------------------------------------

    @rule(path=PATHS, words=WORDS)
    def write(self, path: str, words: list[str]) -> None:
        file = self._at(path)
        if self._room(file):
            file.write_text(" ".join(words))

    @rule(path=PATHS, words=WORDS)
    def append(self, path: str, words: list[str]) -> None:
        file = self._existing(path)
        if file.is_file() and not file.is_symlink():
            with file.open("a") as stream:
                stream.write("\n" + " ".join(words))

    @rule(path=PATHS)
    def edit_without_changing_the_size(self, path: str) -> None:
        file = self._existing(path)
        if file.is_file() and not file.is_symlink():
            words = file.read_text().split(" ")
            file.write_text(" ".join(SAME_SIZE.get(word, word) for word in words))

    @rule(path=PATHS, words=WORDS)
    def save_atomically(self, path: str, words: list[str]) -> None:
        file = self._at(path)
        if self._room(file):
            other = file.with_name(".tmp-save")
            other.write_text(" ".join(words))
            other.replace(file)

    @rule(path=PATHS, words=WORDS)
    def save_like_vim(self, path: str, words: list[str]) -> None:
        file = self._existing(path)
        if file.is_file() and not file.is_symlink() and len(file.name) < 200:
            backup = file.with_name(f"{file.name}~")
            file.rename(backup)
            file.write_text(" ".join(words))
            backup.unlink()

    @rule(path=PATHS, goal=PATHS, copy=st.booleans())
    def move_or_copy(self, path: str, goal: str, copy: bool) -> None:
        old, new = self._existing(path), self._at(goal)
        if old.is_file() and not old.is_symlink() and self._room(new) and old != new:
            if copy:
                shutil.copy2(old, new)
            else:
                old.replace(new)

    @rule(path=PATHS)
    def rename_case(self, path: str) -> None:
        old = self._existing(path)
        new = old.with_name(old.name.swapcase())
        if old.is_file() and not old.is_symlink() and not os.path.lexists(new):
            old.rename(new)

    @rule(old=TREES, new=TREES)
    def move_tree(self, old: str, new: str) -> None:
        source, target = self.folder / old, self.folder / new
        inside = f"{new}/".startswith(f"{old}/")
        if source.is_dir() and not inside and not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            self.dirty |= {old, new}

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        file = self._existing(path)
        if os.path.lexists(file) and not file.is_dir():
            file.unlink()

    @rule(tree=TREES)
    def delete_tree(self, tree: str) -> None:
        self.dirty.add(tree)
        shutil.rmtree(self.folder / tree, ignore_errors=True)

    @rule(path=PATHS)
    def touch_back_in_time(self, path: str) -> None:
        file = self._existing(path)
        if file.is_file() and not file.is_symlink():
            self.clock += 7
            os.utime(file, (self.clock, self.clock))

    @rule(path=PATHS, readable=st.booleans())
    def flip_permission(self, path: str, readable: bool) -> None:
        file = self._existing(path)
        if file.is_file() and not file.is_symlink():
            file.chmod(0o644 if readable else 0)

    @rule(path=PATHS, goal=st.sampled_from(("a.md", "sub", "../home", "nowhere", "/dev/zero")))
    def link(self, path: str, goal: str) -> None:
        file = self._at(path)
        if self._room(file) and not os.path.lexists(file):
            file.symlink_to(goal)

    @rule(path=PATHS)
    def pipe(self, path: str) -> None:
        file = self._at(path)
        if self._room(file) and not os.path.lexists(file):
            os.mkfifo(file)

    @rule(lines=st.sets(st.sampled_from(sorted(PATTERNS))))
    def set_patterns(self, lines: set[str]) -> None:
        file = self._at(".nightschoolignore")
        if lines:
            file.write_text("".join(f"{line}\n" for line in sorted(lines)))
        else:
            file.unlink(missing_ok=True)

    # -- what Nightschool sees of it ------------------------------------------------------------

    @rule(seen=st.randoms(use_true_random=False), share=st.sampled_from((0.0, 0.5, 1.0)))
    def take_in_what_events_told(self, seen: object, share: float) -> None:
        """Some events are lost, and nobody knows which."""
        told = {key for key in sorted(self.dirty) if seen.random() <= share}  # type: ignore[attr-defined]
        self.dirty.clear()
        if told:
            self._intake(told)

    @rule()
    def take_in(self) -> None:
        self.dirty.clear()
        self._intake(None)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = open_store(self.home.database)

    @precondition(lambda self: self.folder.is_dir())
    @rule(empty=st.booleans())
    def unmount_and_mount_again(self, empty: bool) -> None:
        """A root that vanished, or an empty mount point in its place, is no deletion."""
        before = {item.path: item.sha256 for item in documents.documents(self.store)}
        away = self.place / "away"
        self.folder.rename(away)
        if empty:
            self.folder.mkdir()
        report = run_intake(self.home, self.store, Config(), embedder=Flat(), sandbox=self.sandbox)
        assert report.deleted == 0
        assert {item.path: item.sha256 for item in documents.documents(self.store)} == before
        if empty:
            self.folder.rmdir()
        away.rename(self.folder)

    # -- and the truth --------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self._intake(None)
            self._intake(None)
            self.check()
        finally:
            self.store.close()
            shutil.rmtree(self.place, ignore_errors=True)

    def check(self) -> None:
        """Index = disk: the same files, the same content, nothing left over anywhere."""
        found = {item.path: item for item in documents.documents(self.store)}
        there = dict(self._on_disk())
        assert set(found) == set(there), set(found) ^ set(there)
        passages: set[int] = set()
        for path, file in there.items():
            item = found[path]
            chunks = documents.chunks_of(self.store, item.id)
            passages |= {chunk.id for chunk in chunks}
            expected = self._read(path, file)
            if expected is None:
                assert item.status is FileStatus.SKIPPED and item.reason and not chunks, item
                continue
            data = file.read_bytes()
            assert item.status is FileStatus.INDEXED, item
            assert item.sha256 == hashlib.sha256(data).hexdigest()
            assert [chunk.text for chunk in chunks] == expected
            assert {chunk.locator.path for chunk in chunks} <= {path}
            assert (item.size, item.mtime_ns) == (file.stat().st_size, file.stat().st_mtime_ns)
        assert set(vectors.ids(self.store, Flat.name)) == passages
        assert self.store.one("SELECT count(*) FROM chunk") == len(passages)
        for word in ("mill", "weir"):
            hits = {number for number, _ in fulltext.match(self.store, word, 10_000)}
            texts = documents.chunks(self.store, passages).values()
            assert hits == {chunk.id for chunk in texts if word in chunk.text.split()}
        assert self.store.one("PRAGMA integrity_check") == "ok"

    def _on_disk(self) -> list[tuple[str, Path]]:
        """`(stored path, file)` of all that ought to be known, by rules of our own."""
        patterns = self.folder / ".nightschoolignore"
        own = patterns.is_file() and not patterns.is_symlink()  # a link's lines are not obeyed
        lines = patterns.read_text().split() if own else []
        ignored = {name for line in lines for name in PATTERNS.get(line, ())}
        made: dict[str, Path] = {}
        for folder, folders, files in os.walk(self.folder):
            here = Path(folder)
            folders[:] = [name for name in folders if name not in ignored]
            links = [name for name in folders if (here / name).is_symlink()]
            for name in sorted((*files, *links), key=lambda name: (portable(name) != name, name)):
                dropped = name.startswith(".") or (name.startswith("#") and name.endswith("#"))
                if dropped or name in ignored:
                    continue
                inside = (here / name).relative_to(self.folder)
                key = "/".join(portable(part) for part in inside.parts)
                made.setdefault(key, here / name)  # of two names with one form, the plain one
        return sorted(made.items())

    def _read(self, path: str, file: Path) -> list[str] | None:
        """The texts of a file's passages, or None for one that is to be skipped."""
        if not stat.S_ISREG(file.lstat().st_mode) or not os.access(file, os.R_OK):
            return None
        try:
            return [chunk.text for chunk in read(file.read_bytes(), path).chunks]
        except ParseError:
            return None

    def _intake(self, only: set[str] | None) -> None:
        run_intake(
            self.home, self.store, Config(), roots=[self.root], only=only, embedder=Flat(),
            sandbox=self.sandbox,
        )  # fmt: skip

    def _at(self, path: str) -> Path:
        Machine.steps += 1
        self.dirty.add("/".join(portable(part) for part in path.split("/")))
        return self.folder / path

    def _existing(self, path: str) -> Path:
        """A file that is there, chosen by `path`; `path` itself when it is, or when none is."""
        there = sorted(
            Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names
        )
        if not there or os.path.lexists(self.folder / path):
            return self._at(path)
        chosen = there[sum(map(ord, path)) % len(there)]
        return self._at(chosen.relative_to(self.folder).as_posix())

    def _room(self, file: Path) -> bool:
        """Whether a file may be written there; its folder is made when it can be."""
        parents = [parent for parent in file.parents if parent.is_relative_to(self.folder)]
        if any(os.path.lexists(one) and (one.is_symlink() or not one.is_dir()) for one in parents):
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        return not os.path.lexists(file) or (file.is_file() and not file.is_symlink())
