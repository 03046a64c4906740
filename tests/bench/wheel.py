"""The wheel in a clean environment outside the clone: it installs, serves, and goes without trace.

    make bench NAME=wheel [ARGS=--quick]

Builds wheel and sdist, and a wheel from the sdist alone; packs the installed dependencies into a
folder of wheels; makes a new environment in a new folder with none of this one's variables, and
installs there from that folder only: no index, no compiler. Then the service answers over HTTP
about a small folder, `doctor` is green, and after `pip uninstall` no file of it is left. The full
profile also holds a short night there. Prints progress, then one JSON line.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "packaging")]

import wheelhouse  # noqa: E402
from bench_report import Report, arguments  # noqa: E402
from service_harness import free_port, until  # noqa: E402

CUDA = ("nvidia", "triton", "cuda")
RUNS_ON = (
    "models/box/starter.gguf", "models/box/reader.safetensors", "models/box/SHA256SUMS",
    "evaluate/probes/data/safety.jsonl", "pairs/data/rehearsal.jsonl", "serve/page/index.html",
    "examples/questions.jsonl", "config/shipped/default.toml", "config/shipped/profiles/tiny.toml",
    "device/templates/systemd/nightschool.service", "device/templates/windows/nightschool.xml",
)  # fmt: skip
"""Files beside the code without which something does not work outside the clone."""
TEXT = "# Mill\n\nThe mill at Oak Weir was rebuilt by Ada Brand in 1907.\n"


class Place:
    """A new environment in a new folder, with an environment of variables of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / "environment"
        self.home = folder / "home"
        self.notes = folder / "notes"
        self.port = free_port()
        self.bin = self.venv / ("Scripts" if os.name == "nt" else "bin")
        self.variables = {
            # No compiler, no index, nothing of the clone: what is needed must be in the wheels.
            "PATH": os.pathsep.join([str(self.bin), *_plain_path()]),
            "HOME": str(folder),
            "CC": "/no/compiler",
            "CXX": "/no/compiler",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "NIGHTSCHOOL_HOME": str(self.home),
            "NIGHTSCHOOL_SERVE_PORT": str(self.port),
            **{name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH")
               if name in os.environ},
        }  # fmt: skip

    def run(self, *words: str, timeout: float = 900.0) -> subprocess.CompletedProcess[str]:
        """A command in that environment, elsewhere than in the clone."""
        return subprocess.run(
            words, cwd=self.folder, env=self.variables, capture_output=True, text=True,
            timeout=timeout, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def nightschool(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.bin / "nightschool"), *words)

    def get(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One request to the service with its token; the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=240)
        token = (self.home / "token").read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            found: dict[str, object] = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status not in (200, 202):
            raise AssertionError(f"{path}: {answer.status} {found}")
        return found


def _plain_path() -> list[str]:
    """No folder of PATH: what the wheels need they bring along."""
    return [str(Path(os.environ["SYSTEMROOT"], "System32"))] if os.name == "nt" else []


def build(source: Path, target: Path) -> tuple[Path, Path]:
    """Wheel and sdist of a source tree, in `target`."""
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
    subprocess.run(words, cwd=source, check=True, capture_output=True)
    return next(target.glob("*.whl")), next(target.glob("*.tar.gz"))


def built(report: Report, folder: Path) -> Path:
    """The wheel from the clone, after a look at what is in it and at the one from the sdist."""
    wheel, sdist = build(ROOT, folder / "from-clone")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)
    again, _ = build(folder / sdist.name.removesuffix(".tar.gz"), folder / "from-sdist")
    names, others = (sorted(zipfile.ZipFile(one).namelist()) for one in (wheel, again))
    report.exactly(
        "wheel from the sdist holds the same files", float(names == others), 1, len(names)
    )
    missing = [name for name in RUNS_ON if f"nightschool/{name}" not in names]
    report.exactly("files missing that a run needs", len(missing), 0, len(RUNS_ON))
    foreign = [
        name for name in names
        if not name.startswith(("nightschool/", "nightschool-")) or "__pycache__" in name
    ]  # fmt: skip
    report.exactly("files that do not belong there", len(foreign), 0, len(names))
    report.say(
        f"wheel {wheel.stat().st_size / 1e6:.1f} MB, sdist {sdist.stat().st_size / 1e6:.1f} MB"
    )
    return wheel


def chooses_cpu(report: Report, folder: Path) -> None:
    """Where both builds of torch are offered, pip takes the one without CUDA packages (PEP 440: a
    local version such as +cpu is newer than the same version without)."""
    shelf = folder / "shelf"
    shelf.mkdir()
    for version, needs in (("9.9", "Requires-Dist: nvidia-fake\n"), ("9.9+cpu", "")):
        stem = f"torchlike-{version}"
        told = f"Metadata-Version: 2.1\nName: torchlike\nVersion: {version}\n{needs}"
        with zipfile.ZipFile(shelf / f"{stem}-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{stem}.dist-info/METADATA", told)
            archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{stem}.dist-info/RECORD", "")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--find-links",
         str(shelf), "--target", str(folder / "nowhere"), "torchlike==9.9"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    chosen = "torchlike-9.9+cpu" in done.stdout
    report.exactly("pip prefers the build without CUDA", float(chosen), 1, 1)


