"""G16: lost power. The system calls of one run are recorded with their data; then the disk is put
together as a power cut could have left it after any of them.

The model is the strict one (ALICE, OSDI 2014): a file's bytes are safe after fsync of the file, a
name after fsync of its folder, nothing else is. What is not safe may be there, may not, or in part
(whole sectors of a write), in any order between files. SQLite's shared memory never survives.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durable import crash, ops
from durable.made import Place

TRACED = (
    "openat", "close", "write", "pwrite64", "lseek", "ftruncate", "rename", "renameat2", "unlink",
    "unlinkat", "link", "linkat", "mkdir", "rmdir", "fsync", "fdatasync", "sendfile", "dup",
    "copy_file_range",
)  # fmt: skip
SECTOR = 512
NOT_DURABLE = {"ingest", "delete"}
"""Read again from the user's files after a power cut, so they need not wait for the disk."""


@dataclass
class Inode:
    """A file: what is safe on the disk, and what was written since. `folder` has no bytes."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[str, int, bytes]] = field(default_factory=list)
    folder: bool = False

    def now(self) -> bytearray:
        return applied(self.safe, self.pending)


@dataclass
class Step:
    """One change of names: `entries` are set together, None takes the name away."""

    folders: set[str]
    entries: dict[str, Inode | None]


def applied(data: bytearray, writes: list[tuple[str, int, bytes]]) -> bytearray:
    found = bytearray(data)
    for kind, at, body in writes:
        if kind == "cut":
            found = found[:at] + bytearray(max(0, at - len(found)))
        else:
            found += bytearray(max(0, at - len(found)))
            found[at : at + len(body)] = body
    return found


@dataclass
class Disk:
    """The folder of one place, as the kernel sees it and as the disk has it."""

    root: str
    names: dict[str, Inode] = field(default_factory=dict)
    safe_names: dict[str, Inode] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path) -> Disk:
        made = cls(str(root))
        for path in sorted(root.rglob("*")):
            body = bytearray() if path.is_dir() else bytearray(path.read_bytes())
            made.names[str(path)] = Inode(body, folder=path.is_dir())
        made.safe_names = dict(made.names)
        return made

    def change(self, entries: dict[str, Inode | None]) -> None:
        for name, inode in entries.items():
            if inode is None:
                self.names.pop(name, None)
            else:
                self.names[name] = inode
        self.steps.append(Step({str(Path(name).parent) for name in entries}, entries))

    def sync(self, path: str) -> None:
        inode = self.names.get(path)
        if path == self.root or (inode is not None and inode.folder):
            for step in [s for s in self.steps if path in s.folders]:
                self._settle(step)
        elif inode is not None:
            inode.safe, inode.pending = inode.now(), []

    def _settle(self, step: Step) -> None:
        """A name is safe together with the names that were changed in the same step."""
        for name, inode in step.entries.items():
            if inode is None:
                self.safe_names.pop(name, None)
            else:
                self.safe_names[name] = inode
        self.steps.remove(step)

    def after_cut(self, luck: random.Random, kind: str) -> dict[str, Inode | bytes]:
        """One state that a power cut may leave now: name → bytes, or a folder."""
        names = dict(self.safe_names)
        for step in self.steps:
            if kind in ("all", "names") or (kind == "mixed" and luck.random() < 0.5):
                for name, inode in step.entries.items():
                    if inode is None:
                        names.pop(name, None)
                    else:
                        names[name] = inode
        found: dict[str, Inode | bytes] = {}
        for name, inode in names.items():
            found[name] = inode if inode.folder else bytes(self._body(inode, luck, kind))
        return found

    @staticmethod
    def _body(inode: Inode, luck: random.Random, kind: str) -> bytearray:
        if kind in ("all", "data"):
            return inode.now()
        if kind in ("none", "names") or not inode.pending:
            return inode.safe
        kept: list[tuple[str, int, bytes]] = []
        for what, at, body in inode.pending:
            chance = luck.random()
            if chance < 0.5:
                kept.append((what, at, body))
            elif chance < 0.7 and what == "put" and len(body) > SECTOR:
                part = SECTOR * luck.randrange(1, len(body) // SECTOR + 1)
                kept.append((what, at, body[:part]))
        return applied(inode.safe, kept)


KINDS = ("none", "all", "names", "data", "mixed", "mixed")


def record(name: str, place: Place, defect: str = "") -> list[str]:
    """The calls of one undisturbed run, with all their data."""
    log = place.root.with_name("recorded.txt")
    done = subprocess.run(
        ["strace", "-f", "-qq", "-y", "-xx", "-s", "8388608", "-o", str(log),
         "-e", f"trace={','.join(TRACED)}", *crash.command(name, place, defect)],
        env=crash.ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name} fails: {done.stderr[-1000:]}")
    lines = log.read_text(errors="replace").splitlines()
    log.unlink()
    return lines


_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?")
_FD = re.compile(r"^(\d+)<")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def replay(disk: Disk, lines: list[str]) -> Iterator[int]:
    """Apply the recorded calls one by one; yields after each that changed the disk."""
    open_: dict[int, list[Any]] = {}  # descriptor → [path, inode, position, appends]
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if not found or int(found[3]) < 0:
            continue
        call, words, result = found[1], found[2], int(found[3])
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _HEX.findall(words)]
        handle = int(_FD.match(words)[1]) if _FD.match(words) else -1  # type: ignore[index]
        numbers = [int(n) for n in re.findall(r"(?<=, )\d+(?=,|$)", _HEX.sub("", words))]
        if call == "openat":
            path = unescaped(found[4] or "")
            if not path.startswith(f"{disk.root}/") and path != disk.root:
                open_.pop(result, None)
                continue
            inode = disk.names.get(path)
            if inode is None and path != disk.root:
                inode = Inode()
                disk.change({path: inode})
                yield number
            if inode is not None and "O_TRUNC" in words and inode.now():
                inode.pending.append(("cut", 0, b""))
                yield number
            open_[result] = [path, inode, 0, "O_APPEND" in words]
            continue
        if call in (
            "rename",
            "renameat2",
            "link",
            "linkat",
            "unlink",
            "unlinkat",
            "mkdir",
            "rmdir",
        ):
            if _names(disk, call, words, texts):
                yield number
            continue
        if handle not in open_:
            continue
        opened = open_[handle]
        path, inode = opened[0], opened[1]
        if call == "close":
            del open_[handle]
        elif call == "dup":
            open_[result] = opened
        elif call == "lseek":
            opened[2] = result
        elif call in ("fsync", "fdatasync"):
            disk.sync(path if disk.names.get(path) is inode or inode is None else "")
            yield number
        elif inode is None:
            continue
        elif call in ("write", "pwrite64"):
            body = texts[0][:result]
            at = numbers[-1] if call == "pwrite64" else opened[2]
            if call == "write":
                at = len(inode.now()) if opened[3] else at
                opened[2] = at + result
            inode.pending.append(("put", at, body))
            yield number
        elif call == "ftruncate":
            inode.pending.append(("cut", numbers[-1], b""))
            yield number
        elif call in ("sendfile", "copy_file_range"):
            source = re.findall(r"\d+<((?:\\x[0-9a-f]{2})*)>", words)
            name = unescaped(source[1] if call == "sendfile" else source[0])
            body = bytes(disk.names[name].now() if name in disk.names else Path(name).read_bytes())
            at = opened[2]
            inode.pending.append(("put", at, body[at : at + result]))
            opened[2] = at + result
            yield number


def unescaped(text: str) -> str:
    plain = bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()
    return plain.decode().removesuffix(" (deleted)")


def _names(disk: Disk, call: str, words: str, texts: list[bytes]) -> bool:
    """One change of names; whether it was in our folder."""
    at = [unescaped(text) for text in re.findall(r"(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>", words)]
    paths = [text.decode() for text in texts]
    base = at[0] if at else ""
    full = [path if path.startswith("/") else f"{base}/{path}" for path in paths]
    if not any(path.startswith(f"{disk.root}/") for path in full):
        return False
    if call in ("unlink", "unlinkat", "rmdir"):
        disk.change({full[0]: None})
    elif call == "mkdir":
        disk.change({full[0]: Inode(folder=True)})
    elif call in ("link", "linkat"):
        disk.change({full[1]: disk.names[full[0]]})
    else:
        old, new = full[0], full[1]
        moved: dict[str, Inode | None] = {}
        for name in [n for n in disk.names if n == old or n.startswith(f"{old}/")]:
            moved[new + name[len(old) :]] = disk.names[name]
            moved[name] = None
        disk.change(moved)
    return True


def put(state: dict[str, Inode | bytes], root: Path) -> None:
    """Write such a state where the place was."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name in sorted(state):
        path, body = Path(name), state[name]
        if isinstance(body, Inode):
            path.mkdir(parents=True, exist_ok=True)
        elif not name.endswith("-shm"):
            if path.parent.exists() and not path.parent.is_dir():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


