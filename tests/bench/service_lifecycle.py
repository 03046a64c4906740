"""The whole life of the installed service under a real systemd user manager.

    python tests/bench/service_lifecycle.py [--quick]

Where a user manager can be started (root on Linux: in namespaces of its own, so that nothing of the
machine is touched), the unit is installed by the command, killed, hung, stopped and uninstalled
there. Elsewhere the same life is driven by hand: the socket of the notifications is ours, and this
script restarts what dies as the unit says. The first line of progress says which it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from bench_report import Report, arguments  # noqa: E402
from nightschool.daemon import instance  # noqa: E402
from nightschool.daemon.instance import Runtime  # noqa: E402
from nightschool.device.notify import VARIABLE  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from service_harness import free_port, service, until  # noqa: E402

MANAGER = "/lib/systemd/systemd"
INSIDE = "BENCH_INSIDE"
UNSHARE = (
    "unshare", "--mount", "--cgroup", "--pid", "--fork", "--mount-proc", "--kill-child",
)  # fmt: skip
START_S = 120.0
"""How long a start is waited for: the unit comes last wherever others want the processors."""
RESTART_S = 30.0
"""How soon it serves again after a crash; RestartSec alone is 5 s."""
STOP_S = 40.0
"""TimeoutStopSec of the unit."""
WATCHDOG_S = 40
"""What WatchdogSec is shortened to, in a drop-in of its own; signs of life come every 30 s."""
ODD_HOME = "Jürgen Müller & Söhne 100% $HOME"
"""A user's folder with a space, letters beyond ASCII, and what unit files take for specifiers."""


def listing(folder: Path) -> dict[str, str]:
    """Every file and link below a folder, with what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_text(errors="replace") if path.is_file() else "folder"
    return found


# -- a real manager -------------------------------------------------------------------------------


def can_manage() -> str:
    """Why no user manager can be started here; empty when one can."""
    if sys.platform != "linux" or not Path(MANAGER).exists():
        return f"{MANAGER} is not installed"
    if os.geteuid() != 0:
        return "namespaces of its own need root"
    for program in ("unshare", "systemctl", "mount"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    place = group_root()
    if place is None:
        return "there is no cgroup2 hierarchy"
    trial = place / f"nightschool-trial-{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        return f"no control group can be made: {error.strerror}"
    done = subprocess.run(
        (*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /run && mount -t cgroup2 none /sys/fs/cgroup"),
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return f"no namespaces can be made: {done.stderr.strip()}" if done.returncode else ""


def group_root() -> Path | None:
    """The top of the cgroup2 hierarchy."""
    for place in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (place / "cgroup.procs").exists() and (place / "cgroup.controllers").exists():
            return place
    return None


def managed(quick: bool) -> int:
    """Run this very script again inside a user manager's namespaces; its exit code."""
    place = group_root()
    assert place is not None
    group = place / f"nightschool-bench-{os.getpid()}"
    group.mkdir()
    script = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
