"""A home goes to another computer whole, or not at all."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from command import nightschool
from durable import made, ops
from durable.made import Place
from nightschool.errors import Refused, UsageError
from nightschool.paths import Home
from nightschool.registry import archive, moving, versions
from nightschool.store import documents
from nightschool.store.db import open_store


def exported(place: Place) -> Path:
    ops.export(place)
    return place.root / "out.tar"


def test_export_and_import_carry_everything_to_another_home(place: Place, tmp_path: Path) -> None:
    before = ops.known("export", place)
    second = Home(tmp_path / "second").create()
    done = moving.take_in(second, exported(place), mapped={str(tmp_path): "/elsewhere"})
    assert done.versions == 2
    store = made.recover(second)
    after = made.facts(second, store)
    assert {key: after[key] for key in after if key != "roots"} == {
        key: before[key] for key in before if key != "roots"
    }
    assert made.broken(second, store) == ""
    assert {root.path for root in documents.roots(store)} == {
        "/elsewhere/place/watched", str(second.notes),
    }  # fmt: skip
    assert done.missing == ("/elsewhere/place/watched",)
    assert second.config.read_text() == place.home.config.read_text()
    assert not second.token.exists()


def test_a_folder_that_is_not_on_the_new_computer_is_no_deletion(
    place: Place, tmp_path: Path
) -> None:
    file = exported(place)
    second = Place(tmp_path / "second")
    moving.take_in(second.home.create(), file, mapped={str(place.folder): str(second.folder)})
    for _ in range(2):
        report = made.intake(second)
        assert report.problems
        assert report.deleted == 0
        second.folder.mkdir(exist_ok=True)  # an empty folder in its place is no deletion either
    store = open_store(second.home.database)
    assert {item.path for item in documents.documents(store)} >= set(made.FILES)


def test_a_home_in_use_is_replaced_only_by_force_and_moves_aside(
    place: Place, tmp_path: Path
) -> None:
    file = exported(place)
    other = made.make(tmp_path / "other")
    mine = other.home.database.read_bytes()
    with pytest.raises(Refused, match="not empty"):
        moving.take_in(other.home, file)
    assert other.home.database.read_bytes() == mine
    done = moving.take_in(other.home, file, force=True)
    assert Path(done.before, "nightschool.db").read_bytes() == mine
    assert Path(done.before, "versions", "v2", versions.ADAPTER).exists()


Members = list[tuple[str, bytes]]
Change = Callable[[Members], None]


def hostile(source: Path, target: Path, change: Change) -> Path:
    """The same archive with other members; its list is left as it was unless `change` mends it."""
    with tarfile.open(source) as tar:
        members = [(item.name, tar.extractfile(item).read()) for item in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(target, "w") as tar:
        for name, body in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            if body == b"LINK":
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(entry, io.BytesIO(body))
    return target


def listing(change: Callable[[dict[str, object]], None]) -> Change:
    def changed(members: Members) -> None:
        told = json.loads(members[0][1])
        change(told)
        members[0] = (members[0][0], json.dumps(told).encode())

    return changed


def named(name: str) -> Change:
    """A member under a bad name, which the list names too."""

    def changed(members: Members) -> None:
        told = json.loads(members[0][1])
        item = next(item for item in told["files"] if item["name"] == "config.toml")
        item["name"] = name
        body = dict(members)["config.toml"]
        members[:] = [(n if n != "config.toml" else name, b) for n, b in members]
        assert (name, body) in members
        members[0] = (members[0][0], json.dumps(told).encode())

    return changed


BAD: dict[str, Change] = {
    "an absolute path": named("/tmp/nightschool-evil"),
    "a path that climbs": named("versions/../../evil"),
    "a file of no business": named("token"),
    "a link": lambda members: members.insert(2, ("notes/link", b"LINK")),
    "a file that is not listed": lambda members: members.append(("notes/extra.md", b"x")),
    "a file twice": lambda members: members.append(members[-1]),
    "a missing file": lambda members: members.pop(),
    "a longer file": lambda members: members.__setitem__(-1, (members[-1][0], b"y" * 9999)),
    "another content": lambda members: members.__setitem__(
        1, (members[1][0], bytes(len(members[1][1])))
    ),
    "a newer schema": listing(lambda told: told.update(schema=999)),
    "a newer format": listing(lambda told: told.update(format=2)),
    "a list that is none": listing(lambda told: told.update(files="x")),
    "no list": lambda members: members.pop(0),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_a_hostile_archive_is_refused_and_changes_nothing(
    place: Place, tmp_path: Path, what: str
) -> None:
    bad = hostile(exported(place), tmp_path / "bad.tar", BAD[what])
    second = Home(tmp_path / "second").create()
    before = sorted(path.name for path in second.root.rglob("*"))
    with pytest.raises(Refused):
        moving.take_in(second, bad)
    assert sorted(path.name for path in second.root.rglob("*")) == before
    assert not Path("/tmp/nightschool-evil").exists()


@pytest.mark.parametrize("cut", [0, 10, 700, 5000])
def test_an_archive_that_is_cut_off_is_refused(place: Place, tmp_path: Path, cut: int) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(exported(place).read_bytes()[:cut])
    second = Home(tmp_path / "second").create()
    with pytest.raises(Refused):
        moving.take_in(second, bad)
    assert not second.database.exists()


def test_export_does_not_replace_a_file_and_import_names_a_missing_one(
    place: Place, tmp_path: Path
) -> None:
    store = open_store(place.home.database)
    target = tmp_path / "mine.tar"
    target.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        archive.export(place.home, store, target)
    assert target.read_text() == "mine"
    with pytest.raises(UsageError, match="cannot be read"):
        moving.take_in(Home(tmp_path / "second").create(), tmp_path / "none.tar")


def test_a_sealed_export_opens_with_its_passphrase_alone(place: Place, tmp_path: Path) -> None:
    store = open_store(place.home.database)
    file = tmp_path / "sealed.tar"
    with pytest.raises(Refused, match="fewer than 8"):
        archive.export(place.home, store, file, passphrase="short")
    assert not file.exists()
    archive.export(place.home, store, file, passphrase="four words are long enough")
    assert b"boiler" not in file.read_bytes()
    second = Home(tmp_path / "second").create()
    with pytest.raises(Refused, match="not the passphrase"):
        moving.take_in(second, file, passphrase="four words are not enough")
    assert not second.database.exists()
    assert moving.take_in(second, file, passphrase="four words are long enough").versions == 2


def test_the_command_exports_and_imports(tmp_path: Path) -> None:
    file = tmp_path / "school.tar"
    assert nightschool(tmp_path / "one", "export", str(file)).code == 0
    said = nightschool(tmp_path / "two", "import", str(file), "--map", "/a=/b")
    assert said.code == 0, said.error
    assert nightschool(tmp_path / "two", "import", str(file), "--map", "ab").code == 2