def sweep(name: str, room: Path, states: int, seed: int, defect: str = "") -> tuple[int, list[str]]:
    """How many states were tried, and what was wrong in them."""
    luck = random.Random(f"{seed} {name}")
    place = ops.prepare(name, room / name)
    kept, old, new = crash.states(name, place)
    times = {p.relative_to(kept): p.stat().st_mtime_ns for p in kept.rglob("*") if p.is_file()}
    lines = record(name, place, defect)
    place.again(kept)
    count = sum(1 for _ in replay(Disk.of(place.root), lines))
    wanted = sorted(luck.sample(range(count), min(count, max(1, states // len(KINDS)))))
    wrong: list[str] = []
    tried = 0
    for cut in [*wanted, count - 1]:
        for kind in KINDS:
            place.again(kept)
            disk = Disk.of(place.root)
            for position, _ in enumerate(replay(disk, lines)):
                if position == cut:
                    break
            state = disk.after_cut(luck, kind)
            put(state, place.root)
            _old_times(place.root, times)
            tried += 1
            try:
                said = ops.judge(name, place, old, new)
                if not said and cut == count - 1 and name not in NOT_DURABLE:
                    said = _acknowledged(name, place, new)
                said = said or ops.finished(name, place, new)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            if said:
                wrong.append(f"{name}, cut after change {cut} of {count}, {kind}: {said}")
    return tried, wrong


def _acknowledged(name: str, place: Place, new: dict[str, Any]) -> str:
    """What was reported as done is there after the power comes back."""
    if name == "export" and not (place.root / "out.tar").exists():
        return "the export that was reported is not there"
    if ops.known(name, place) != new:
        return "what was reported as done is lost"
    return ""


def _old_times(root: Path, times: dict[Path, int]) -> None:
    """The user's files did not change, so neither did their times."""
    import os

    for name, at in times.items():
        path = root / name
        if path.is_file() and name.parts[0] == "watched":
            os.utime(path, ns=(at, at))
