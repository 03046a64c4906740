"""Make the folder of a stick: launchers, runtime, packages, model, home, and its mark, last."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nightschool
from nightschool import vault
from nightschool.device.portable import llama, packages, runtime
from nightschool.device.portable.copying import Plan
from nightschool.errors import NightschoolError, Refused, StoreError, UsageError, of_disk
from nightschool.paths import MARKER, Home
from nightschool.ports import Progress, silent
from nightschool.store import atomic

MANIFEST = "manifest.json"
FILES = Path(__file__).parent / "files"
SPARE = 300 << 20
"""Bytes that stay free for the home's own files."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished folder. `files` counts what was copied, `size` their bytes."""

    folder: Path
    files: int
    size: int
    encrypted: bool
    system: str


def create(
    folder: Path,
    *,
    home: Home,
    passphrase: Callable[[], str] | None = None,
    wheel: Path | None = None,
    native: bool = False,
    progress: Progress = silent,
) -> Made:
    """Make `folder`, which must be missing or empty. With `passphrase`, what is personal is sealed.

    llama.cpp is `wheel`, or as it is installed here (`native`: for computers with this very
    processor), or built for others. A failure leaves the folder as it was found. Raises UsageError
    for a folder that cannot be used, Refused, StoreError when there is no room.
    """
    if home.stick is not None:
        raise Refused(
            "A stick is made from an installed Nightschool, not from another stick.",
            "To have a second one, copy the whole folder.",
        )
    _require(folder, home)
    keys = None if passphrase is None else vault.create(passphrase())
    file = wheel if wheel or native else llama.wheel(progress)
    there = folder.exists()
    with tempfile.TemporaryDirectory(prefix="nightschool-create-") as work:
        plan = Plan()
        facts = _plan(plan, file, Path(work))
        plan.check()
        size = plan.size
        _need_room(folder, size)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            plan.copy(folder, progress)
            _home(folder, None if keys is None else keys[1])
            _launchers(folder, facts)
            _mark(folder, plan, facts, encrypted=keys is not None)
        except (NightschoolError, OSError, KeyboardInterrupt) as error:
            _undo(folder, there)
            if isinstance(error, OSError):
                raise of_disk(error) or StoreError(
                    f"{folder} cannot be written: {error.strerror or error}.",
                    "Check that the stick is there and may be written.",
                ) from error
            raise
    return Made(folder, len(plan.items), size, keys is not None, runtime.system())


def _require(folder: Path, home: Home) -> None:
    try:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UsageError(f"{folder} is not a folder.", "Name a folder on the stick.")
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty.", "Name a folder that does not exist yet, or empty it."
            )
        inside = folder.resolve()
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be read: {error.strerror or error}.", "Check its permissions."
        ) from error
    if inside.is_relative_to(home.root.resolve()):
        raise UsageError(
            f"{folder} lies inside Nightschool's own home.", "Name a folder on the stick."
        )
    if os.fsencode(folder) != str(folder).encode("utf-8", "replace"):
        raise UsageError("The folder's name is not valid Unicode.", "Give it another name.")


def _plan(plan: Plan, wheel: Path | None, work: Path) -> dict[str, str]:
    """All files; what the launcher must know of this system."""
    system = runtime.system()
    base = f"runtime/{system}"
    binary = runtime.plan_runtime(plan, base)
    site = f"{base}/{runtime.packages_folder()}"
    objects = packages.plan_packages(plan, site)
    if wheel is None:
        objects += packages.plan_installed(plan, site, packages.NATIVE)
    else:
        objects += llama.plan_wheel(plan, site, wheel, work / "llama")
    runtime.plan_libraries(plan, f"{base}/lib", objects)
    packages.plan_nightschool(plan, "app")
    pointer = work / "nightschool.pth"
    pointer.write_text("../../../../../app\n", encoding="ascii")
    plan.add(pointer, f"{site}/nightschool.pth")
    binaries = [item.source for item in plan.items if item.name.startswith(f"{base}/lib/lib")]
    flags = llama.NEEDS.get(system.partition("-")[2], ()) if wheel is not None else _flags()
    return {
        "SYSTEM": system,
        "LOADER": runtime.loader(runtime.interpreter()),
        "BINARY": binary.relative_to(base).as_posix(),
        "FLAGS": " ".join(flags),
        "GLIBC": runtime.needed_glibc([runtime.interpreter(), *binaries]),
    }


def _flags() -> tuple[str, ...]:
    """The vector units of this very processor, which a native build may use."""
    known = {"avx", "avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512vl", "avx_vnni"}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                return tuple(sorted(known & set(line.split())))
    return ()


def _need_room(folder: Path, size: int) -> None:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < size + SPARE:
        raise StoreError(
            f"{there} has {free / 1e9:.1f} GB free; the stick needs {(size + SPARE) / 1e9:.1f}.",
            "Use a larger stick.",
        )


def _home(folder: Path, wrapped: bytes | None) -> None:
    (folder / "data").mkdir()
    if wrapped is not None:
        (folder / vault.KEY).write_bytes(wrapped)


def _launchers(folder: Path, facts: dict[str, str]) -> None:
    for source in sorted(FILES.glob("start-*")):
        text = source.read_text(encoding="utf-8")
        for name, value in facts.items():
            text = text.replace(f"@{name}@", value)
        ends = "\r\n" if source.suffix == ".bat" else "\n"
        target = folder / source.name
        target.write_bytes(text.replace("\n", ends).encode())
        with contextlib.suppress(OSError):
            target.chmod(0o755)
    (folder / "app" / "requirements.txt").write_text(packages.requirements(), encoding="utf-8")
    text = (FILES / "README.txt").read_text(encoding="utf-8")
    (folder / "README.txt").write_bytes(text.replace("\n", "\r\n").encode())


def _mark(folder: Path, plan: Plan, facts: dict[str, str], *, encrypted: bool) -> None:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    listed = {item.name: item.source.stat().st_size for item in plan.items}
    manifest = {
        "nightschool": nightschool.__version__, "made": made,
        "needs": facts, "files": listed,
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=0), encoding="utf-8")
    mark = {"format": 1, "id": uuid.uuid4().hex, "made": made, "encrypted": encrypted}
    with (folder / MARKER).open("w", encoding="utf-8") as sink:
        sink.write(json.dumps(mark, indent=1))
        sink.flush()
        os.fsync(sink.fileno())
    atomic.sync_disk(folder)


def _undo(folder: Path, there: bool) -> None:
    if there:
        for entry in folder.iterdir():
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