mount -t cgroup2 none /sys/fs/cgroup
"$MANAGER" --user >"$BENCH_LOG" 2>&1 &
exec "$@"
"""
    with tempfile.TemporaryDirectory(prefix="ns-life-") as temporary:
        home = Path(temporary) / ODD_HOME
        home.mkdir()
        environment = {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home), "MANAGER": MANAGER,
            "XDG_RUNTIME_DIR": "/run/user/0", INSIDE: "1", "BENCH_LOG": f"{temporary}/manager.log",
            "SYSTEMD_LOG_TARGET": "console", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        try:
            done = subprocess.run(
                (*UNSHARE, "sh", "-c", script, "sh", sys.executable, __file__,
                 *(["--quick"] if quick else [])),
                env=environment, check=False, timeout=900,
                preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None,
            )  # fmt: skip
        finally:
            until(lambda: emptied(group), 20, "its processes are gone", 0.1)
    return done.returncode


def emptied(group: Path) -> bool:
    """Remove a control group with those in it; false while a process still ends there."""
    below = [Path(at) for at, _, _ in os.walk(group, topdown=False)]
    with contextlib.suppress(OSError):
        for folder in below:
            folder.rmdir()
    return not group.exists()


def command(*words: str) -> str:
    """`nightschool --home … words`, which must succeed; what it printed."""
    data = Path(os.environ["HOME"]) / "data"
    done = subprocess.run(
        (sys.executable, "-m", "nightschool", "--home", str(data), *words),
        capture_output=True, text=True, timeout=180, check=False, cwd=ROOT / "src",
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{words}: {done.stdout}{done.stderr}")
    return done.stdout


def systemctl(*words: str) -> str:
    done = subprocess.run(
        ("systemctl", "--user", *words), capture_output=True, text=True, timeout=90, check=False
    )
    return done.stdout.strip()


def main_pid() -> int:
    return int(systemctl("show", "nightschool", "--property=MainPID", "--value") or 0)


def another(home: Home, than: int, seconds: float) -> Runtime:
    """Wait until another process serves this home."""

    def found() -> Runtime | None:
        runtime = instance.running(home)
        return runtime if runtime is not None and runtime.pid != than else None

    return until(found, seconds, "it serves again", 0.2)


def inside(report: Report) -> None:
    """The life itself; the manager runs."""
    user = Path(os.environ["HOME"])
    home = Home(user / "data").create()
    home.config.write_text(f"[serve]\nport = {free_port()}\n")
    until(lambda: systemctl("is-system-running") == "running", 20, "the manager is up", 0.1)
    before = listing(user / ".config") if (user / ".config").exists() else {}
    report.say(f"under {systemctl('--version').splitlines()[0]}, home {user.name!r}")

    shown = command("service", "install", "--tray")
    first = another(home, 0, START_S)
    report.exactly("starts_and_notifies", float(main_pid() == first.pid), 1, 1)
    wanted = f"Serves {first.url}"
    status = systemctl("show", "nightschool", "--property=StatusText", "--value")
    report.exactly("status_text_is_shown", float(status == wanted), 1, 1)
    text = (user / ".config/systemd/user/nightschool.service").read_text()
    report.exactly("shows_what_it_writes", float(text in shown), 1, 1)
    group = systemctl("show", "nightschool", "--property=ControlGroup", "--value")
    report.exactly("is_in_the_background_slice", float("/background.slice/" in group), 1, 1)
    states = {item["kind"]: item for item in json.loads(command("service", "status", "--json"))}
    good = states["systemd"]["running"] and states["systemd"]["current"]
    report.exactly("status_says_that_it_runs", float(bool(good)), 1, 1)

    kills = 1 if report.quick else 3  # the unit gives up after five starts within five minutes
    for _ in range(kills):
        before_kill = another(home, 0, START_S)
        os.kill(before_kill.pid, signal.SIGKILL)
        began = time.monotonic()
        another(home, before_kill.pid, START_S)
        report.at_most("restarted_after_a_kill_s", time.monotonic() - began, RESTART_S, 1)

    if not report.quick:
        drop_in = user / ".config/systemd/user/nightschool.service.d"
        drop_in.mkdir()
        (drop_in / "bench.conf").write_text(f"[Service]\nWatchdogSec={WATCHDOG_S}\n")
        systemctl("daemon-reload")
        systemctl("reset-failed", "nightschool")
        systemctl("restart", "nightschool")
        hung = another(home, 0, START_S)
        time.sleep(2 * WATCHDOG_S)  # signs of life keep it alive for longer than the limit
        report.exactly("lives_while_it_gives_signs", float(main_pid() == hung.pid), 1, 1)
        os.kill(hung.pid, signal.SIGSTOP)
        began = time.monotonic()
        another(home, hung.pid, START_S + 2 * WATCHDOG_S)
        report.at_most("a_hung_one_is_replaced_s", time.monotonic() - began, WATCHDOG_S + 25.0, 1)
        shutil.rmtree(drop_in)
        systemctl("daemon-reload")

    alive = another(home, 0, START_S)
    began = time.monotonic()
    systemctl("stop", "nightschool")
    report.at_most("stop_s", time.monotonic() - began, STOP_S, 1)
    result = systemctl("show", "nightschool", "--property=Result", "--value")
    report.exactly("stops_cleanly", float(result == "success"), 1, 1)
    report.exactly("nothing_of_it_runs", float(instance.process_lives(alive)), 0, 1)
    systemctl("start", "nightschool")
    again = another(home, alive.pid, START_S)

    command("service", "uninstall")
    report.exactly("uninstall_stops_it", float(instance.process_lives(again)), 0, 1)
    loaded = systemctl("show", "nightschool", "--property=LoadState", "--value")
    report.exactly("the_manager_forgot_it", float(loaded == "not-found"), 1, 1)
    after = listing(user / ".config") if (user / ".config").exists() else {}
    for name in sorted(set(after) - set(before)):
        report.say(f"       left behind: {name}")
    report.exactly("files_left_behind", len(set(after) ^ set(before)), 0, len(before) + 3)


# -- by hand --------------------------------------------------------------------------------------


def by_hand(report: Report) -> None:
    """The same without a manager: what the daemon tells it, and what it does when it is ended."""
    with tempfile.TemporaryDirectory(prefix="ns-life-") as temporary:
        address = Path(temporary) / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(address))
            manager.settimeout(60)
            with service(environment={VARIABLE: str(address)}) as door:
                ready = manager.recv(4096).decode()
                report.exactly("tells_ready", float(ready.startswith("READY=1")), 1, 1)
                door.kill()
                began = time.monotonic()
                door.start()  # what Restart=on-failure does
                ready = manager.recv(4096).decode()
                report.at_most("restarted_after_a_kill_s", time.monotonic() - began, RESTART_S, 1)
                if not report.quick:  # they come every 30 s
                    sign = manager.recv(4096).decode()
                    report.exactly("gives_signs_of_life", float(sign == "WATCHDOG=1"), 1, 1)
                began = time.monotonic()
                code = door.stop()
                report.at_most("stop_s", time.monotonic() - began, STOP_S, 1)
                report.exactly("stops_cleanly", code, 0, 1)
            last = manager.recv(4096).decode()
            while last == "WATCHDOG=1":
                last = manager.recv(4096).decode()
            report.exactly("tells_stopping", float(last == "STOPPING=1"), 1, 1)


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    if os.environ.get(INSIDE):
        report = Report(options.quick)
        inside(report)
        report.finish()
    why = can_manage()
    if not why:
        sys.exit(managed(options.quick))
    report = Report(options.quick)
    report.say(f"no systemd user manager here ({why}): driven by hand")
    by_hand(report)
    report.finish()


if __name__ == "__main__":
    main()
