"""What `doctor` looks at, in order, and how `--repair` mends: look, mend, look again.

The files of the home come first, because the database may be too damaged to be opened.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from nightschool.cli.show import size
from nightschool.device import disks, suggest
from nightschool.errors import NightschoolError, Refused, of_disk
from nightschool.models import sitting
from nightschool.paths import stick
from nightschool.registry import health
from nightschool.registry.health import Finding

if TYPE_CHECKING:
    from nightschool.api import Nightschool
    from nightschool.paths import Home

LITTLE_SPACE = 1_000_000_000
"""Free bytes below which a night may not find room for its checkpoints."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` is empty when all is well. `mended` says what a
    repair did, `can_mend` that `--repair` would do something."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    can_mend: bool = False
    mended: str = ""


Look = tuple[str, Callable[[], Finding]]


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Nobody else works in this home meanwhile. Raises Refused."""
    home.create()
    with contextlib.ExitStack() as stack:
        for lock, who, remedy in (
            (home.lock, "The service runs", "Stop it first: nightschool stop"),
            (home.learning, "A night is running", "Wait for it, or stop it with Ctrl-C."),
        ):
            held = FileLock(lock, mode=0o600)
            try:
                held.acquire(timeout=0)
            except Timeout as error:
                raise Refused(f"{who} on this home, so nothing can be repaired.", remedy) from error
            stack.callback(held.release)
        yield


def of_home(home: Home, *, repair: bool) -> Iterator[Check]:
    """What can be looked at without opening the database."""
    looks: list[Look] = [
        ("home", lambda: _home(home.root)),
        ("disk", lambda: _disk(home.root)),
        ("settings", lambda: _settings(home)),
        *([] if repair else [("locks", lambda: _locks(home))]),  # a repair holds them itself
        ("database", lambda: health.sound_database(home)),
        ("backups", lambda: health.backups(home)),
        ("encoders", lambda: health.built_models(home)),
        ("leftovers", lambda: health.leftovers(home)),
    ]
    for name, look in looks:
        yield judged(name, look, repair=repair)


def of_school(door: Nightschool, *, repair: bool, start_engine: bool) -> Iterator[Check]:
    """What needs the database: what is in it, versions, folders, models, the engine."""
    home, store = door.home, door.store
    looks: list[Look] = [
        ("full text", lambda: health.full_text(store)),
        ("vectors", lambda: health.vectors(store)),
        ("records", lambda: health.rows_as_before(home, store)),
        ("forgotten files", lambda: health.forgotten(home, store)),
        ("version files", lambda: health.version_files(home, store)),
        ("served version", lambda: health.served(home, store)),
        ("search cache", lambda: health.search_cache(home, store)),
        ("notes", lambda: health.rotten_notes(home, store)),
        ("base model", lambda: _model(door)),
        ("service", _service),
    ]
    for name, look in looks:
        yield judged(name, look, repair=repair)
    folders: list[str] = []
    listed = judged("folders", lambda: _folders(door, folders))
    if not listed.ok:
        yield listed
    for path in folders:
        yield judged("folder", functools.partial(_folder, Path(path)))
    yield judged("index", lambda: _index(door, mend=repair), repair=repair)
    if start_engine:
        yield judged("engine", lambda: _engine(door))


def judged(name: str, look: Callable[[], Finding], *, repair: bool = False) -> Check:
    """One look, and with `repair` the repair and a second look."""
    first = _looked(name, look)
    if first.ok or first.repair is None or not repair:
        mendable = not first.ok and first.repair is not None
        return Check(first.name, first.ok, first.found, first.remedy, mendable)
    try:
        mended = first.repair()
    except NightschoolError as error:
        return Check(first.name, False, f"{first.found} {error.message}", error.remedy)
    except OSError as error:
        said = of_disk(error) or NightschoolError(f"It cannot be mended: {error}.", "")
        return Check(first.name, False, f"{first.found} {said.message}", said.remedy)
    second = _looked(name, look)
    found = f"{first.found} Now: {second.found}"
    return Check(first.name, second.ok, found, second.remedy, mended=mended)


def _looked(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except NightschoolError as error:
        return Finding(name, False, error.message, error.remedy)
    except OSError as error:
        return Finding(name, False, f"It cannot be read: {error}.", "Check its permissions.")
    except (
        ValueError,
        TypeError,
        KeyError,
    ) as error:  # rows that SQLite lets pass, and make no sense
        said = f"It makes no sense: {type(error).__name__}: {error}."
        return Finding(name, False, said, "Restore a backup: see docs/durability.md.")


def _home(root: Path) -> Finding:
    ok = os.access(root, os.W_OK)
    private = os.name != "posix" or root.stat().st_mode & 0o077 == 0
    if not ok:
        return Finding("home", False, f"{root} is not writable.", "Check its owner and mode.")
    if not private and stick(root) is None:  # FAT and exFAT know no modes
        return Finding("home", False, f"Others can read {root}.", f"chmod 700 {root}")
    if kind := disks.share(root):
        return Finding(
            "home", False, f"{root} is on a network share ({kind}); its database may be damaged.",
            "Use a folder of this machine: --home or NIGHTSCHOOL_HOME.",
        )  # fmt: skip
    return Finding("home", True, str(root))


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    ok = free >= LITTLE_SPACE
    return Finding("disk", ok, f"{size(free)} free.", "" if ok else "Free some space for a night.")


def _settings(home: Home) -> Finding:
    from nightschool import config

    found = config.load(home.config)
    where = str(home.config) if home.config.exists() else "none of your own, so the usual ones"
    if found.profile:
        where += f", profile {found.profile}"
    elif suits := suggest.profile(suggest.build()):  # advice, never a fault
        where += f"; the profile {suits} would suit this machine: config set profile {suits}"
    return Finding("settings", True, where)


def _locks(home: Home) -> Finding:
    """A lock is the system's, so a file without a holder is nothing; a holder that is deaf is."""
    from nightschool.daemon import client, instance

    running = instance.held(home.lock)
    if running and client.connect(home) is None:
        return Finding(
            "locks", False, "A process holds the home, but no service answers.",
            "Wait a minute; then `nightschool start` takes over.",
        )  # fmt: skip
    night = " A night is running." if instance.held(home.learning) else ""
    return Finding("locks", True, ("The service runs." if running else "free.") + night)


