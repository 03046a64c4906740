"""Other programs beside ours: installed apart, each in a process of its own.

They go into `.rivals`, a virtual environment that may be deleted at any time. It sees the packages
of the environment that runs the benchmark (torch above all, which is not installed twice) and puts
its own before them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from bench_report import Report

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".rivals"
WORKER = Path(__file__).with_name("rival_worker.py")
PACKAGES = {"txtai": "txtai", "chroma": "chromadb", "leann": "leann"}
TRAINERS = {"trl": "trl"}
SHARED = ("torch", "transformers", "peft")
"""What a trainer must share with ours, for the difference to be the trainer's."""
OURS = ("nightschool", "plain")
INSTALL_S = 900


class Absent(Exception):
    """A rival that could not be installed or does not run here; its text is the reason."""


def install(names: Sequence[str], report: Report) -> None:
    """Install what is missing; a failure is found again when the rival is started."""
    python = interpreter()
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
        ours = Path(sysconfig.get_path("purelib"))
        theirs = next(FOLDER.rglob("site-packages"))
        (theirs / "ours.pth").write_text(f"{ours}\n{ROOT / 'src'}\n")
    pins = FOLDER / "constraints.txt"
    for name in names:
        shared = SHARED if name in TRAINERS else SHARED[:1]
        pins.write_text("".join(f"{each}=={version(each).partition('+')[0]}\n" for each in shared))
        told = FOLDER / f"{name}.txt"
        if told.exists():
            continue
        package = {**PACKAGES, **TRAINERS}[name]
        report.say(f"installing {package}")
        command = [python, "-m", "pip", "install", "-q", package, "-c", pins]
        try:
            made = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_S, check=False
            )
        except subprocess.TimeoutExpired:
            report.say(f"{name} was not installed within {INSTALL_S} s")
            continue
        lines = [line for line in made.stderr.splitlines() if line.startswith("ERROR")]
        if made.returncode:
            report.say(f"{name} could not be installed: {' '.join(lines[-2:])[:300]}")
        else:
            told.write_text("installed\n")


class System:
    """One program under measurement. Raises Absent when it does not start."""

    def __init__(self, name: str, model: Path, *, models: Path) -> None:
        self.name = name
        python = Path(sys.executable) if name in OURS else interpreter()
        if not python.exists():
            raise Absent("not installed (see --rivals)")
        FOLDER.mkdir(exist_ok=True)
        with (FOLDER / f"{name}.log").open("w") as log:
            self._process = subprocess.Popen(
                [python, WORKER, name, models if name == "nightschool" else model],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.version = str(self._read()["version"])
        except Absent:
            self.close()
            raise

    def call(self, op: str, **params: Any) -> dict[str, Any]:
        """Send one request and wait. Raises Absent with the program's own words."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **params}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended since the last answer: reading says how
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Absent(f"its process ended with {self._process.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Absent(answer["error"])
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def __enter__(self) -> System:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start(names: Sequence[str], model: Path, models: Path, report: Report) -> dict[str, System]:
    """Those of the programs that run here; of the others the reason is said."""
    found: dict[str, System] = {}
    for name in names:
        try:
            found[name] = System(name, model, models=models)
            report.say(f"{name} {found[name].version}")
        except Absent as reason:
            report.say(f"{name} cannot be measured here: {reason}")
    return found


def remove() -> None:
    """Delete the environment."""
    shutil.rmtree(FOLDER, ignore_errors=True)


def interpreter() -> Path:
    """The environment's Python; it need not exist yet."""
    return FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
