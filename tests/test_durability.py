"""Nothing that happens to the machine leaves a home in between: the short profile of the bench."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from command import nightschool
from durable import clocks, crash, faults, made, ops, power, rollbacks, rot
from durable.made import Place
from nightschool.config import Forget
from nightschool.errors import NightschoolError, StoreError
from nightschool.registry import forget, pointer, rescue, versions
from nightschool.registry.request import request
from nightschool.store import db, documents, receipts, snapshot
from nightschool.store import versions as rows
from nightschool.store.db import open_store

# -- backups ---------------------------------------------------------------------------------------


def take(place: Place, reason: str = snapshot.DAILY, at: str = "2026") -> snapshot.Backup:
    store = open_store(place.home.database)
    try:
        return snapshot.take(store.db.conn, place.home.backups, reason, at)
    finally:
        store.close()


def test_backups_are_kept_by_number_whatever_their_dates_say(place: Place) -> None:
    for at in ("2099", "1970", "2026", "2038", "2000"):
        take(place, at=at)
    kept = snapshot.listed(place.home.backups)
    assert [item.sequence for item in kept] == [6, 5, 4]
    assert [snapshot.about(item)["at"] for item in kept] == ["2000", "2038", "2026"]


def test_backups_take_a_bounded_part_of_the_disk(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "FLOOR", 0)
    monkeypatch.setattr(snapshot, "BUDGET", 1.5)
    take(place)
    assert len(snapshot.listed(place.home.backups)) == 1


def test_a_damaged_database_is_not_backed_up_and_prunes_nothing(place: Place) -> None:
    store = open_store(place.home.database)
    with place.home.database.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(8 * 4096))
    with pytest.raises(StoreError, match="doctor"):
        snapshot.take(store.db.conn, place.home.backups, snapshot.DAILY, "2026")
    store.close()
    assert [snapshot.problem_of(item) for item in snapshot.listed(place.home.backups)] == [""]
    assert [p.name for p in place.home.backups.glob(".*.tmp*")] == []


def test_an_upgrade_takes_a_backup_first_and_is_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = made.old_schema(tmp_path / "old")

    def fails(database: object) -> None:
        raise StoreError("This step fails.", "")

    real = db.MIGRATIONS
    monkeypatch.setattr(db, "MIGRATIONS", (*real, fails))
    with pytest.raises(StoreError, match="This step fails"):
        open_store(old.home.database)
    monkeypatch.setattr(db, "MIGRATIONS", real)
    assert ops._migrated(old) == ""
    kept = snapshot.listed(old.home.backups)
    assert [(item.reason, snapshot.about(item)["schema"]) for item in kept] == [("upgrade", 3)]
    store = open_store(old.home.database)
    assert {item.path for item in documents.documents(store)} == set(made.FILES)


def test_a_database_that_vanished_is_not_begun_anew_in_silence(place: Place) -> None:
    place.home.database.unlink()
    with pytest.raises(StoreError, match="doctor --repair"):
        open_store(place.home.database)


def test_the_daily_backup_waits_for_a_quiet_moment_and_for_something_new(place: Place) -> None:
    from datetime import timedelta

    from nightschool.daemon.backups import BETWEEN_S, FIRST_S, Backups

    clock, store = made.clock(), open_store(place.home.database)
    daily = Backups(store, place.home.backups, clock)

    def later(seconds: float) -> None:
        clock.at += timedelta(seconds=seconds)
        clock.ticks += seconds

    assert daily.look(idle=True) is None  # the machine has just started
    later(FIRST_S)
    assert daily.look(idle=False) is None
    first = daily.look(idle=True)
    assert first is not None
    assert first.reason == "daily"
    later(BETWEEN_S + 86_400)
    assert daily.look(idle=True) is None  # nothing has changed
    made.night(place.home, store, ["bikes.md"], "third")
    later(BETWEEN_S)
    assert daily.look(idle=True) is not None


# -- doctor ----------------------------------------------------------------------------------------


def test_doctor_is_green_in_a_fresh_home_and_names_and_mends_a_damaged_database(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    assert nightschool(home, "doctor", "--quick").code == 0
    assert nightschool(home, "backup").code == 0
    with (home / "nightschool.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096 * 4))
    said = nightschool(home, "doctor", "--quick", "--json")
    assert said.code == 1
    red = [check for check in said.json["checks"] if not check["ok"]]
    assert [check["name"] for check in red] == ["database", "records"]
    assert red[0]["can_mend"]
    damaged = (home / "nightschool.db").read_bytes()
    mended = nightschool(home, "doctor", "--quick", "--repair")
    assert mended.code == 0, mended.out
    assert "Restored from backup 1" in mended.out
    assert "Lost is" in mended.out
    assert (home / "quarantine" / "000001" / "nightschool.db").read_bytes() == damaged
    assert nightschool(home, "doctor", "--quick").code == 0


def test_a_damaged_version_is_said_and_the_last_good_one_served(place: Place) -> None:
    file = place.home.versions / "v2" / versions.ADAPTER
    file.write_bytes(file.read_bytes()[:-1])
    red = {check.name: check.found for check in rot.look(place) if not check.ok}
    assert set(red) == {"version files", "served version"}
    assert "version 2" in red["version files"]
    rot.look(place, repair=True)
    assert [check for check in rot.look(place) if not check.ok] == []
    assert pointer.read(place.home).version == 1
    assert (place.home.quarantine / "000001" / "v2" / versions.ADAPTER).exists()


@pytest.mark.parametrize(
    ("wound", "name"),
    [
        ("UPDATE pair SET fact='boilfr' WHERE id=1", "records"),
        ("UPDATE version SET scale=0.8 WHERE number=1", "records"),
        ("UPDATE vector SET data=zeroblob(16) WHERE chunk_id=1", "vectors"),
        ("INSERT INTO pair_chunk VALUES(1, 999)", "database"),
        ("UPDATE sqlite_master SET type='taBle' WHERE name='pair'", "database"),
        ("UPDATE sqlite_master SET sql=replace(sql, 'phrasing', 'phrasinc')", "database"),
        ("UPDATE sqlite_master SET sql=replace(sql, 'TABLE version', 'TAB version')", "database"),
        ("UPDATE sqlite_master SET sql=replace(sql, 'new.title', 'old.title')", "database"),
        ("DROP INDEX document_sha", "database"),
    ],
)
def test_what_sqlite_passes_over_is_named_and_mended(place: Place, wound: str, name: str) -> None:
    with contextlib.closing(sqlite3.connect(place.home.database)) as raw:
        before = raw.execute("SELECT * FROM pair ORDER BY id").fetchall()
        raw.execute("PRAGMA writable_schema=ON")
        raw.execute(wound)
        raw.commit()
    assert name in [check.name for check in rot.look(place) if not check.ok]
    rot.look(place, repair=True)
    assert [check for check in rot.look(place) if not check.ok] == []
    with contextlib.closing(sqlite3.connect(place.home.database)) as raw:
        after = raw.execute("SELECT fact FROM pair ORDER BY id").fetchall()
    assert {row[0] for row in after} <= {row[5] for row in before}


def test_rollback_passes_over_a_version_that_is_damaged(place: Place) -> None:
    (place.home.versions / "v1" / versions.ADAPTER).unlink()
    store = open_store(place.home.database)
    assert versions.rollback(place.home, store).number == 0


def test_rollback_after_a_forgetting_does_not_stay_where_it_is(place: Place) -> None:
    store = open_store(place.home.database)
    request(place.home, store, str(place.folder / "music.md"), Forget())
    assert pointer.read(place.home).version == 1
    assert versions.rollback(place.home, store).number == 0


def test_a_rollback_that_was_cut_off_is_finished_by_the_next_start(place: Place) -> None:
    store = open_store(place.home.database)
    versions.rollback(place.home, store)
    rows.set_status(store, 2, "promoted")  # as if it had been killed between the two
    forget.settle(place.home, store)
    found = rows.version(store, 2)
    assert found is not None
    assert found.status == "retired"


@pytest.mark.parametrize("name", ["current.json", "forgotten.json"])
def test_one_flipped_bit_in_a_pointer_is_noticed(place: Place, name: str) -> None:
    store = open_store(place.home.database)
    request(place.home, store, str(place.folder / "bikes.md"), Forget())
    store.close()
    file = place.home.root / name
    file.write_bytes(file.read_bytes().replace(b"1", b"3", 1))
    assert [check.name for check in rot.look(place) if not check.ok]
    rot.look(place, repair=True)
    assert not [check for check in rot.look(place) if not check.ok]


def test_what_was_forgotten_stays_forgotten_when_an_older_backup_is_restored(place: Place) -> None:
    store = open_store(place.home.database)
    request(place.home, store, str(place.folder / "music.md"), Forget())
    store.close()
    rescue.database(place.home, "a test")  # the backup knows the file
    store = made.recover(place.home)
    found = documents.by_path(store, 1, "music.md")
    assert found is not None
    assert "forgotten" in found.reason
    assert not documents.chunks_of(store, found.id)
    assert receipts.kept_out(store, str(place.folder), "music.md")
    blocked = rows.version(store, 2)
    assert blocked is not None
    assert blocked.status == "blocked"
    assert pointer.read(place.home).version == 1


def test_vacuum_leaves_no_byte_in_backups_or_quarantine(place: Place) -> None:
    aside = rescue.aside(place.home, [], "a test")
    (aside / "copy.db").write_bytes(place.home.database.read_bytes())
    ops.forgetting(place)
    ops.vacuum(place)
    left = [
        path.name
        for path in place.home.root.rglob("*")
        if path.is_file() and made.WORD.encode() in path.read_bytes()
    ]
    assert left == []
    assert [snapshot.problem_of(item) for item in snapshot.listed(place.home.backups)] == [""]


# -- the bench, in short ---------------------------------------------------------------------------


needs_strace = pytest.mark.skipif(bool(crash.possible()), reason=crash.possible() or "-")


@needs_strace
def test_a_kill_at_a_system_call_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    found = crash.sweep("promote", tmp_path, every=14)
    assert found.count >= 4
    assert found.wrong == []


@needs_strace
def test_a_kill_finds_a_pointer_that_is_written_in_place(tmp_path: Path) -> None:
    place = ops.prepare("rollback", tmp_path / "rollback")
    kept, old, new = crash.states("rollback", place)
    found = [
        crash.one("rollback", place, kept, "write", n, (old, new), "write-in-place")[1]
        for n in (1, 2)
    ]
    assert any("pointer" in wrong or "damaged" in wrong for wrong in found), found


@needs_strace
def test_lost_power_leaves_what_was_acknowledged(tmp_path: Path) -> None:
    tried, wrong = power.sweep("promote", tmp_path, 12, seed=1)
    assert tried >= 12
    assert wrong == []
    _, noticed = power.sweep("promote", tmp_path / "broken", 24, seed=1, defect="no-fsync")
    assert noticed


@needs_strace
def test_lost_power_brings_no_page_back_that_names_a_forgotten_file(tmp_path: Path) -> None:
    tried, wrong = power.sweep("forget", tmp_path, 24, seed=1)
    assert tried >= 24
    assert wrong == []


@needs_strace
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_under_a_repair_is_said_in_words(tmp_path: Path, error: str) -> None:
    place = ops.prepare("restore", tmp_path / "restore")
    log = tmp_path / "log.txt"
    code, said, _ = faults.run("restore", place, "pwrite64", error, "1+", log)
    assert code == 1
    assert "Traceback" not in said
    assert place.home.database.exists()
    ops.restore(place)
    store = made.recover(place.home)
    assert made.broken(place.home, store) == ""
    store.close()


@needs_strace
@pytest.mark.parametrize("name", ["rollback", "vacuum"])
def test_a_failed_fsync_is_a_failure(tmp_path: Path, name: str) -> None:
    place = ops.prepare(name, tmp_path / name)
    before, log = pointer.read(place.home).version, tmp_path / "log.txt"
    code, said, _ = faults.run(name, place, "fsync", "EIO", "1", log)
    assert code == 1
    assert said.strip()
    assert "Traceback" not in said
    assert faults.retried(log.read_text().splitlines()) == ""
    assert pointer.read(place.home).version == before


def test_rot_is_named_and_mended(tmp_path: Path) -> None:
    found = rot.sweep(tmp_path, 12, seed=7)
    assert found.mattered >= 3
    assert found.wrong == []


def test_random_rollbacks_serve_only_what_passed(tmp_path: Path) -> None:
    found = rollbacks.sweep(tmp_path, 12, seed=100)
    assert found.wrong == []
    assert found.kills
    assert found.slowest_s < 5


def test_a_clock_that_jumps_makes_no_storm_and_prunes_nothing_wrongly(tmp_path: Path) -> None:
    assert clocks.sweep(tmp_path, 4, restarts=1).wrong == []


def test_the_gate_that_is_left_out_is_noticed(tmp_path: Path) -> None:
    with rollbacks.no_gate():
        assert rollbacks.sweep(tmp_path, 12, seed=28).wrong


def test_every_error_of_a_home_is_one_of_ours(place: Place) -> None:
    place.home.pointer.write_text("[]")
    with pytest.raises(NightschoolError):
        pointer.read(place.home)
