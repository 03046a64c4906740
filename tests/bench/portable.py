"""Nightschool on a stick: made, carried to other computers, used, sealed, pulled out, put back.

    make bench NAME=portable [ARGS="--quick"] [ARGS="--same-processor"]

A real exFAT image in a file (through FUSE) is the stick where `mkfs.exfat` and `mount.exfat-fuse`
are installed (Debian: exfatprogs, exfat-fuse), a folder in memory else, and the output says which.
Another computer is a mount and a network namespace with another user, an empty environment, no
network and no Python. Prints progress, then as its last line one JSON object {"checks": [...]};
exits 1 if any is not ok. Without root it says so and proves nothing.

`--same-processor` takes the installed llama.cpp; else it is built for other processors (once).
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import stick_host  # noqa: E402
from bench_report import Report, arguments  # noqa: E402
from nightschool import examples, paths, vault  # noqa: E402
from nightschool.device.portable import llama  # noqa: E402
from stick_host import WRITABLE, Computer, computer  # noqa: E402

PASSPHRASE = "four words in a row"
QUESTIONS = 3
PULLS = 20
"""How often the sealed stick is pulled out while a night is held."""
NAME = "STICK ü 1"


@dataclass
class Stick:
    """A medium that can be put into a computer, and pulled out of it while it is written."""

    image: Path
    device: str = ""
    at: Path = Path("/mnt/none")

    @staticmethod
    def new(image: Path, megabytes: int) -> Stick:
        """An exFAT image behind a loop device; a plain folder where that cannot be had."""
        if not all(shutil.which(tool) for tool in ("mkfs.exfat", "mount.exfat-fuse", "losetup")):
            image.mkdir()
            return Stick(image)
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.exfat", "-c", "4K", str(image)], check=True, capture_output=True)
        made = Stick(image)
        atexit.register(made.throw_away)
        return made

    def put(self, into: Computer, at: Path) -> Path:
        """Mount it there, as desktops do for the user who sits there; our folder on it."""
        into.root("mkdir", "-p", str(at))
        self.at = at
        if self.image.is_file():
            loop = subprocess.run(
                ["losetup", "--find", "--show", str(self.image)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            self.device = loop.stdout.strip()
            options = f"rw,allow_other,uid={into.uid},gid={into.uid},umask=0077,noatime"
            command = ("mount.exfat-fuse", "-o", options, self.device, str(at))
            deadline = time.monotonic() + 20  # the last computer may still hold the device
            while (done := into.root(*command, check=False)).returncode:
                assert time.monotonic() < deadline, done.stdout + done.stderr
                time.sleep(0.5)
        else:
            subprocess.run(["chown", "-R", str(into.uid), str(self.image)], check=True)
            into.root("mount", "--bind", str(self.image), str(at))
        return at / "NIGHTSCHOOL"

    def pull(self, out_of: Computer) -> None:
        """No warning: on exFAT the file system is gone for everybody who holds a file."""
        for server in self._servers():
            os.kill(server, signal.SIGKILL)
        out_of.root("umount", "-l", str(self.at), check=False)
        self._gone()

    def eject(self, out_of: Computer) -> None:
        """As a desktop does it. Raises CalledProcessError while anything holds a file on it."""
        out_of.root("umount", str(self.at))
        self._gone()

    def throw_away(self) -> None:
        if self.device:
            subprocess.run(["losetup", "--detach", self.device], check=False, capture_output=True)
            self.device = ""

    def _gone(self) -> None:
        deadline = time.monotonic() + 30
        while self._servers() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.throw_away()

    def _servers(self) -> list[int]:
        """The processes that serve this very device."""
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = line.read_bytes().split(b"\0")
                if words[0].endswith(b"mount.exfat-fuse") and self.device.encode() in words:
                    found.append(int(line.parent.name))
        return found if self.device else []


@dataclass
class Said:
    code: int
    out: str
    error: str


def start(pc: Computer, folder: Path, *words: str) -> subprocess.Popen[str]:
    """The launcher, as the user of that computer would call it."""
    return subprocess.Popen(
        pc.user("sh", str(folder / "start-linux.sh"), *words, NIGHTSCHOOL_PASSPHRASE=PASSPHRASE),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, cwd="/",
    )  # fmt: skip


def run(pc: Computer, folder: Path, *words: str, timeout: float = 420.0) -> Said:
    process = start(pc, folder, *words)
    out, error = process.communicate(timeout=timeout)
    return Said(process.returncode, out, error)


def make(report: Report, folder: Path, *options: str) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "nightschool", "portable", "create", str(folder), "--json",
         *options],
        capture_output=True, text=True, check=False,
        env={**os.environ, "NIGHTSCHOOL_PASSPHRASE": PASSPHRASE},
    )  # fmt: skip
    if done.returncode:
        report.say(done.stderr.strip())
        report.exactly("the stick is made", done.returncode, 0, 1)
        report.finish()
    made = json.loads(done.stdout)
    report.say(
        f"made {folder.name} in {time.monotonic() - began:.0f} s: {made['files']} files, "
        f"{made['size'] / 1e9:.2f} GB"
    )


def answers(report: Report, pc: Computer, folder: Path, name: str) -> None:
    """A few questions about the notes that lie on the stick."""
    asked = [item for item in examples.questions() if item.kind == "span"][:QUESTIONS]
    cited = 0
    for item in asked:
        said = run(pc, folder, "ask", item.question, "--json")
        if said.code:
            report.say(f"{said.code}: {said.error.strip()}")
            continue
        found = json.loads(said.out)
        cited += any(item.path in one["locator"] for one in found["citations"])
    report.at_least(
        f"{name}: questions answered from the right file", cited, QUESTIONS - 1, QUESTIONS
    )


def night(report: Report, pc: Computer, folder: Path, name: str, minutes: float) -> str:
    said = run(pc, folder, "learn", "--minutes", str(minutes), "--json", timeout=1800)
    outcome = ""
    if said.out.strip().startswith("{"):
        outcome = str(json.loads(said.out)["outcome"])
    report.say(f"{name}: exit {said.code}, {outcome or said.error.strip()[-300:]}")
    report.exactly(f"{name}: a real night ends in a verdict", float(outcome in VERDICTS), 1, 1)
    return outcome


VERDICTS = ("promoted", "held", "rejected")


def traces(report: Report, pc: Computer, before: dict[str, str], stick: Stick, name: str) -> None:
    after = pc.files(stick.at)
    left = {path: what for path, what in after.items() if before.get(path) != what}
    # A folder's own time moves when something in it came and went.
    left = {
        path: what for path, what in left.items() if not what.startswith("d") or path not in before
    }
    for path, what in list(left.items())[:10]:
        report.say(f"left behind: {path} ({what})")
    report.exactly(f"{name}: files left on the computer", len(left), 0, len(after))
    report.exactly(f"{name}: files left elsewhere", len(stick_host.owned(pc.uid)), 0, 1)


def bench_open(report: Report, work: Path, hidden: list[Path], options: list[str]) -> Stick:
    """Unencrypted: one computer, then another path, another user."""
    stick = Stick.new(work / "open.img", 4096)
    exfat = stick.image.is_file()
    report.say("the stick is exFAT (through FUSE)" if exfat else "SKIPPED exFAT: no tools")
    made = work / "made"
    make(report, made, *options)
    with computer(34101, hidden) as pc:
        folder = stick.put(pc, Path("/mnt") / NAME)
        began = time.monotonic()
        copied = pc.root("cp", "-r", str(made), str(folder))
        report.exactly("copied onto the stick", copied.returncode, 0, 1)
        pc.root("cp", "-r", str(work / "Notes"), str(folder.parent / "Notes"))
        report.say(f"copied in {time.monotonic() - began:.0f} s")
        before = pc.files(stick.at)
        report.exactly(
            "first computer: watch add",
            run(pc, folder, "watch", "add", str(folder.parent / "Notes")).code, 0, 1,
        )  # fmt: skip
        answers(report, pc, folder, "first computer")
        if not report.quick:
            night(report, pc, folder, "first computer", 4.0)
        traces(report, pc, before, stick, "first computer")
        stick.eject(pc)
    with computer(34102, hidden) as pc:
        folder = stick.put(pc, Path("/home") / "média" / "other place")
        before = pc.files(stick.at)
        said = run(pc, folder, "watch", "list", "--json")
        moved = said.code == 0 and json.loads(said.out)[0]["there"]
        report.exactly("second computer: the folder is found at its new place", float(moved), 1, 1)
        answers(report, pc, folder, "second computer")
        if not report.quick:
            said = run(pc, folder, "runs", "--json")
            report.at_least("second computer: it knows the night", len(json.loads(said.out)), 1, 1)
        said = run(pc, folder, "doctor", "--quick", "--json")
        report.exactly("second computer: doctor is content", said.code, 0, 1)
        if said.code:
            report.say(str([c for c in json.loads(said.out)["checks"] if not c["ok"]]))
        service(report, pc, folder)
        traces(report, pc, before, stick, "second computer")
        stick.eject(pc)
    stick.throw_away()
    shutil.rmtree(made)
    return stick


def service(report: Report, pc: Computer, folder: Path) -> None:
    """The launcher without a command serves until it is told to stop; its token is on the host."""
    process = start(pc, folder)
    deadline = time.monotonic() + 60
    while (said := run(pc, folder, "status", "--json")).code == 0:
        if '"port"' in said.out or '"pid"' in said.out or time.monotonic() > deadline:
            break
    report.exactly("the service runs from the stick", float('"pid"' in said.out), 1, 1)
    tokens = [path for path in pc.files(folder.parent) if path.endswith("/token")]
    on_stick = pc.root("find", str(folder / "data"), "-name", "token*").stdout.split()
    report.exactly("its token is on the host, not on the stick", len(tokens) - len(on_stick), 1, 1)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    report.exactly("the service ends with its window", process.returncode, 0, 1)


def sealed_stick(report: Report, work: Path, options: list[str], used: Stick | None) -> Stick:
    """A new one; with `--quick` the used one, emptied and given keys, which spares the copying."""
    if used is None or not report.quick:
        made = work / "made"
        make(report, made, "--encrypt", *options)
        stick = Stick.new(work / "sealed.img", 4096)
        with computer(34105) as pc:
            folder = stick.put(pc, Path("/mnt/new"))
            pc.root("cp", "-r", str(made), str(folder))
            pc.root("cp", "-r", str(work / "Notes"), str(folder.parent / "Notes"))
            stick.eject(pc)
        shutil.rmtree(made)
        return stick
    (work / vault.KEY).write_bytes(vault.create(PASSPHRASE)[1])
    mark = {"format": 1, "id": secrets.token_hex(16), "encrypted": True}
    (work / paths.MARKER).write_text(json.dumps(mark))
    with computer(34105) as pc:
        folder = used.put(pc, Path("/mnt/new"))
        pc.root("rm", "-r", str(folder / "data"))
        pc.root("mkdir", str(folder / "data"))
        pc.root("cp", str(work / vault.KEY), str(work / paths.MARKER), str(folder))
        used.eject(pc)
    return used


def bench_sealed(report: Report, work: Path, hidden: list[Path], stick: Stick, pulls: int) -> None:
    """Encrypted: nothing to read without the passphrase; pulled while it works, put back."""
    canary = "The wharf-42 passphrase canary is Ottilie Brandscomb."
    with computer(34103, hidden) as pc:
        folder = stick.put(pc, Path("/mnt") / NAME)
        pc.root("sh", "-c", f'echo "{canary}" > "{folder.parent}/Notes/canary.md"')
        before = pc.files(stick.at)
        wrong = subprocess.run(
            pc.user("sh", str(folder / "start-linux.sh"), "status", NIGHTSCHOOL_PASSPHRASE="wrong"),
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        report.exactly("wrong passphrase: exit", wrong.returncode, 3, 1)
        report.exactly("wrong passphrase: lines said", len(wrong.stderr.splitlines()), 1, 1)
        report.exactly(
            "sealed: watch add",
            run(pc, folder, "watch", "add", str(folder.parent / "Notes")).code, 0, 1,
        )  # fmt: skip
        answers(report, pc, folder, "sealed")
        pulled = random.Random(7)
        verdict = ""
        for number in range(pulls):
            process = start(pc, folder, "learn", "--minutes", "0.4", "--json")
            time.sleep(pulled.uniform(6.0, 25.0))
            stick.pull(pc)
            try:
                error = process.communicate(timeout=60)[1]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                report.exactly(f"pull {number + 1}: the program ends", 1, 0, 1)
                error = process.communicate()[1]
            report.say(f"pull {number + 1}: exit {process.returncode}: {error.strip()[-160:]}")
            traces(report, pc, before, stick, f"pull {number + 1}")
            folder = stick.put(pc, stick.at)
            said = run(pc, folder, "doctor", "--quick", "--json")
            report.exactly(f"pull {number + 1}: put back, doctor is content", said.code, 0, 1)
            if said.code:
                report.say((said.out + said.error)[-2000:])
        verdict = night(report, pc, folder, "sealed, after all pulls", 0.4 if report.quick else 4.0)
        answers(report, pc, folder, "sealed, after all pulls")
        said = run(pc, folder, "versions", "--json")
        current = [item for item in json.loads(said.out) if item["current"]]
        report.exactly(f"exactly one version is served (after {verdict})", len(current), 1, 1)
        foreign(report, pc, stick, folder)
        traces(report, pc, before, stick, "sealed")
        pc.root("rm", str(folder.parent / "Notes" / "canary.md"))
        stick.eject(pc)
    sealed(report, stick, work)


def sealed(report: Report, stick: Stick, work: Path) -> None:
    """What lies on the stick, read by somebody who has no passphrase."""
    with computer(34104) as pc:
        folder = stick.put(pc, Path("/mnt/found"))
        found = pc.root(
            "grep", "-r", "-l", "-a", "-E", "Ottilie|wharf-42", str(folder), check=False
        ).stdout.splitlines()
        report.exactly("files of the home that show a word of a note", len(found), 0, 1)
        names = pc.root("find", str(folder / "data"), str(folder / "sealed"), "-type", "f").stdout
        plain = [
            name for name in names.splitlines()
            if not name.endswith(".age") and "/models/" not in name and "/backups/" not in name
            and Path(name).name not in ("nightschool.db", "nightschool.db-journal")
        ]  # fmt: skip
        report.say(f"plain: {plain}")
        report.exactly("files of the home that are not sealed", len(plain), 0, len(names.split()))
        stick.eject(pc)
    stick.throw_away()


def foreign(report: Report, pc: Computer, stick: Stick, folder: Path) -> None:
    """Another stick in the place of ours, while the service runs, is left alone."""
    process = start(pc, folder)
    deadline = time.monotonic() + 60
    while '"pid"' not in run(pc, folder, "status", "--json").out and time.monotonic() < deadline:
        pass
    pc.root("umount", "-l", str(stick.at))
    pc.root("mount", "-t", "tmpfs", "none", str(stick.at))
    pc.root("mkdir", "-p", str(folder / "data"), str(folder.parent / "Notes"))
    other = {"format": 1, "id": "f" * 32, "encrypted": False}
    pc.root("sh", "-c", f"printf %s '{json.dumps(other)}' > \"{folder}/PORTABLE\"")
    pc.root("chown", "-R", str(pc.uid), str(stick.at))
    _, error = process.communicate(timeout=60)
    report.exactly("another stick in its place: the service ends", process.returncode, 75, 1)
    report.say(error.strip()[-200:])
    touched = pc.root("find", str(stick.at), "-type", "f").stdout.splitlines()
    report.exactly("another stick in its place: files on it", len(touched), 1, 1)
    pc.root("umount", str(stick.at))
    stick._gone()
    stick.put(pc, stick.at)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--same-processor", action="store_true")
    parser.add_argument("--pulls", type=int, help=f"how often it is pulled out (usually {PULLS})")
    parser.add_argument("--part", choices=("open", "sealed"), help="only this part")
    given = parser.parse_args()
    report = Report(given.quick)
    why = stick_host.missing()
    if why:
        report.say(f"SKIPPED: {why}")
        report.exactly("other computers could be made", 0, 1, 1)
        report.finish()
    options = ["--same-processor"] if given.same_processor else []
    if not options:
        began = time.monotonic()
        cached = bool(list(llama.cached().glob("*.whl")))
        wheel = llama.wheel()
        report.say(f"llama.cpp: {wheel.name}, {'kept' if cached else 'built'} in "
                   f"{time.monotonic() - began:.0f} s")  # fmt: skip
    # A Python of the system lies among the tools that the computer needs: its library goes alone.
    own = Path(sysconfig.get_path("stdlib") if sys.base_prefix == "/usr" else sys.base_prefix)
    hidden = [place for place in (own, ROOT / "src", ROOT / ".venv") if place.is_dir()]
    hidden = [p for p in hidden if not any(p.is_relative_to(folder) for folder in WRITABLE)]
    # Not in /tmp: the other computers have another one, and read the image from this disk.
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", "/var/cache")) as work:
        shutil.copytree(examples.vault_dir(), Path(work) / "Notes")
        used = None
        if given.part != "sealed":
            used = bench_open(report, Path(work), hidden, options)
        if given.part != "open":
            stick = sealed_stick(report, Path(work), options, used)
            pulls = given.pulls or (2 if given.quick else PULLS)
            bench_sealed(report, Path(work), hidden, stick, pulls)
    report.finish()


if __name__ == "__main__":
    paths.stick.cache_clear()
    main()
