"""The resident process: one a home, light, hard to kill, quick to come back."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nightschool.daemon import client, instance, logs
from nightschool.daemon.instance import Runtime
from nightschool.errors import Refused
from nightschool.paths import Home
from nightschool.sources import watch as watching
from nightschool.sources.watch import Mode, Watch, noise
from service_harness import Service, free_port, service, until

HEAVY = ("torch", "numpy", "faiss", "llama", "pandas", "ggml")
COMMAND = "from nightschool.cli.main import run; run()"
QUICK = {"NIGHTSCHOOL_FILES_SETTLE_S": "0.3"}


@pytest.fixture
def running() -> Iterator[Service]:
    with service(environment=QUICK) as made:
        yield made


def _note(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _up(made: Service, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "up"],
        env={**made.settings, **more},
        capture_output=True,
        text=True,
        timeout=60,
    )


# -- light -------------------------------------------------------------------------------------


def test_the_daemon_maps_no_tensor_library_even_after_answering(
    running: Service, tmp_path: Path
) -> None:
    _note(tmp_path / "n", "a.md", "The heron nests at Fallow Weir.\n")
    running.watch(tmp_path / "n")
    assert running.find("heron")
    assert running.process is not None
    maps = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert not [line for line in maps.splitlines() if any(name in line for name in HEAVY)]
    assert running.status()["memory_bytes"] < 100_000_000


def test_the_first_look_at_a_model_leaves_the_daemon_as_small_as_it_was(
    running: Service,
) -> None:
    assert running.process is not None
    before = psutil.Process(running.process.pid).memory_info().rss
    running.status()  # names the model by its hash, and so reads all of it
    running.get("/ns/models")
    assert running.status()["memory_bytes"] - before < 6_000_000


# -- one a home --------------------------------------------------------------------------------


def test_a_second_up_says_who_serves_and_exits_zero(running: Service) -> None:
    done = _up(running)
    assert done.returncode == 0
    assert running.process is not None
    assert str(running.process.pid) in done.stdout
    assert running.url in done.stdout


def test_a_port_that_is_taken_is_refused_in_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        made = Service(Home(tmp_path / "home"), int(taken.getsockname()[1]))
        done = _up(made)
    assert done.returncode == 3
    assert "is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lock_file_that_a_crash_left_behind_does_not_matter(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    home.lock.touch()
    stale = Runtime(2**22 - 3, free_port(), "2020-01-01T00:00:00+00:00", 1.0, "gone", "0")
    instance.publish(home, stale)
    with service(home=tmp_path) as made:
        assert made.healthy()


def test_a_daemon_that_no_longer_answers_is_taken_over(running: Service) -> None:
    assert running.process is not None
    old = running.process
    old.send_signal(signal.SIGSTOP)
    try:
        second = Service(running.home, running.port, running.environment)
        second.start()
        try:
            assert old.wait(10) != 0
        finally:
            second.stop()
    finally:
        old.kill()


def test_start_status_and_stop_work_from_the_command_line(tmp_path: Path) -> None:
    made = Service(Home(tmp_path / "home"), free_port())

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *words],
            env=made.settings,
            capture_output=True,
            text=True,
            timeout=90,
        )

    try:
        first = command("start")
        assert first.returncode == 0, first.stderr
        assert made.url in first.stdout
        assert (
            "already runs" in command("start").stdout
            or "already running" in command("start").stdout
        )
        said = command("status").stdout
        assert "ready" in said
        assert "night" in said
        found = json.loads(command("status", "--json").stdout)
        assert found["port"] == made.port
    finally:
        stopped = command("stop")
    assert stopped.returncode == 0
    assert "Stopped" in stopped.stdout
    assert "not running" in command("stop").stdout
    assert not made.home.runtime.exists()


def test_a_token_file_of_another_user_is_refused_in_words(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    home = Home(tmp_path / "home").create()
    home.token.write_text("x" * 43)
    os.chown(home.token, 12345, 12345)
    done = _up(Service(home, free_port()))
    assert done.returncode == 3
    assert "belongs to another user" in done.stderr


# -- stopping ----------------------------------------------------------------------------------


def test_a_clean_stop_leaves_no_child_and_no_runtime_file(tmp_path: Path) -> None:
    with service(environment=QUICK) as made:
        _note(tmp_path / "n", "a.md", "The heron nests at Fallow Weir.\n")
        made.watch(tmp_path / "n")
        assert made.find("heron")
        assert made.process is not None
        children = psutil.Process(made.process.pid).children(recursive=True)
        assert children
        assert made.stop() == 0
        assert not made.home.runtime.exists()
        assert not psutil.wait_procs(children, timeout=5)[1]
        assert "Stopped." in made.log()


def test_children_end_by_themselves_when_the_daemon_is_killed(tmp_path: Path) -> None:
    with service(environment=QUICK, home=tmp_path) as made:
        _note(tmp_path / "n", "a.md", "The heron nests at Fallow Weir.\n")
        made.watch(tmp_path / "n")
        assert made.find("heron")
        assert made.process is not None
        children = psutil.Process(made.process.pid).children(recursive=True)
        made.kill()
        assert not psutil.wait_procs(children, timeout=15)[1]
        again = Service(made.home, made.port, made.environment).start()
        try:
            assert again.find("heron")
        finally:
            again.stop()


# -- children that die -------------------------------------------------------------------------


def test_an_engine_that_is_killed_is_an_error_to_retry_and_comes_back(
    running: Service, tmp_path: Path
) -> None:
    _note(tmp_path / "n", "a.md", "The heron nests at Fallow Weir.\n")
    running.watch(tmp_path / "n")
    assert running.find("heron")
    pid = running.children()["engine"]["pid"]
    replies = []
    asked = threading.Thread(
        target=lambda: replies.append(
            running.request(
                "POST", "/v1/chat/completions",
                {"model": "nightschool-raw", "max_tokens": 900, "temperature": 2.0, "seed": 5,
                 "messages": [{"role": "user", "content": "a long story"}]},
            )
        )
    )  # fmt: skip
    asked.start()
    until(lambda: running.children()["engine"]["state"] == "busy", 10, "the engine works", 0.01)
    os.kill(pid, signal.SIGKILL)
    asked.join(30)
    assert replies[0].status == 503
    assert replies[0].json["error"]["code"] == "engine_unavailable"
    assert replies[0].headers["retry-after"] == "1"
    assert running.find("heron")
    assert running.children()["engine"]["pid"] != pid


def test_an_intake_that_is_killed_loses_nothing(running: Service, tmp_path: Path) -> None:
    folder = tmp_path / "n"
    for number in range(30):
        _note(folder, f"{number}.md", f"Buoy {number} lies at mooring kestrel{number}.\n" * 20)
    running.post("/ns/watch", {"path": str(folder)})
    pid = until(lambda: running.children()["intake"]["pid"], 20, "the intake runs", 0.01)
    os.kill(pid, signal.SIGKILL)
    running.wait_quiet(90)
    assert running.status()["files"]["indexed"] == 30


def test_the_engine_gives_its_memory_back_when_nobody_asks(tmp_path: Path) -> None:
    with service(environment={**QUICK, "NIGHTSCHOOL_ENGINE_KEEP_ALIVE_S": "1"}) as made:
        _note(tmp_path / "n", "a.md", "The heron nests at Fallow Weir.\n")
        made.watch(tmp_path / "n")
        assert made.find("heron")
        until(lambda: made.children()["engine"]["state"] == "asleep", 20, "the engine sleeps")
        assert made.children()["engine"]["restarts"] == 0
        assert made.find("heron")


# -- folders -----------------------------------------------------------------------------------


def test_a_folder_that_vanishes_keeps_its_files_and_is_watched_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    program = (
        "from nightschool import config, paths\n"
        "from nightschool.daemon import logs\n"
        "from nightschool.daemon.app import Daemon\n"
        "home = paths.home().create(); logs.configure(home.logs)\n"
        "Daemon(home, config.load(home.config), pulse_s=0.3).run()\n"
    )
    with service(environment=QUICK, arguments=("-c", program)) as made:
        folder = tmp_path / "stick"
        _note(folder, "a.md", "The heron nests at Fallow Weir.\n")
        made.watch(folder)
        folder.rename(tmp_path / "elsewhere")

        def state() -> dict[str, str]:
            roots = made.status()["watching"]["roots"]
            return next(root for root in roots if root["path"] == str(folder))

        until(lambda: state()["state"] in ("missing", "problem"), 20, "its absence is seen")
        assert "missing" in state()["reason"] or "not there" in state()["reason"]
        assert made.status()["files"]["indexed"] == 1
        assert made.find("heron")
        (tmp_path / "elsewhere").rename(folder)
        until(lambda: state()["state"] == "watched", 20, "it is watched again")
        _note(folder, "b.md", "The otter lives under Sallow Bridge.\n")
        until(lambda: made.find("otter") and "otter" in made.find("otter")[0]["text"], 30, "found")


def test_a_root_without_watches_left_is_polled_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[tuple[int, str]] = []
    monkeypatch.setattr(watching, "POLL_S", 0.2)
    followed = Watch(lambda root, path: hints.append((root, path)), lambda: None, poll_s=0.2)
    exhausted = _use_up_inotify()
    try:
        assert followed.add(1, tmp_path) is Mode.POLLED
        assert "looked at every" in followed.reasons[1]
        (tmp_path / "new.md").write_text("x")
        until(lambda: (1, "new.md") in hints, 10, "the poll sees a new file")
    finally:
        for handle in exhausted:
            os.close(handle)
        followed.stop()


def _use_up_inotify() -> list[int]:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    handles = []
    while (handle := libc.inotify_init()) >= 0 and len(handles) < 5000:
        handles.append(handle)
    if handle >= 0:
        pytest.skip("this system has no limit on inotify instances")
    return handles


def test_events_name_stored_paths_and_skip_noise(tmp_path: Path) -> None:
    hints: set[str] = set()
    followed = Watch(lambda root, path: hints.add(path), lambda: None)
    assert followed.add(1, tmp_path) is Mode.WATCHED
    try:
        (tmp_path / "sub").mkdir()
        until(lambda: "sub" in hints, 10, "a folder")
        (tmp_path / "sub" / ".x.swp").write_text("x")
        (tmp_path / "sub" / "a.tmp").write_text("x")
        (tmp_path / "sub" / "a.tmp").rename(tmp_path / "sub" / "café.md")
        until(lambda: "sub/café.md" in hints, 10, "a renamed file")
        (tmp_path / "sub" / "café.md").unlink()
        assert not {path for path in hints if path.endswith((".swp", ".tmp"))}
    finally:
        followed.stop()
    assert noise(".git/HEAD")
    assert noise("a/.hidden/b.md")
    assert not noise(".gitignore")
    assert not noise("a/notes.md")


def test_a_dropped_event_compares_everything() -> None:
    calls: list[str] = []
    followed = Watch(lambda root, path: None, lambda: calls.append("all"))
    followed.start()
    logging.getLogger("watchdog.observers.inotify_c").warning(
        "Inotify queue overflowed; filesystem events were lost"
    )
    followed.stop()
    assert calls == ["all"]


# -- logs and clients --------------------------------------------------------------------------


def test_a_childs_log_is_turned_over_before_it_grows_too_large(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"x" * (logs.MAX_BYTES + 1))
    logs.turn_over(path)
    assert not path.exists()
    assert (tmp_path / "engine.log.1").stat().st_size == logs.MAX_BYTES + 1
    path.write_bytes(b"y")
    logs.turn_over(path)
    assert path.read_bytes() == b"y"


def test_the_client_raises_the_daemons_own_errors(running: Service) -> None:
    found = client.connect(running.home)
    assert found is not None
    with pytest.raises(Refused, match="nothing to roll back") as caught:
        found.post("/ns/rollback")
    assert "nightschool versions" in caught.value.remedy
    events = list(found.stream("/ns/ask", {"question": "Hi", "mode": "raw", "stream": True}))
    assert "result" in events[-1]


def test_ready_is_said_after_the_door_is_open(tmp_path: Path) -> None:
    began = time.perf_counter()
    with service() as made:
        assert made.ready_s < 10
        assert made.request("GET", "/health", token=None).json["status"] == "ready"
    assert time.perf_counter() - began < 60


def test_a_learner_that_was_killed_does_not_keep_the_next_night_waiting(
    running: Service, tmp_path: Path
) -> None:
    _note(tmp_path / "n", "a.md", "The heron nests at Fallow Weir.\n")
    running.watch(tmp_path / "n")
    for _ in range(4):
        running.post("/ns/learn")
        pid = until(lambda: running.children()["learner"]["pid"], 30, "the learner runs", 0.01)
        os.kill(pid, signal.SIGKILL)
        until(lambda: running.status()["night"]["state"] == "waiting", 30, "its end is seen")
        assert running.status()["night"]["last"]["outcome"] == "failed"
    assert running.status()["state"] == "ready"
