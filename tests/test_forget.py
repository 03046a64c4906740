"""What is deleted is gone everywhere: search, practice, versions, nights under way, the disk."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightschool.clock import FakeClock
from nightschool.config import Config, Forget
from nightschool.errors import Forgotten, NotFound, Refused, SourceError
from nightschool.index import lexical
from nightschool.intake import run_intake
from nightschool.paths import Home
from nightschool.records import Document, Outcome, Pair, PairKind, Plan, Receipt, Root, Split
from nightschool.registry import erase, forget, pointer, versions
from nightschool.store import documents, pairs, receipts, runs, schedule
from nightschool.store import versions as rows
from nightschool.store.db import Store, open_store

BASE = "b" * 64
GRACE = Forget(grace_s=3600)


class NoEmbedder:
    """Vectors are not what these tests are about; making them would cost most of their time."""

    name = "none"
    dim = 4

    def embed(self, texts: object) -> object:
        import numpy as np

        found = np.zeros((len(list(texts)), 4), dtype=np.float32)  # type: ignore[call-overload]
        found[:, 0] = 1.0
        return found

    def close(self) -> None: ...


@dataclass
class School:
    """One home with one watched folder, and short ways to live a file's life."""

    home: Home
    store: Store
    root: Root
    folder: Path
    config: Config = field(default_factory=Config)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def sync(self) -> None:
        run_intake(self.home, self.store, self.config, embedder=NoEmbedder())

    def doc(self, name: str) -> Document:
        found = documents.by_path(self.store, self.root.id, name)
        assert found is not None, name
        return found

    def pair(self, name: str) -> None:
        """Write one practice pair on a file's first passage."""
        item = self.doc(name)
        chunk = documents.chunks_of(self.store, item.id)[0]
        word = chunk.safe.split()[-1].strip(".")
        made = Pair(
            PairKind.CLOSED, f"What is in {name}?", word, word, name, 0, Split.TRAIN, (chunk.id,)
        )
        pairs.replace(self.store, item.id, [made])

    def night(self, *names: str, shown: tuple[str, ...] = ()) -> int:
        """A night under way that practises these files, and shows passages of others."""
        run = runs.start(self.store, Plan(), BASE, parent=0)
        counts = {self.doc(name).id: 0 for name in shown} | {self.doc(n).id: 1 for n in names}
        runs.record_documents(self.store, run, counts)
        folder = self.home.runs / str(run) / "checkpoint"
        folder.mkdir(parents=True)
        (folder / "adapter.safetensors").write_bytes(b"weights of a night")
        return run

    def learned(self, *names: str, shown: tuple[str, ...] = (), status: str = "promoted") -> int:
        """A version from a night that practised these files."""
        run = self.night(*names, shown=shown)
        folder = self.home.runs / str(run) / "candidate"
        folder.mkdir()
        (folder / "adapter.gguf").write_bytes(f"adapter {run}".encode())
        outcome = Outcome.PROMOTED if status == "promoted" else Outcome.HELD
        runs.finish(self.store, run, outcome)
        version = versions.register(
            self.home, self.store, folder, base_sha=BASE, status=status, scale=1.0, run_id=run
        )
        if status == "promoted":
            versions.promote(self.home, self.store, version)
        return version.number

    @property
    def served(self) -> int:
        return pointer.read(self.home).version

    def status(self, number: int) -> str:
        found = rows.version(self.store, number)
        assert found is not None
        return found.status

    def found(self, word: str) -> bool:
        return bool(lexical.search(self.store, word, 10))

    def newest(self) -> Receipt:
        return receipts.receipts(self.store, 1)[0]


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    home = Home(tmp_path / "home").create()
    store = open_store(home.database)
    folder = tmp_path / "notes"
    folder.mkdir()
    made = School(home, store, documents.add_root(store, str(folder)), folder)
    made.write("keep.md", "# Keep\n\nThe harbour opens at seven.\n")
    made.write("go.md", "# Go\n\nThe password of the shed is zanzibar.\n")
    made.sync()
    yield made
    store.close()


def test_a_deleted_file_leaves_search_and_practice_and_its_version_is_blocked(
    school: School,
) -> None:
    school.pair("go.md")
    number = school.learned("keep.md", "go.md")
    (school.folder / "go.md").unlink()
    school.sync()
    assert not school.found("zanzibar")
    assert school.found("harbour")
    assert pairs.counts(school.store)["documents"] == 0
    assert school.status(number) == "blocked"
    assert school.served == 0
    with pytest.raises(Refused, match="blocked"):
        versions.use(school.home, school.store, number)


