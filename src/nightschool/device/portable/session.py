"""One stay of a stick on a host: what it may use, the command it runs, and leaving no trace.

The command runs as a child, so that this process can clean up after it however it ends. While a
service runs from the stick, commands join its session; else they wait for each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from nightschool import vault
from nightschool.errors import Refused, StoreError, of_disk
from nightschool.paths import (
    HOME_VARIABLE,
    HOST_VARIABLE,
    MARKER,
    Home,
    Stick,
    interpreter,
    stick,
)
from nightschool.store import atomic, places
from nightschool.store.db import open_store

LOOK_S = 1.0
"""Seconds between two looks whether the stick is still there; an encrypted one is then sealed."""
GRACE_S = 8.0
"""What the command gets to end once the stick is gone."""
JOINED_S = 20.0
"""How long sessions of one stick wait for each other."""
LOCK = ".session.lock"
PULLED = 75
"""Exit code after the stick was pulled out (EX_TEMPFAIL)."""
_MEMORY = Path("/dev/shm")
SETTINGS = """# The settings of this stick; `nightschool config explain` says what each means.
profile = "portable"
"""


def run(
    place: Stick,
    arguments: Sequence[str],
    passphrase: Callable[[], str],
    stop: Callable[[Home], object],
) -> int:
    """Run one command from the stick; its exit code. `passphrase` is asked only when needed, and
    `stop` ends a service that the command may have left running.

    Raises Refused for a wrong passphrase (before anything is written), StoreError for a stick that
    is full, read-only or damaged.
    """
    keys = None
    if place.encrypted:
        try:
            keys = vault.keys(place)  # another session of this stick has been opened already
        except Refused:
            keys = vault.unlock(place, passphrase())
    _writable(place)
    with _on_host(place) as alone, contextlib.ExitStack() as stack:
        home = Home(place.data)
        if keys is not None:
            if alone:
                stack.callback(vault.Agent(place, keys).close)
            home = _opened(place, keys, alone)
        os.environ[HOST_VARIABLE] = str(place.host)
        os.environ[HOME_VARIABLE] = str(home.root)
        home.create()
        if not home.config.exists():
            home.config.write_text(SETTINGS, encoding="utf-8")
        if alone:
            _arrive(home)
        try:
            return _command(place, home, keys, arguments)
        finally:
            if alone and place.present:
                stop(home)
                _leave(place, home, keys)


# -- the host --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _on_host(place: Stick) -> Iterator[bool]:
    """Our folder on the host; whether this session tidies up, or only joins a running service."""
    lock = FileLock(place.disk / LOCK, mode=0o600)
    if not _first(place, lock):
        with FileLock(place.host / f"joined-{os.getpid()}.lock", mode=0o600):
            yield False
        return
    host = place.host
    try:
        _make(host)
        yield True
    finally:
        for joined in host.glob("joined-*.lock"):  # they use what is about to go
            with contextlib.suppress(Timeout):
                FileLock(joined, mode=0o600).acquire(timeout=JOINED_S)
        shutil.rmtree(host, ignore_errors=True)
        shutil.rmtree(opened(place), ignore_errors=True)
        with contextlib.suppress(OSError):  # the stick is gone, and its locks with it
            lock.release()


def _first(place: Stick, lock: FileLock) -> bool:
    """Take the stick for this session; False when a service has it, which commands go through.

    Raises Refused when another command keeps it.
    """
    deadline = time.monotonic() + JOINED_S
    while True:
        try:
            lock.acquire(timeout=0)
            return True
        except Timeout:
            if Home(place.data).runtime.exists():
                return False
        except OSError as error:
            raise StoreError(
                f"{lock.lock_file} cannot be locked: {error.strerror or error}.",
                "Mount the stick so that you may write to it.",
            ) from error
        if time.monotonic() > deadline:
            raise Refused("Another command is at work on this stick.", "Wait until it is done.")
        time.sleep(0.1)


def _make(host: Path) -> None:
    """A folder of this user alone; what a killed session left there is cleared."""
    try:
        shutil.rmtree(host, ignore_errors=True)
        host.mkdir(mode=0o700)
    except OSError as error:
        raise of_disk(error) or StoreError(
            f"{host} cannot be made: {error.strerror or error}.",
            "Remove it, or free some space there, and start again.",
        ) from error


def opened(place: Stick) -> Path:
    """Where the personal files of an encrypted stick are open: in memory where the host has it."""
    base = _MEMORY if _MEMORY.is_dir() else place.host.parent
    return base / f"{place.host.name}-open"


def in_memory(place: Stick) -> bool:
    """Whether that place is in memory."""
    return opened(place).parent == _MEMORY


def _opened(place: Stick, keys: vault.Keys, alone: bool) -> Home:
    top = opened(place)
    home = Home(top / "data")
    if alone:
        shutil.rmtree(top, ignore_errors=True)  # of a session that was killed
        home.root.mkdir(parents=True, mode=0o700)
        top.chmod(0o700)
        marker = json.loads((place.disk / MARKER).read_text(encoding="utf-8"))
        (top / MARKER).write_text(json.dumps(marker | {"disk": str(place.disk)}), encoding="utf-8")
        stick.cache_clear()
        vault.unseal(place, home.root, keys)
    return home


def _writable(place: Stick) -> None:
    probe = place.data / f".probe-{os.getpid()}"
    try:
        place.data.mkdir(exist_ok=True)
        probe.write_bytes(b"\0" * 65_536)
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink()
        raise of_disk(error) or StoreError(
            f"The stick at {place.disk} cannot be written: {error.strerror or error}.",
            "Mount it so that you may write to it.",
        ) from error


def _arrive(home: Home) -> None:
    store = open_store(home.database)
    try:
        places.arrive(store, places.Place(str(home.disk.parent), str(home.root)))
    finally:
        store.close()


def _leave(place: Stick, home: Home, keys: vault.Keys | None) -> None:
    """Everything is on the stick, and nothing of this host."""
    store = open_store(home.database)
    try:
        places.leave(store)
    finally:
        store.close()
    if keys is not None:
        vault.seal(place, home.root, keys)
    shutil.rmtree(place.disk / "scratch", ignore_errors=True)
    for log in () if place.encrypted else home.logs.glob("*.log*"):
        with log.open("rb") as sink:
            os.fsync(sink.fileno())
    for kept in (home.lock, home.learning):
        kept.unlink(missing_ok=True)
    atomic.sync_disk(place.disk)


# -- the command -----------------------------------------------------------------------------------


def environment(scratch: Path) -> dict[str, str]:
    """Where libraries may write: only below `scratch`."""
    places_ = {
        "HOME": "home", "USERPROFILE": "home", "APPDATA": "home", "LOCALAPPDATA": "home",
        "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "share",
        "XDG_STATE_HOME": "state", "TMPDIR": "tmp", "TEMP": "tmp", "TMP": "tmp",
        "HF_HOME": "cache/hf", "TORCH_HOME": "cache/torch", "TRITON_CACHE_DIR": "cache/triton",
        "TORCHINDUCTOR_CACHE_DIR": "cache/inductor", "NUMBA_CACHE_DIR": "cache/numba",
        "MPLCONFIGDIR": "config/mpl", "CUDA_CACHE_PATH": "cache/cuda", "HISTFILE": "state/history",
    }  # fmt: skip
    for inside in sorted(set(places_.values())):
        (scratch / inside).mkdir(parents=True, exist_ok=True)
    fixed = {
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1", "CUDA_CACHE_DISABLE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    return {name: str(scratch / inside) for name, inside in places_.items()} | fixed


def _command(place: Stick, home: Home, keys: vault.Keys | None, arguments: Sequence[str]) -> int:
    scratch = (place.disk if keys is None else home.root) / "scratch"
    process = subprocess.Popen(
        [*interpreter(), "-m", "nightschool", *arguments],
        env={**os.environ, **environment(scratch)},
    )
    handlers = {
        number: signal.signal(number, lambda caught, _: process.send_signal(caught))
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
    }
    handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells it
    sealed: vault.State = {}
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
            if not place.present:
                _end(process)
                raise _Pulled(place)
            if process.returncode is not None:
                return process.returncode
            if keys is not None and (present := vault.state(home.root)) != sealed:
                with contextlib.suppress(StoreError):  # full: the command that writes says so
                    vault.seal(place, home.root, keys)
                    sealed = present
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Pulled(StoreError):
    exit_code = PULLED

    def __init__(self, place: Stick) -> None:
        super().__init__(
            f"The stick was pulled out of {place.disk}. What was saved until then is on it.",
            "Put it back and start again.",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    deadline = time.monotonic() + GRACE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if process.poll() is None:
        process.kill()
        process.wait(GRACE_S)
