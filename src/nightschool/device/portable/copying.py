"""Copy files so that any file system of a stick can hold them.

exFAT and FAT know no links, owners or modes and fold case, FAT ends at 4 GB, and Windows refuses
some names: what does not fit is refused before anything is written.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

from nightschool.errors import Refused, StoreError, of_disk
from nightschool.ports import Progress, silent

LARGEST = (4 << 30) - 1
"""Bytes of the largest file on FAT32."""
_RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}
_FORBIDDEN = set('<>:"\\|?*') | {chr(code) for code in range(32)}


@dataclass(frozen=True, slots=True)
class Item:
    """One file: where it is, and its POSIX path below the target."""

    source: Path
    name: str


@dataclass
class Plan:
    """All files that are to be copied."""

    items: list[Item] = field(default_factory=list)

    def add(self, source: Path, name: str) -> None:
        self.items.append(Item(source, name))

    def tree(self, source: Path, name: str, left_out: Iterable[str] = ()) -> None:
        """Every file below `source`; links to files are followed. `left_out` are folder names."""
        for path in files_below(source, {"__pycache__", *left_out}):
            self.add(path, f"{name}/{path.relative_to(source).as_posix()}")

    @property
    def size(self) -> int:
        return sum(item.source.stat().st_size for item in self.items)

    def check(self) -> None:
        """Raises Refused when a file cannot lie on a stick."""
        problems = misfits((item.name, item.source.stat().st_size) for item in self.items)
        if problems:
            raise Refused(
                f"{len(problems)} files cannot lie on a stick, the first: {problems[0]}.",
                "Leave them out, or give them other names.",
            )

    def copy(self, target: Path, progress: Progress = silent) -> None:
        """Copy all; Python sources get their bytecode beside them, since no host may write it.

        Raises StoreError when the stick is full, read-only or gone.
        """
        made: set[Path] = set()
        for done, item in enumerate(self.items):
            progress("copy", done, len(self.items))
            place = target / item.name
            try:
                if place.parent not in made:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    made.add(place.parent)
                shutil.copyfile(item.source, place)
                if item.name.endswith(".py") and (code := bytecode(item.source, item.name)):
                    cached = Path(importlib.util.cache_from_source(str(place)))
                    cached.parent.mkdir(exist_ok=True)
                    cached.write_bytes(code)
            except OSError as error:
                raise of_disk(error) or StoreError(
                    f"{place} cannot be written: {error.strerror or error}.",
                    "Check that the stick is there and may be written.",
                ) from error
        progress("copy", len(self.items), len(self.items))


def files_below(folder: Path, left_out: Iterable[str] = ()) -> Iterator[Path]:
    """Plain files, in order; without folders of these names."""
    names = set(left_out)
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in names)
        for name in sorted(files):
            if not name.endswith((".pyc", ".a")) and Path(here, name).is_file():
                yield Path(here, name)


def misfits(files: Iterable[tuple[str, int]]) -> list[str]:
    """What cannot lie on exFAT or FAT, or be seen on Windows: by (POSIX path, bytes)."""
    found: list[str] = []
    seen: dict[str, str] = {}
    checked: set[str] = set()
    for name, size in files:
        if size > LARGEST:
            found.append(f"{name} is larger than 4 GB")
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            if path in checked:
                continue
            checked.add(path)
            part = parts[end - 1]
            if set(part) & _FORBIDDEN or part.endswith((" ", ".")):
                found.append(f"{path} has a name that Windows refuses")
            if part.split(".")[0].lower() in _RESERVED:
                found.append(f"{path} has the name of a device")
            other = seen.setdefault(path.casefold(), path)
            if other != path:
                found.append(f"{path} and {other} differ in case only")
    return found


def bytecode(source: Path, name: str) -> bytes | None:
    """The `.pyc` of a source, valid whatever its time says (PEP 552, unchecked hash).

    What the interpreter has compiled before is used again. File names inside are relative: the
    maker's folders do not travel. None for a file that is no valid Python (templates are not).
    """
    data = source.read_bytes()
    code = _compiled(source)
    if code is None:
        try:
            code = compile(data, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return None
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    return head + importlib.util.source_hash(data) + marshal.dumps(_renamed(code, name))


def _compiled(source: Path) -> CodeType | None:
    try:
        raw = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    except OSError:
        return None
    status = source.stat()
    told = (raw[:4], raw[4:8], raw[8:12], raw[12:16])
    wanted = (
        importlib.util.MAGIC_NUMBER, bytes(4),
        (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little"),
        (status.st_size & 0xFFFFFFFF).to_bytes(4, "little"),
    )  # fmt: skip
    if told != wanted:
        return None
    try:
        code = marshal.loads(raw[16:])
    except (ValueError, EOFError, TypeError):
        return None
    return code if isinstance(code, CodeType) else None


def _renamed(code: CodeType, name: str) -> CodeType:
    inner = (_renamed(one, name) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_filename=name, co_consts=tuple(inner))