def test_the_newest_clean_version_takes_over(school: School) -> None:
    clean = school.learned("keep.md")
    later = school.learned("keep.md", "go.md")
    held = school.learned("go.md", status="held")
    (school.folder / "go.md").unlink()
    school.sync()
    assert school.served == clean
    assert school.status(clean) == "promoted"
    assert (school.status(later), school.status(held)) == ("blocked", "blocked")
    receipt = school.newest()
    assert (receipt.served_before, receipt.served_after) == (later, clean)
    assert {item.number for item in receipt.versions} == {later, held}


def test_a_passage_that_was_only_shown_taints_too(school: School) -> None:
    number = school.learned("keep.md", shown=("go.md",))
    (school.folder / "go.md").unlink()
    school.sync()
    assert school.status(number) == "blocked"
    assert school.doc("keep.md").learned_in == (number,)


def test_a_version_that_never_saw_the_file_stays(school: School) -> None:
    number = school.learned("keep.md")
    (school.folder / "go.md").unlink()
    school.sync()
    assert school.served == number
    assert not school.newest().versions
    assert not school.newest().relearn


def test_the_receipt_says_what_when_which_versions_and_carries_hashes(school: School) -> None:
    school.pair("go.md")
    sha = school.doc("go.md").sha256
    number = school.learned("go.md")
    adapter = versions.sha256(school.home.versions / f"v{number}" / "adapter.gguf")
    (school.folder / "go.md").unlink()
    school.sync()
    receipt = school.newest()
    (item,) = receipt.files
    assert (receipt.kind, item.path, item.sha256) == ("deleted", "go.md", sha)
    assert (item.passages, item.pairs) == (1, 1)
    assert [(v.number, v.status, v.sha256) for v in receipt.versions] == [
        (number, "promoted", adapter)
    ]
    assert receipt.at and receipt.grace_until > receipt.at
    assert receipt.relearn
    again = receipts.receipt(school.store, receipt.id)
    assert again == receipt and len(receipt.sha256) == 64


def test_a_night_that_practises_the_file_is_ended(school: School) -> None:
    run = school.night("keep.md", "go.md")
    check, report = forget.watching(
        school.store, run, lambda: None, lambda stage, done, total: None
    )
    check()
    forget.asked(school.home, school.store, [school.doc("go.md").id], "go.md", GRACE)
    found = runs.run(school.store, run)
    assert found is not None and found.outcome is Outcome.FORGOTTEN
    assert runs.unfinished(school.store) is None
    check, report = forget.watching(
        school.store, run, lambda: None, lambda stage, done, total: None
    )
    for step in (check, lambda: report("exams", 0, 1)):
        with pytest.raises(Forgotten):
            step()
    assert school.newest().nights == (run,)


def test_a_version_registered_in_the_very_moment_is_blocked(school: School) -> None:
    run = school.night("go.md")
    forget.asked(school.home, school.store, [school.doc("go.md").id], "go.md", GRACE)
    folder = school.home.runs / str(run) / "candidate"
    folder.mkdir()
    (folder / "adapter.gguf").write_bytes(b"late")
    late = versions.register(
        school.home, school.store, folder, base_sha=BASE, status="promoted", scale=1.0, run_id=run
    )
    with pytest.raises(Forgotten):
        forget.allow(school.store, run, late.number)
    assert school.status(late.number) == "blocked"
    assert erase.vacuum(school.home, school.store, now=True).versions == [late.number]
    assert not list(school.home.versions.iterdir())


def test_a_night_is_not_opened_on_a_file_that_went_while_it_was_planned(school: School) -> None:
    number = school.doc("go.md").id
    forget.asked(school.home, school.store, [number], "go.md", GRACE)
    run = runs.start(school.store, Plan(), BASE, parent=0)
    with pytest.raises(Forgotten, match="being planned"):
        runs.record_documents(school.store, run, {number: 1})


def test_pairs_written_while_the_file_was_forgotten_are_not_kept(school: School) -> None:
    item = school.doc("go.md")
    chunk = documents.chunks_of(school.store, item.id)[0]
    made = Pair(PairKind.CLOSED, "?", "x", "x", "f", 0, Split.TRAIN, (chunk.id,))
    forget.asked(school.home, school.store, [item.id], "go.md", GRACE)
    pairs.replace(school.store, item.id, [made])
    assert not pairs.all_pairs(school.store)


def test_a_night_is_owed_until_one_that_began_later_comes_to_its_verdict(school: School) -> None:
    school.learned("go.md")
    before = school.night("keep.md")
    (school.folder / "go.md").unlink()
    school.sync()
    assert schedule.material(school.store).relearn_since
    receipts.relearned(school.store, "2000-01-01T00:00:00+00:00")
    assert forget.relearn_wanted(school.store)
    assert before
    after = runs.start(
        school.store, Plan(), BASE, parent=0, clock=FakeClock(datetime.now(UTC) + timedelta(1))
    )
    forget.relearned(school.store, after)
    assert not forget.relearn_wanted(school.store)
    assert not schedule.material(school.store).relearn_since


