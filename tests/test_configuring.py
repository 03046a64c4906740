"""The settings through the command and the running service: shown, explained, checked, changed."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from command import nightschool
from nightschool import config
from nightschool.config.describe import RESTART, did_you_mean, every, meaning
from nightschool.config.load import freeze, line_of, look, thaw
from nightschool.config.settings import PROFILES, RECIPES
from nightschool.device import disks, suggest
from nightschool.errors import UsageError, of_disk
from service_harness import Service, service, until

ROOT = Path(__file__).resolve().parents[1]
WRONG = """# mine
colour = "red"
[lern]
[engine]
threads = -3
passages = "x"
keep_alive_s = 1.5
[learn]
bugdet_s = 3
max_others = nan
window = \"\"\"
22\"\"\"
spend_alpha = 1
"""


def test_every_mistake_is_found_at_once_with_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(WRONG)
    found = look(file, {"NIGHTSCHOOL_SERVE_PROT": "1", "NIGHTSCHOOL_SERVE_PORT": "high"})
    told = {problem.where.removeprefix(f"{file}:"): problem for problem in found.problems}
    assert sorted(told) == [
        "10", "12", "13", "2", "3", "5", "6", "7", "9",
        "NIGHTSCHOOL_SERVE_PORT", "NIGHTSCHOOL_SERVE_PROT",
    ]  # fmt: skip
    assert told["9"].remedy == "Did you mean learn.budget_s?"
    assert told["3"].remedy == "Did you mean learn?"
    assert told["NIGHTSCHOOL_SERVE_PROT"].remedy == "Did you mean serve.port?"
    assert "0 to 1024" in told["5"].remedy
    assert "true or false" in told["13"].remedy


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("learn.windw", "learn.window"), ("window", "learn.window"), ("lern.idle", "learn.idle_s"),
     ("prot", "serve.port"), ("engine.idle_s", "learn.idle_s")],
)  # fmt: skip
def test_a_misspelt_key_finds_its_way_home(wrong: str, right: str) -> None:
    assert did_you_mean(wrong, every()) == f"Did you mean {right}?"


def test_a_variable_with_a_misspelt_section_is_refused_and_ours_are_not(tmp_path: Path) -> None:
    good = {"NIGHTSCHOOL_HOME": "x", "NIGHTSCHOOL_HOST": "x", "NIGHTSCHOOL_LOADER": "[]",
            "NIGHTSCHOOL_PASSPHRASE": "x", "NIGHTSCHOOL_PROFILE": "tiny"}  # fmt: skip
    assert look(None, good).problems == []
    (wrong,) = look(None, good | {"NIGHTSCHOOL_LERN_IDLE_S": "3"}).problems
    assert "NIGHTSCHOOL_LEARN_IDLE_S" in wrong.remedy


def test_a_key_is_found_in_whatever_way_it_is_written() -> None:
    assert (
        line_of('a = """\n[learn]\nidle_s = 1\n"""\n[learn]\nidle_s = 2\n', "learn", "idle_s") == 6
    )
    assert line_of("learn.idle_s = 2\n", "learn", "idle_s") == 1
    assert line_of("learn = { idle_s = 2 }\n", "learn", "idle_s") == 1


def test_every_setting_is_explained_and_every_default_keeps_its_own_rule() -> None:
    for key, setting in every().items():
        assert meaning(key), key
        assert setting.words, key
        assert setting.rule is None or setting.rule.wrong(key, setting.default) is None, key
        assert setting.takes_effect, key
    waits = {key for key, setting in every().items() if setting.takes_effect == RESTART}
    assert waits == {key for key in every() if key.startswith("serve.")}


def test_the_recipes_that_may_be_set_are_those_there_are() -> None:
    pages = {path.stem for path in (ROOT / "src/nightschool/train/recipes").glob("[a-z]*.py")}
    assert set(RECIPES) == pages


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_lies_between_the_defaults_and_the_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'profile = "{name}"\n[learn]\ndaily_budget_s = 77\n')
    alone = tomllib.loads((ROOT / "config/profiles" / f"{name}.toml").read_text("utf-8"))
    found = look(file, {"NIGHTSCHOOL_ENGINE_KEEP_ALIVE_S": "9"})
    assert not found.problems
    assert found.config.learn.daily_budget_s == 77
    assert found.config.engine.keep_alive_s == 9
    applied = {key: value for key, value in found.origins.items() if value == f"profile {name}"}
    named = {f"{section}.{key}" for section, keys in alone.items() for key in keys}
    assert set(applied) == named - {"learn.daily_budget_s", "engine.keep_alive_s"}
    assert look(file, {"NIGHTSCHOOL_PROFILE": ""}).config.profile == name


def test_what_the_service_hands_to_its_children_is_what_they_read(tmp_path: Path) -> None:
    mine = config.load(None, {"NIGHTSCHOOL_LEARN_IDLE_S": "7", "NIGHTSCHOOL_MODEL": "ü"})
    assert thaw(freeze(mine)) == mine
    broken = tmp_path / "config.toml"
    broken.write_text("[learn\n")
    assert config.load(broken, {"NIGHTSCHOOL_SETTINGS": freeze(mine)}) == mine
    with pytest.raises(UsageError, match="not what the service wrote"):
        config.load(None, {"NIGHTSCHOOL_SETTINGS": "[]"})


@pytest.mark.parametrize(
    ("machine", "suits"),
    [
        (suggest.Build(4 << 30, 4, False, False), "tiny"),
        (suggest.Build(8 << 30, 4, False, True), "tiny"),
        (suggest.Build(16 << 30, 8, True, False), "laptop"),
        (suggest.Build(64 << 30, 16, False, False), "workstation"),
        (suggest.Build(8 << 30, 4, False, False), ""),
    ],
)
def test_each_kind_of_machine_is_offered_its_profile(machine: suggest.Build, suits: str) -> None:
    assert suggest.profile(machine) == suits


# -- the command ----------------------------------------------------------------------------------


def test_setting_a_value_keeps_the_comments_and_says_where_it_holds(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = home / "config.toml"
    file.write_text("# my own words\n\n[learn]  # at night\nidle_s = 120  # two minutes\n")
    assert nightschool(home, "config", "set", "learn.idle_s", "240").code == 0
    assert nightschool(home, "config", "set", "profile", "laptop").code == 0
    text = file.read_text()
    for kept in ("# my own words", "[learn]  # at night", "# two minutes"):
        assert kept in text
    assert tomllib.loads(text) == {"profile": "laptop", "learn": {"idle_s": 240}}
    told = nightschool(home, "config", "explain", "learn.idle_s", "--json").json
    assert (told["now"], told["default"]) == (240, 300)
    assert told["from"].startswith(f"{file}:")
    assert "at once" in told["takes_effect"]
    said = nightschool(home, "config", "set", "learn.idle_s", "5", NIGHTSCHOOL_LEARN_IDLE_S="9")
    assert "NIGHTSCHOOL_LEARN_IDLE_S" in said.out
    assert nightschool(home, "config", "unset", "learn.idle_s").code == 0
    assert tomllib.loads(file.read_text()) == {"profile": "laptop"}


def test_a_value_that_makes_no_sense_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for key, value, words in (
        ("learn.windw", "1", "Did you mean learn.window?"),
        ("learn.window", "late", "not a span of time"),
        ("serve.port", "99999", "at most 65535"),
    ):
        said = nightschool(home, "config", "set", key, value)
        assert said.code == 2
        assert words in said.complaint
    assert not (home / "config.toml").exists()


@pytest.mark.skipif(os.name != "posix", reason="the editor of this test is a shell script")
def test_an_edit_with_a_mistake_leaves_the_old_settings_and_is_not_lost(tmp_path: Path) -> None:
    home = tmp_path / "home"
    editor = tmp_path / "my editor"
    editor.write_text("#!/bin/sh\nprintf '[learn]\\nidel_s = 1\\n' > \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    assert nightschool(home, "config", "set", "learn.idle_s", "7").code == 0
    before = (home / "config.toml").read_bytes()
    refused = nightschool(home, "config", "edit", VISUAL=str(editor))
    assert refused.code == 2
    assert "Did you mean learn.idle_s?" in refused.out
    assert (home / "config.toml").read_bytes() == before
    mended = nightschool(home, "config", "edit", VISUAL="sed -i s/idel_s/idle_s/")
    assert mended.code == 0, mended.error
    assert tomllib.loads((home / "config.toml").read_text()) == {"learn": {"idle_s": 1}}
    assert sorted(path.name for path in home.glob("*.toml")) == ["config.toml"]


# -- the running service --------------------------------------------------------------------------


def settings(door: Service) -> dict[str, object]:
    found: dict[str, object] = door.status()["settings"]
    return found


def test_a_running_service_takes_good_settings_and_keeps_the_old_for_bad_ones() -> None:
    with service() as door:
        home = door.home.root
        said = nightschool(home, "config", "set", "learn.automatic", "no")
        assert "The service has taken it in" in said.out
        assert "learn.automatic is no" in " ".join(door.status()["night"]["blockers"])
        said = nightschool(home, "config", "set", "serve.body_limit", "4096")
        assert "After a restart of the service: serve.body_limit" in said.out
        assert settings(door)["waiting_for_restart"] == ["serve.body_limit"]
        door.home.config.write_text("[learn]\nautomatic = 'perhaps'\n")
        status = nightschool(home, "status")
        assert status.code == 0
        assert f"{door.home.config}:2: learn.automatic is 'perhaps'" in status.out
        assert "learn.automatic is no" in " ".join(door.status()["night"]["blockers"])
        door.home.config.write_text("[learn]\nautomatic = 'yes'\n")
        assert door.status()["night"]["allowed"] is True
        assert settings(door) == {
            "file": str(door.home.config), "problem": "", "waiting_for_restart": [],
        }  # fmt: skip


def test_children_work_under_the_settings_in_force_while_the_file_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Mill\n\nThe mill stands at the weir.\n")
    with service(environment={"NIGHTSCHOOL_FILES_SETTLE_S": "0.2"}) as door:
        door.home.config.write_text("[files\n")
        assert "not readable TOML" in str(settings(door)["problem"])
        door.watch(folder)  # the intake child starts only now
        assert door.status()["files"]["indexed"] == 1
        door.home.config.write_text("[files]\nmax_bytes = 10\n")
        assert settings(door)["problem"] == ""
        (folder / "b.md").write_text("# Weir\n\nThe weir stands at the mill.\n")

        def skipped() -> bool:
            return bool(door.status()["files"]["skipped"] == 1)

        until(skipped, 30, "the new limit reaches the intake child")


# -- odd surroundings -----------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="sets a POSIX locale and time zone")
def test_the_command_works_for_any_user_in_any_locale_and_zone(tmp_path: Path) -> None:
    person = tmp_path / "Zoë Ünal 山田"
    notes = person / "Meine Notizen ığ"
    notes.mkdir(parents=True)
    (notes / "Müşteri.md").write_text("# Iğdır\n\nThe INVOICE of Çağlar is on the shelf.\n")
    home = person / ".local" / "share" / "nightschool"
    odd = {
        "HOME": str(person), "LC_ALL": "tr_TR.ISO-8859-9", "TZ": "Asia/Kathmandu",
        "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii",
    }  # fmt: skip
    assert nightschool(home, "watch", "add", str(notes), **odd).code == 0
    found = nightschool(home, "search", "invoice Çağlar", "--json", **odd)
    assert found.code == 0, found.error
    assert "Çağlar" in str(found.json)
    assert "Müşteri.md" in str(found.json)
    other = odd | {"LC_ALL": "ja_JP.eucJP", "TZ": "XYZ+5:45"}
    assert nightschool(home, "config", "set", "learn.window", "23:00-01:00", **other).code == 0
    assert "M??teri.md" in nightschool(home, "files", **other).out


def test_a_home_that_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    long = tmp_path
    while len(str(long)) < 600:
        long = long / ("d" * 100)
    (tmp_path / "file").write_text("")
    for place, words in (
        ("~nobody-of-this-name/x", "no such user"),
        (str(long), "too long for SQLite"),
        (str(tmp_path / "file"), "cannot be made a folder"),
        (str(tmp_path / "file" / "x"), "cannot be made a folder"),
    ):
        said = nightschool(Path(place), "runs")
        assert said.code in (1, 2), said.out
        assert words in said.complaint


def test_what_may_not_be_written_is_said_with_its_name() -> None:
    for number in (errno.EACCES, errno.EPERM):
        said = of_disk(OSError(number, "no", "/home/me/x"))
        assert said is not None
        assert "/home/me/x" in said.message
        assert said.remedy


MOUNTS = r"""22 1 0:21 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:30 / /home rw - nfs4 server:/home rw,vers=4.2
31 30 0:31 / /home/zo\303\251\040u/local rw - ext4 /dev/sdb1 rw
32 22 0:32 / /mnt/stick rw shared:5 - exfat /dev/sdc1 rw
33 22 0:33 / /mnt/my\040nas rw shared:6 master:2 - fuse.sshfs me@nas:/ rw
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX paths")
def test_a_home_on_another_machine_is_recognised_by_its_file_system(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    assert disks.share(Path("/home/me/.local"), table) == "nfs4"
    assert disks.share(Path("/homes/me"), table) == ""
    assert disks.share(Path("/mnt/stick/x"), table) == ""
    assert disks.share(Path("/mnt/my nas/x"), table) == "fuse.sshfs"
    assert disks.share(tmp_path) == ""


@pytest.mark.skipif(shutil.which("bindfs") is None, reason="needs bindfs, to mount a share")
def test_doctor_and_start_warn_of_a_home_on_a_share(tmp_path: Path) -> None:
    place = tmp_path / "share"
    place.mkdir()
    words = ["bindfs", "-o", "subtype=sshfs", str(tmp_path), str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        checked = nightschool(place / "home", "doctor", "--quick")
        assert checked.code == 1
        assert "network share (fuse.sshfs)" in checked.out
        said = nightschool(place / "home", "start", NIGHTSCHOOL_SERVE_PORT="99999")
        assert "on a network share (fuse.sshfs)" in said.error
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a file system that POSIX mounts")
def test_a_home_that_can_only_be_read_says_so_whatever_is_asked(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    assert nightschool(place / "home", "watch", "list").code == 0
    if os.geteuid() == 0:
        mount = ["mount", "--bind", str(place), str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not permitted here")
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    else:
        for path in (*place.rglob("*"), place):
            path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        for words in (
            ("config", "set", "learn.idle_s", "1"), ("start",), ("watch", "add", "/"), ("status",),
            ("tray",), ("doctor", "--quick", "--repair"),
        ):  # fmt: skip
            said = nightschool(place / "home", *words)
            assert said.code in (1, 2), (words, said.out)
            assert said.complaint
            assert "Unexpected" not in said.error
        looked = nightschool(place / "home", "doctor", "--quick")
        assert looked.code == 1
        assert "damaged" not in looked.out, "a disk that cannot be written is taken for a bad one"
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(place)], check=False)
        else:
            for path in (place, *place.rglob("*")):
                path.chmod(0o700)
