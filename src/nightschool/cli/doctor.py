"""`status` and `doctor`: what is going on, and whether everything that is needed is in order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightschool.cli.door import school
from nightschool.cli.show import emit, say, size, table
from nightschool.errors import NightschoolError

if TYPE_CHECKING:
    from nightschool.api import Nightschool

LITTLE_SPACE = 1_000_000_000
"""Free bytes below which a night may not find room for its checkpoints."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` is empty when all is well."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What is watched, what is served, and how the last night ended."""
    with school(context) as door:
        found = door.status()
    if as_json:
        emit(found)
        return
    files = ", ".join(f"{count} {name}" for name, count in found["files"].items() if count)
    night = found["last_night"]
    served = f"version {found['version']}" if found["version"] else "without adapter"
    pairs = found["pairs"]
    last = f"{night['outcome'].replace('_', ' ')} ({night['started_at']})" if night else "none yet"
    rows = [
        ("home", found["home"]),
        ("folders", found["folders"]),
        ("files", files or "none"),
        ("passages", found["passages"]),
        ("practice pairs", sum(pairs.get(s, 0) for s in ("train", "visible", "hidden"))),
        ("model", f"{found['model']}, {served}"),
        ("last night", last),
    ]
    if number := found["unfinished_night"]:
        rows.append(("unfinished", f"night {number}: `nightschool learn` resumes it"))
    table(("", ""), rows)


def doctor(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Do not start the engine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at everything that is needed, and say what is wrong and how to mend it."""
    with school(context) as door:
        checks = list(examine(door, start_engine=not quick))
    healthy = all(check.ok for check in checks)
    if as_json:
        emit({"healthy": healthy, "checks": checks})
    else:
        table(
            ("", "what", "found"),
            [("ok" if c.ok else "!!", c.name, f"{c.found} {c.remedy}".strip()) for c in checks],
        )
        say(
            "All is well."
            if healthy
            else "Something needs attention; the lines marked !! say what."
        )
    raise typer.Exit(0 if healthy else 1)


def examine(door: Nightschool, *, start_engine: bool) -> Iterator[Check]:
    """All checks, cheap ones first; a check that raises says so instead of ending the list."""
    yield _checked("home", lambda: _home(door.home.root))
    yield _checked("disk", lambda: _disk(door.home.root))
    yield _checked("database", lambda: _database(door))
    for root in door.roots():
        yield _folder(Path(root.path))
    yield _checked("base model", lambda: _model(door))
    yield _checked("served version", lambda: _version(door))
    if start_engine:
        yield _checked("engine", lambda: _engine(door))


def _checked(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except NightschoolError as error:
        return Check(name, False, error.message, error.remedy)


def _home(root: Path) -> Check:
    ok = os.access(root, os.W_OK)
    private = os.name != "posix" or root.stat().st_mode & 0o077 == 0
    if not ok:
        return Check("home", False, f"{root} is not writable.", "Check its owner and mode.")
    if not private:
        return Check("home", False, f"Others can read {root}.", f"chmod 700 {root}")
    return Check("home", True, str(root))


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free
    ok = free >= LITTLE_SPACE
    return Check("disk", ok, f"{size(free)} free.", "" if ok else "Free some space for a night.")


def _database(door: Nightschool) -> Check:
    from nightschool.store.db import check

    problem = check(door.store)
    if problem:
        return Check(
            "database", False, f"{door.home.database} is damaged: {problem}.",
            "Move it away and add the folders again; your files are untouched.",
        )  # fmt: skip
    return Check("database", True, f"{size(door.home.database.stat().st_size)}, sound")


def _folder(path: Path) -> Check:
    name = f"folder {path}"
    if not path.is_dir():
        return Check(
            name, False, "It is missing; its index is kept.",
            f"Mount or restore it, or: nightschool watch remove {path}",
        )  # fmt: skip
    if not os.access(path, os.R_OK | os.X_OK):
        return Check(name, False, "It cannot be read.", "Check its permissions.")
    return Check(name, True, "readable")


def _model(door: Nightschool) -> Check:
    info = door.model()
    ok = info.can_serve and info.can_learn
    able = "serves and learns" if ok else ("serves" if info.can_serve else "cannot serve")
    return Check("base model", info.can_serve, f"{info.name}: {able}.", info.why_not)


def _version(door: Nightschool) -> Check:
    from nightschool.registry.versions import verify

    current = next((item for item in door.versions() if item.current), None)
    if current is None:
        return Check(
            "served version", False, "The pointer names a version that is not there.",
            "nightschool use 0",
        )  # fmt: skip
    if current.number:
        verify(door.home, current)
    return Check("served version", True, f"version {current.number}" if current.number else "base")


def _engine(door: Nightschool) -> Check:
    ready = door.engine().call("status")
    names = [str(ready.get(key)) for key in ("model", "reader", "embedder") if ready.get(key)]
    return Check("engine", True, f"starts ({', '.join(names)})" if names else "starts")