def test_a_moved_file_is_not_forgotten_and_its_deletion_still_reaches_the_version(
    school: School,
) -> None:
    number = school.learned("go.md")
    (school.folder / "sub").mkdir()
    (school.folder / "go.md").rename(school.folder / "sub" / "other.md")
    school.sync()
    assert school.served == number
    assert not receipts.receipts(school.store)
    school.write("sub/other.md", "# Go\n\nNow it says something else.\n")
    school.sync()
    assert school.served == number, "an edit alone waits for the next night"
    (school.folder / "sub" / "other.md").unlink()
    school.sync()
    assert school.status(number) == "blocked"


def test_a_file_moved_over_another_one_is_not_forgotten(school: School) -> None:
    text = (school.folder / "go.md").read_text()
    school.write("old.md", "x" * len(text))
    school.sync()
    number = school.learned("go.md")
    (school.folder / "go.md").replace(school.folder / "old.md")
    school.sync()
    assert school.found("zanzibar")
    assert school.served == number
    (school.folder / "old.md").unlink()
    school.sync()
    assert school.status(number) == "blocked"


def test_deleting_one_of_two_copies_keeps_the_other_and_the_version(school: School) -> None:
    shutil.copy(school.folder / "go.md", school.folder / "copy.md")
    school.sync()
    number = school.learned("go.md")
    (school.folder / "go.md").unlink()
    school.sync()
    assert school.found("zanzibar")
    assert school.served == number
    assert school.newest().files[0].copies == (f"{school.folder}/copy.md",)
    school.write("copy.md", "# Go\n\nEdited since.\n")
    school.sync()
    (school.folder / "copy.md").unlink()
    school.sync()
    assert school.status(number) == "blocked"


def test_an_edit_blocks_at_once_where_the_settings_say_so(school: School) -> None:
    number = school.learned("go.md")
    school.config = replace(Config(), forget=Forget(edits="block"))
    school.write("go.md", "# Go\n\nThe password was changed to lisbon.\n")
    school.sync()
    assert not school.found("zanzibar") and school.found("lisbon")
    assert school.status(number) == "blocked"
    assert school.newest().kind == "edited"
    fresh = school.learned("go.md")
    school.sync()
    assert school.served == fresh


def test_a_vanished_root_is_never_a_deletion(school: School) -> None:
    number = school.learned("go.md")
    school.folder.rename(school.folder.with_name("away"))
    with pytest.raises(SourceError):
        run_intake(school.home, school.store, Config(), roots=[school.root], embedder=NoEmbedder())
    assert school.served == number and school.found("zanzibar")
    assert not receipts.receipts(school.store)


def test_a_forgotten_file_stays_away_though_it_lies_there_edited_or_copied(school: School) -> None:
    receipt = forget.asked(school.home, school.store, [school.doc("go.md").id], "go.md", GRACE)
    shutil.copy(school.folder / "go.md", school.folder / "copy.md")
    school.sync()
    assert not school.found("zanzibar")
    school.write("go.md", "# Go\n\nzanzibar, once more.\n")
    school.sync()
    assert not school.found("zanzibar")
    for name in ("go.md", "copy.md"):
        item = school.doc(name)
        assert item.status == "skipped" and f"receipt {receipt.id}" in item.reason


def test_a_new_file_may_take_the_name_of_a_forgotten_one_that_was_deleted(school: School) -> None:
    forget.asked(school.home, school.store, [school.doc("go.md").id], "go.md", GRACE)
    (school.folder / "go.md").unlink()
    school.sync()
    school.write("go.md", "# Go\n\nA new beginning in lisbon.\n")
    school.sync()
    assert school.found("lisbon")


def test_undo_within_the_grace_brings_back_file_and_version(school: School) -> None:
    number = school.learned("go.md")
    receipt = forget.asked(school.home, school.store, [school.doc("go.md").id], "go.md", GRACE)
    school.sync()
    assert school.served == 0
    undone = forget.undo(school.home, school.store, receipt.id)
    assert undone.undone_at
    assert school.served == number
    assert not forget.relearn_wanted(school.store)
    school.sync()
    assert school.found("zanzibar")
    assert forget.undo(school.home, school.store, receipt.id) == undone


