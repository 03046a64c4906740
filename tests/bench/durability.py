"""Bench durability: kill, power cut, bad disk, rot, pulled stick, mad clock, random rollbacks.

    make bench NAME=durability [ARGS="--quick | --part crash,power --seconds 280 --room DIR"]

Parts: crash (G15), power (G16), faults and disk (G17), stick (G18), rot (G19), clock (G22),
rollback (G28), served (versions really loaded by llama.cpp after a kill and after a rollback). What
needs strace, mounts or root and does not find them is skipped, loudly. With --room, `crash` goes on
where an earlier call stopped. Each part also breaks the product on purpose and must notice (G0).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from durable import clocks, crash, faults, ops, power, rollbacks, rot  # noqa: E402

STICK = Path(__file__).resolve().parents[1] / "durable" / "stick.py"
QUICK_EVERY = 17
"""Every n-th crash point with --quick."""


def crashes(report: Report, room: Path, seconds: float, names: tuple[str, ...]) -> None:
    """G15."""
    if why := crash.possible():
        report.say(f"SKIPPED crash: {why}")
        return
    began = time.monotonic()
    every = QUICK_EVERY if report.quick else 1
    total, complete, slowest = 0, True, 0.0
    for name in names:
        left = seconds - (time.monotonic() - began)
        memory = None if report.quick else room / f"crash-{name}.json"
        found = crash.sweep(name, room / "crash", every=every, seconds=left, memory=memory)
        total, slowest = total + found.count, max(slowest, found.slowest_s)
        complete = complete and found.complete
        said = ", ".join(f"{count} {call}" for call, count in found.points.items())
        report.say(f"{name}: {found.count} points ({said})")
        for wrong in found.wrong[:5]:
            report.say(f"    {wrong}")
        report.exactly(f"crash, {name}: wrong states", len(found.wrong), 0, found.count)
    if names == tuple(ops.OPS):
        report.at_least("crash points tried", total, 40 if report.quick else 500, total)
    report.at_most("seconds of the slowest recovery", slowest, crash.SLOWEST_S, total)
    if not complete:
        report.say("INCOMPLETE: the time was up; call again with the same --room")
    report.exactly("crash: every point of every operation", float(complete), 1, len(names))
    for defect, name, every_ in (
        ("write-in-place", "rollback", 1),
        ("status-first", "rollback", 3),
    ):
        broken = crash.sweep(name, room / defect, every=every_, defect=defect, first_wrong=True)
        report.at_least(f"crash notices {defect}", len(broken.wrong), 1, broken.count)


def powers(report: Report, room: Path, names: tuple[str, ...]) -> None:
    """G16, from recorded system calls."""
    if why := crash.possible():
        report.say(f"SKIPPED power: {why}")
        return
    total = 0
    for name in names:
        tried, wrong = power.sweep(name, room / "power", 6 if report.quick else 120, seed=1)
        total += tried
        for item in wrong[:5]:
            report.say(f"    {item}")
        report.exactly(f"lost power, {name}: wrong states", len(wrong), 0, tried)
    if names == tuple(ops.OPS):
        report.at_least("states after lost power", total, 100 if report.quick else 200, total)
    tried, wrong = power.sweep("promote", room / "no-fsync", 120, seed=1, defect="no-fsync")
    report.at_least("lost power notices no-fsync", len(wrong), 1, tried)


def bad_disks(report: Report, room: Path, names: tuple[str, ...]) -> None:
    """G17: calls that fail."""
    if why := crash.possible():
        report.say(f"SKIPPED faults: {why}")
        return
    tried, slowest = 0, 0.0
    for name in names:
        found = faults.sweep(name, room / "faults", 40 if report.quick else 8)
        tried, slowest = tried + found.tried, max(slowest, found.slowest_s)
        for item in [*found.wrong[:5], *found.retried[:5]]:
            report.say(f"    {item}")
        report.exactly(f"bad disk, {name}: wrong", len(found.wrong), 0, found.tried)
        report.exactly(f"bad disk, {name}: fsync tried again", len(found.retried), 0, found.tried)
    caught = faults.noticed(room / "faults")
    report.exactly("bad disk notices an fsync that is passed over", float(caught), 1, 1)
    report.at_most("seconds until a bad disk was said", slowest, faults.LATE_S, tried)


def small_disks(report: Report, room: Path, names: tuple[str, ...]) -> None:
    """G17: a real disk of 3 MB (80 for an import) that is full, or can only be read."""
    try:
        with faults.small_disk(room / "try"):
            pass
    except OSError as error:
        report.say(f"SKIPPED real full disk: {error}")
        return
    for kind in ("full", "read-only"):
        told = {name: faults.real(name, room / "real", kind) for name in names}
        wrong = [f"    {name}: {said}" for name, said in told.items() if said]
        for item in wrong:
            report.say(item)
        report.exactly(f"real small disk, {kind}: wrong", len(wrong), 0, len(names))


def sticks(report: Report, room: Path) -> None:
    """G18."""
    pulls = 1 if report.quick else 20
    for words in (["unshare", "-m"], ["unshare", "-Urm"]):
        if shutil.which("unshare") is None:
            break
        place = room / "stick"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        done = subprocess.run(
            [*words, sys.executable, str(STICK), str(place), str(pulls)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            told = json.loads(done.stdout.splitlines()[-1])
            for item in told["wrong"][:8]:
                report.say(f"    {item}")
            report.exactly("pulled stick: wrong", len(told["wrong"]), 0, told["tried"])
            seen = len(told["noticed"])
            report.at_least("pulled stick notices a comparison without its guard", seen, 1, 2)
            return
    report.say("SKIPPED stick: no mounts of our own can be made here")


def rots(report: Report, room: Path) -> None:
    """G19."""
    count = 40 if report.quick else 500
    found = rot.sweep(room / "rot", count, seed=19)
    report.say(f"{found.mattered} of {found.tried} wounds mattered, in {len(found.by_file)} files")
    for item in found.wrong[:8]:
        report.say(f"    {item}")
    report.exactly("rot: not named, not mended, or lost", len(found.wrong), 0, found.tried)
    with no_hashes():
        blind = rot.sweep(room / "blind", 12, seed=19, only=("versions/",))
    report.at_least("rot notices a doctor without hashes", len(blind.wrong), 1, blind.tried)


@contextlib.contextmanager
def no_hashes() -> Iterator[None]:
    """A doctor that trusts every version's files."""
    from nightschool.registry import versions

    real = versions.damaged
    versions.damaged = lambda home, version: ""  # type: ignore[assignment]
    try:
        yield
    finally:
        versions.damaged = real