def _folders(door: Nightschool, found: list[str]) -> Finding:
    found += [str(Path(root.path)) for root in door.roots()]
    return Finding("folders", True, str(len(found)))


def _folder(path: Path) -> Finding:
    name = f"folder {path}"
    if not path.is_dir():
        return Finding(
            name, False, "It is missing; its index is kept.",
            f"Mount or restore it, or: nightschool watch remove {path}",
        )  # fmt: skip
    if not os.access(path, os.R_OK | os.X_OK):
        return Finding(name, False, "It cannot be read.", "Check its permissions.")
    return Finding(name, True, "readable")


def _model(door: Nightschool) -> Finding:
    info = door.model()
    if door.store.path.exists() and info.path.exists():
        from nightschool.registry.versions import sha256

        if sha256(info.path) != info.sha256:
            return Finding(
                "base model", False, f"{info.path} changed without being written.",
                "The disk may be failing: add the model again (`nightschool model add`).",
            )  # fmt: skip
    ok = info.can_serve and info.can_learn
    able = "serves and learns" if ok else ("serves" if info.can_serve else "cannot serve")
    leads = ""
    if sitting.wanted(door.store, info):
        leads = " It has not sat its exam (`nightschool model exam`): the reader leads."
    elif (known := door.abilities()).examined:
        leads = f" Its exam: {'it' if known.leads else 'the reader'} leads."
    return Finding("base model", info.can_serve, f"{info.name}: {able}.{leads}", info.why_not)


def _service() -> Finding:
    """An installation by another version may start what is not there any more. One that differs in
    other ways (another home, another desktop) is the user's own affair."""
    from nightschool import __version__
    from nightschool.device.services import install

    for kind in install.KINDS:
        if kind == "task" and sys.platform != "win32":
            continue
        found = install.state(install.describe(kind, install.start_of(None)))
        if found.installed and not found.current and __version__ not in found.writer:
            return Finding(
                "service", False, f"{found.file} was written by {found.writer}.",
                "See what would change: nightschool service install --dry-run",
            )  # fmt: skip
        if found.installed:
            return Finding("service", True, f"installed ({kind})")
    return Finding("service", True, "not installed; `nightschool service install` does it")


def _index(door: Nightschool, *, mend: bool) -> Finding:
    """As many vectors as passages. What is missing waits for the next comparison, so nothing is
    wrong with it; a repair does not wait."""
    from nightschool.store import documents

    waiting = documents.without_any_vector(door.store)
    again = sum(
        item.size < 0
        for root in door.roots()
        for item in documents.known(door.store, root.id).values()
    )
    if not waiting and not again:
        return Finding("index", True, "every passage has its vector")
    told = f"{waiting} passages wait for a vector, {again} files to be read again"
    if not mend:
        return Finding("index", True, f"{told}: at the next comparison with the folders.")

    def repair() -> str:
        reports = door.refresh()
        return f"{sum(int(report.get('embedded', 0)) for report in reports)} vectors made."

    return Finding("index", False, f"{told}.", health.REPAIR, repair)


def _engine(door: Nightschool) -> Finding:
    ready = door.engine().call("status")
    names = [str(ready.get(key)) for key in ("model", "reader", "embedder") if ready.get(key)]
    return Finding("engine", True, f"starts ({', '.join(names)})" if names else "starts")