def test_undo_after_the_grace_is_refused(school: School) -> None:
    clock = FakeClock(datetime.now(UTC))
    number = school.doc("go.md").id
    receipt = forget.asked(school.home, school.store, [number], "go.md", GRACE, clock=clock)
    clock.at += timedelta(hours=2)
    with pytest.raises(Refused, match="over"):
        forget.undo(school.home, school.store, receipt.id, clock=clock)
    none = Forget(grace_s=0)
    keep = forget.asked(school.home, school.store, [school.doc("keep.md").id], "keep.md", none)
    assert keep.grace_until == ""
    with pytest.raises(Refused, match="over"):
        forget.undo(school.home, school.store, keep.id)
    with pytest.raises(NotFound):
        forget.undo(school.home, school.store, 999)


def test_a_file_deleted_by_accident_that_comes_back_frees_its_version(school: School) -> None:
    number = school.learned("go.md", "keep.md")
    text = (school.folder / "go.md").read_text()
    (school.folder / "go.md").unlink()
    school.sync()
    assert school.served == 0
    school.write("restored.md", text)
    school.sync()
    assert school.served == number
    assert school.newest().undone_at
    (school.folder / "restored.md").unlink()
    school.sync()
    assert school.status(number) == "blocked"


def test_one_of_two_deleted_files_coming_back_is_not_enough(school: School) -> None:
    number = school.learned("go.md", "keep.md")
    text = (school.folder / "go.md").read_text()
    (school.folder / "go.md").unlink()
    (school.folder / "keep.md").unlink()
    school.sync()
    assert len(school.newest().files) == 2
    school.write("go.md", text)
    school.sync()
    assert school.status(number) == "blocked"
    assert not school.newest().undone_at


def test_a_skipped_file_is_deleted_without_a_receipt(school: School) -> None:
    school.write("photo.xyz", "binary")
    school.sync()
    (school.folder / "photo.xyz").unlink()
    school.sync()
    assert not receipts.receipts(school.store)
    assert documents.by_path(school.store, school.root.id, "photo.xyz") is None


def test_a_remembered_note_is_deleted_from_the_disk(school: School) -> None:
    own = documents.add_root(school.store, str(school.home.notes))
    note = school.home.notes / "note.md"
    note.write_text("# Note\n\nRemember zebra.\n")
    school.sync()
    item = documents.by_path(school.store, own.id, "note.md")
    assert item is not None
    receipt = forget.asked(school.home, school.store, [item.id], "note.md", GRACE)
    assert receipt.files[0].removed
    assert not note.exists()
    with pytest.raises(Refused, match="deleted from the disk"):
        forget.undo(school.home, school.store, receipt.id)
    note.write_text("# Note\n\nAnother one, giraffe.\n")
    school.sync()
    assert school.found("giraffe")


def test_a_pointer_left_on_a_blocked_version_is_settled(school: School) -> None:
    number = school.learned("go.md")
    rows.set_status(school.store, number, "blocked", "killed in between")
    assert school.served == number
    assert forget.settle(school.home, school.store) == 0
    assert school.served == 0


def bytes_of(home: Home, needle: str) -> list[str]:
    wanted = (needle.encode(), needle.encode("utf-16-le"))
    return [
        str(path.relative_to(home.root))
        for path in home.root.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in wanted)
    ]


def test_vacuum_leaves_no_bytes_and_says_what_it_kept(school: School) -> None:
    nonce = f"q{secrets.token_hex(8)}"
    for n in range(30):  # so that full text has segments to merge
        school.write(f"fill{n}.md", f"# Fill {n}\n\nNothing to see, {secrets.token_hex(40)}.\n")
    school.write("secret.md", f"# {nonce}\n\nThe code is {nonce}.\n")
    school.sync()
    school.pair("secret.md")
    number = school.learned("secret.md")
    (school.home.logs / "intake.log").write_text(f"could not read {nonce}\n")
    shutil.copy(school.home.database, school.home.root / "nightschool.schema1.bak")
    assert bytes_of(school.home, nonce)
    (school.folder / "secret.md").unlink()
    school.sync()
    report = erase.vacuum(school.home, school.store)
    assert bytes_of(school.home, nonce) == []
    assert (school.home.versions / f"v{number}").exists()
    assert any(f"v{number}" in text for text in report.kept)
    report = erase.vacuum(school.home, school.store, now=True)
    assert report.versions == [number] and not report.kept
    assert not (school.home.versions / f"v{number}").exists()
    assert not list(school.home.runs.iterdir())
    receipt = school.newest()
    assert receipt.erased_at and receipt.erased["versions"] == [number]
    assert school.found("harbour") is True
    assert json.dumps(receipt.erased)
    again = erase.vacuum(school.home, school.store, now=True)
    assert not again.versions and not again.receipts