def mad_clocks(report: Report, room: Path) -> None:
    """G22."""
    found = clocks.sweep(room / "clock", 4 if report.quick else 30)
    report.say(f"backups {found.backups}, nights {found.nights}")
    for item in found.wrong[:8]:
        report.say(f"    {item}")
    kinds = len(clocks.JUMPS)
    report.exactly("clock: wrong", len(found.wrong), 0, kinds)
    report.at_least("days lived with seven clocks", found.lived_days, 28, kinds)
    with by_date():
        broken = clocks.sweep(room / "by-date", 8)
    report.at_least("clock notices pruning by date", len(broken.wrong), 1, kinds)


@contextlib.contextmanager
def by_date() -> Iterator[None]:
    """Backups in the order of their dates, as a clock that jumps would have it."""
    from nightschool.store import snapshot

    real = snapshot.listed

    def dated(folder: Path) -> list[snapshot.Backup]:
        return sorted(real(folder), key=lambda b: str(snapshot.about(b)["at"]), reverse=True)

    snapshot.listed = dated
    try:
        yield
    finally:
        snapshot.listed = real


def lives(report: Report, room: Path) -> None:
    """G28."""
    count = 40 if report.quick else 200
    found = rollbacks.sweep(room / "lives", count, seed=28)
    report.say(f"{found.steps} steps, {found.kills} kills")
    for item in found.wrong[:8]:
        report.say(f"    {item}")
    report.exactly("random rollbacks: wrong sequences", len(found.wrong), 0, found.sequences)
    report.at_most("seconds of the slowest rollback", found.slowest_s, 5, found.sequences)
    with rollbacks.no_gate():
        broken = rollbacks.sweep(room / "no-gate", 30, seed=28)
    report.at_least("rollbacks notice a gate that is left out", len(broken.wrong), 1, 30)


def served(report: Report, room: Path) -> None:
    """The answers of real versions, loaded by llama.cpp, after kills and rollbacks."""
    from durable import answers

    tried = answers.sweep(room / "served", 2 if report.quick else 8)
    for item in tried.wrong:
        report.say(f"    {item}")
    report.exactly("served: version did not load", len(tried.wrong), 0, tried.loads)
    report.exactly("answers after a rollback that differ", tried.differing, 0, tried.answers)
    report.at_least("answers that tell versions apart", tried.distinct, 2, tried.answers)


OF_NAMES: dict[str, Callable[[Report, Path, tuple[str, ...]], None]] = {
    "power": powers,
    "faults": bad_disks,
    "disk": small_disks,
}
PARTS: dict[str, Callable[[Report, Path], None]] = {
    "stick": sticks,
    "rot": rots,
    "clock": mad_clocks,
    "rollback": lives,
    "served": served,
}


EVERY = ("crash", *OF_NAMES, *PARTS)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--part", default="", help=f"{', '.join(EVERY)}; commas between")
    parser.add_argument("--only", default="", help=f"of {', '.join(ops.OPS)}: these")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop `crash` after these")
    parser.add_argument("--room", type=Path, help="a folder to work in, kept for the next call")
    options = parser.parse_args()
    wanted = [part for part in options.part.split(",") if part] or list(EVERY)
    unknown = [part for part in wanted if part not in EVERY]
    if unknown:
        parser.error(f"there is no part {unknown[0]}")
    names = tuple(name for name in options.only.split(",") if name) or tuple(ops.OPS)
    if strange := [name for name in names if name not in ops.OPS]:
        parser.error(f"there is no operation {strange[0]}")
    report = Report(options.quick)
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with contextlib.ExitStack() as stack:
        room = options.room
        if room is None:
            room = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory)))
        room.mkdir(parents=True, exist_ok=True)
        for part in wanted:
            report.say(f"-- {part}")
            if part == "crash":
                crashes(report, room, options.seconds, names)
                continue
            for left in (room / part, room / "kept"):
                shutil.rmtree(left, ignore_errors=True)
            if part in PARTS:
                PARTS[part](report, room)
                continue
            few = ("rollback", "forget") if report.quick and part != "power" else tuple(ops.OPS)
            OF_NAMES[part](report, room, names if options.only else few)
    report.finish()


if __name__ == "__main__":
    main()