def installed(report: Report, place: Place, wheel: Path, house: Path) -> None:
    began = time.monotonic()
    count = sum(1 for _ in wheelhouse.fill(house))
    report.say(f"{count} wheels packed in {time.monotonic() - began:.0f} s")
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", str(place.venv)], check=True)
    before = place.run(str(place.bin / "python"), "-m", "pip", "list", "--format", "json")
    assert len(json.loads(before.stdout)) <= 2, before.stdout  # pip, and setuptools with some
    began = time.monotonic()
    done = place.run(
        str(place.bin / "python"), "-m", "pip", "install", "--no-index", "--find-links", str(house),
        "--only-binary", ":all:", "--no-compile", str(wheel),
    )  # fmt: skip
    report.say(done.stderr.strip()[-600:])
    report.exactly("pip install, exit code", done.returncode, 0, 1)
    if done.returncode:
        report.finish()
    report.say(f"installed in {time.monotonic() - began:.0f} s")
    listed = json.loads(
        place.run(str(place.bin / "python"), "-m", "pip", "list", "--format", "json").stdout
    )
    cuda = [one["name"] for one in listed if one["name"].lower().startswith(CUDA)]
    report.exactly("CUDA packages", len(cuda), 0, len(listed))
    consistent = place.run(str(place.bin / "python"), "-m", "pip", "check")
    report.exactly("pip check, exit code", consistent.returncode, 0, len(listed))


def served(report: Report, place: Place) -> None:
    place.notes.mkdir()
    (place.notes / "mill.md").write_text(TEXT)
    log = (place.folder / "up.log").open("wb")
    began = time.monotonic()
    service = subprocess.Popen(
        [str(place.bin / "nightschool"), "up"], cwd=place.folder, env=place.variables,
        stdout=log, stderr=log, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:

        def healthy() -> bool:
            assert service.poll() is None, (place.folder / "up.log").read_text()
            try:
                return place.get("GET", "/health")["status"] == "ready"
            except OSError:
                return False

        until(healthy, 60, "the service is ready", 0.05)
        report.say(
            f"`up` serves after {time.monotonic() - began:.2f} s (its code was not compiled)"
        )
        place.get("POST", "/ns/watch", {"path": str(place.notes), "learn": True})

        def indexed() -> bool:
            files = place.get("GET", "/ns/status")["files"]
            assert isinstance(files, dict)
            return files["indexed"] == 1 and not files["without_vector"]

        until(indexed, 240, "the folder is in the index", 0.3)
        answer = place.get("POST", "/ns/ask", {"question": "Who rebuilt the mill at Oak Weir?"})
        report.say(str(answer.get("text")))
        right = "Ada Brand" in str(answer.get("text")) and "mill.md" in json.dumps(answer)
        report.exactly("`up` serves: an answer with its source", float(right), 1, 1)
        doctor = place.nightschool("doctor", "--json")
        found = json.loads(doctor.stdout) if doctor.stdout else {"checks": [], "healthy": False}
        for check in found["checks"]:
            report.say(f"  {'ok' if check['ok'] else '!!'} {check['name']}: {check['found']}")
        green = doctor.returncode == 0 and found["healthy"]
        report.exactly("`doctor` is green", float(green), 1, len(found["checks"]))
        report.exactly("`stop`, exit code", place.nightschool("stop").returncode, 0, 1)
        service.wait(60)
    finally:
        if service.poll() is None:
            service.kill()
            service.wait(10)
        log.close()


def learned(report: Report, place: Place) -> None:
    """A night outside the clone: the learner finds its libraries and probes."""
    home = place.folder / "demo"
    done = place.run(str(place.bin / "nightschool"), "--home", str(home), "watch", "add",
                     str(_vault(place)))  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = place.run(str(place.bin / "nightschool"), "--home", str(home), "learn", "--minutes", "1",
                     "--json", timeout=1800)  # fmt: skip
    report.say(done.stdout[-400:] + done.stderr[-200:])
    judged = done.returncode in (0, 3) and json.loads(done.stdout).get("scorecard") is not None
    report.exactly("a night is held and judged", float(judged), 1, 1)
    done = place.run(str(place.bin / "nightschool"), "--home", str(home), "doctor", "--quick")
    report.exactly("`doctor` is green after it", done.returncode, 0, 1)


def _vault(place: Place) -> Path:
    code = "from nightschool.examples import vault_dir; print(vault_dir())"
    return Path(place.run(str(place.bin / "python"), "-c", code).stdout.strip())


def uninstalled(report: Report, place: Place) -> None:
    done = place.run(str(place.bin / "python"), "-m", "pip", "uninstall", "-y", "nightschool")
    report.exactly("pip uninstall, exit code", done.returncode, 0, 1)
    left = [path for path in place.venv.rglob("*") if "nightschool" in path.name.lower()]
    for path in left[:5]:
        report.say(str(path))
    report.exactly("files left in the environment", len(left), 0, 1)
    odd = [path.name for path in place.folder.iterdir()
           if path.name not in ("environment", "home", "demo", "notes", "up.log")]  # fmt: skip
    report.say(f"beside them: {odd}")
    report.exactly("files written elsewhere in the user's folder", len(odd), 0, 1)


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    folder = Path(tempfile.mkdtemp(prefix="nightschool-wheel-"))
    try:
        user = folder / "user"
        user.mkdir()
        place = Place(user)
        wheel = built(report, folder / "built")
        chooses_cpu(report, folder)
        installed(report, place, wheel, folder / "wheelhouse")
        served(report, place)
        if not options.quick:
            learned(report, place)
        uninstalled(report, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.finish()


if __name__ == "__main__":
    main()
