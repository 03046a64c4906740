"""The steps of set-up, in two lanes: pip's downloads, and beside them the build of llama.cpp."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import checks
from llama import VERSION as LLAMA
from llama import Build
from progress import Display, Lane, clock
from runner import Failed, Runner
from stamps import Stamps, key

CLONE = Path(__file__).resolve().parents[2]
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
_PROBE = "import faiss, llama_cpp, peft, torch; llama_cpp.llama_backend_init(); print('ready')"


@dataclass
class Setup:
    """One clone and its `.venv`."""

    clone: Path
    dev: bool = False
    project: dict[str, Any] = field(init=False)
    stamps: Stamps = field(init=False)
    build: Build = field(init=False)
    no_compiler: str = ""
    """Why llama.cpp cannot be built here; then a finished build of it is fetched."""

    def __post_init__(self) -> None:
        self.project = tomllib.loads((self.clone / "pyproject.toml").read_text("utf-8"))["project"]
        self.stamps = Stamps(self.venv / ".nightschool")
        short = self.clone / "packaging" / "llama-cpp.cmake"
        self.build = Build(str(self.python), self.clone / ".setup", short)

    @property
    def venv(self) -> Path:
        return self.clone / ".venv"

    @property
    def python(self) -> Path:
        windows = self.venv / "Scripts" / "python.exe"
        return windows if os.name == "nt" else self.venv / "bin" / "python"

    @property
    def pip(self) -> list[str]:
        return [str(self.python), "-m", "pip"]

    @property
    def constraints(self) -> Path:
        return self.clone / "constraints.txt"

    def requirements(self) -> list[str]:
        """What pip installs besides torch and llama.cpp, which have steps of their own."""
        wanted: list[str] = list(self.project["dependencies"])
        if self.dev:
            wanted += self.project["optional-dependencies"]["dev"]
        return [item for item in wanted if not item.startswith(("torch=", "llama-cpp-python="))]

    @property
    def torch(self) -> str:
        return next(str(item) for item in self.project["dependencies"] if item.startswith("torch="))

    def version(self) -> str:
        """The Python that `.venv` has, or will have: one that works is never replaced."""
        config = self.venv / "pyvenv.cfg"
        if self.python.exists() and config.exists():
            for line in config.read_text("utf-8").splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "version":
                    return value.strip()
        return ".".join(str(part) for part in sys.version_info[:3])

    def inputs(self) -> dict[str, str]:
        """The steps in order, each with the key of its inputs."""
        locked = self.constraints.read_text("utf-8")
        venv = key(self.version(), str(self.clone))
        torch = key(venv, self.torch)
        llama = key(venv, self.build.inputs)
        packages = key(torch, locked, *sorted(self.requirements()))
        project = key(packages, json.dumps(self.project, sort_keys=True))
        return {
            "venv": venv, "torch": torch, "packages": packages, "llama.cpp": llama,
            "nightschool": project, "trial": key(packages, llama),
        }  # fmt: skip

    def missing(self) -> list[str]:
        """The steps that are not done with today's inputs. `packages` with the developer tools
        serve a set-up without them too."""
        needed = self.inputs()
        if not self.python.exists():
            return list(needed)
        if not self.dev and not self.stamps.done("packages", needed["packages"]):
            richer = Setup(self.clone, dev=True).inputs()
            if self.stamps.done("packages", richer["packages"]):
                needed = richer
        return [step for step, wanted in needed.items() if not self.stamps.done(step, wanted)]

    def mark(self, step: str) -> None:
        self.stamps.put(step, self.inputs()[step])

    # -- steps ----------------------------------------------------------------------------------

    def check(self, missing: list[str]) -> None:
        """Everything the missing steps need from the machine. Raises checks.Missing."""
        checks.python()
        if {"torch", "packages", "llama.cpp"} & set(missing):
            checks.disk(self.clone, checks.NEEDED_BYTES if "torch" in missing else 1_500_000_000)
        if "llama.cpp" in missing and self.build.wheel is None:
            try:
                checks.compiler()
            except checks.Missing as missing_compiler:
                self.no_compiler = str(missing_compiler)

    def make_venv(self, runner: Runner) -> None:
        """A new environment, or the one that is there if its interpreter still runs."""
        try:
            where = runner.run([str(self.python), "-c", "import pip, sys; print(sys.prefix)"], "")
            if Path(where).resolve() == self.venv.resolve():
                return
        except (Failed, OSError):
            pass  # none there, or its Python is gone: made anew below
        runner.run([sys.executable, "-m", "venv", "--clear", str(self.venv)], "Making .venv")

    def install_torch(self, runner: Runner) -> None:
        """torch before anything else: a later resolve would choose its CUDA build on Linux."""
        if not sys.platform.startswith("linux") or checks.nvidia():
            self.install(runner, [self.torch])
            return
        wanted = f"{self.torch}+cpu"
        try:
            self.install(runner, ["--no-deps", wanted])
        except Failed:
            self.install(runner, ["--no-deps", "--index-url", CPU_WHEELS, wanted])

    def install_packages(self, runner: Runner) -> None:
        self.install(runner, self.requirements())

    def install_engine(self, runner: Runner) -> None:
        self.install(runner, ["--no-deps", "--force-reinstall", str(self.build.wheel)])

    def install_project(self, runner: Runner) -> None:
        """The clone itself, editable; pip also adds what llama-cpp-python needs and checks all."""
        self.install(runner, ["-e", str(self.clone)])

    def install(self, runner: Runner, what: list[str]) -> None:
        runner.run(
            [*self.pip, "install", "--progress-bar", "off", "-c", str(self.constraints), *what],
            f"Installing {what[-1]}" if len(what) < 5 else "Installing packages",
        )

    def try_out(self, runner: Runner) -> None:
        """The heavy libraries load on this machine, in one process."""
        try:
            runner.run([str(self.python), "-c", _PROBE], "Loading the libraries")
        except Failed:
            wheel = self.build.wheel
            if wheel is not None:
                wheel.unlink()  # built for another processor, perhaps: the next run builds anew
                (self.stamps.folder / "llama.cpp").unlink(missing_ok=True)
            raise


def install_all(setup: Setup, missing: list[str]) -> None:
    """Run the missing steps. Raises Failed; KeyboardInterrupt ends what runs."""
    runner = Runner(setup.clone / ".setup" / "setup.log")
    if "venv" in missing:
        setup.make_venv(runner)
        setup.mark("venv")
    if {"torch", "packages", "llama.cpp"} & set(missing):
        checks.index(setup.pip)
    cores = os.cpu_count() or 2
    build = "llama.cpp" in missing and setup.build.wheel is None
    downloads = Lane([(s, t) for s, t in (("torch", 35.0), ("packages", 60.0)) if s in missing])
    building = Lane([("sources", 20.0), ("llama.cpp", 150.0 / cores)] if build else [])
    tail = (("engine", 3.0), ("nightschool", 8.0), ("trial", 8.0))
    names = {"engine": "llama.cpp"}
    closing = Lane([(s, t) for s, t in tail if names.get(s, s) in missing])
    display = Display([downloads, building], closing)

    def download(lane: Lane) -> None:
        for step, action in (("torch", setup.install_torch), ("packages", setup.install_packages)):
            if step in missing:
                lane.enter(step)
                action(runner)
                setup.mark(step)

    def compile_llama(lane: Lane) -> None:
        if not build:
            return

        def tell(done: int, total: int) -> None:
            lane.part = done / total
            lane.detail = f"{done}/{total} ({100 * done // total} %)"

        lane.enter("sources")
        if setup.no_compiler:
            try:
                setup.build.fetch_binary(runner)
            except Failed as error:
                raise Failed(f"{setup.no_compiler} (and {error})") from error
            return
        source = setup.build.fetch(runner)
        lane.enter("llama.cpp")
        setup.build.build(source, runner, tell)

    def close(lane: Lane) -> None:
        for step, action in (
            ("engine", setup.install_engine),
            ("nightschool", setup.install_project),
            ("trial", setup.try_out),
        ):
            if names.get(step, step) in missing:
                lane.enter(step)
                action(runner)
                setup.mark(names.get(step, step))

    run_lanes(runner, display, [(download, downloads), (compile_llama, building)])
    run_lanes(runner, display, [(close, closing)])


def run_lanes(
    runner: Runner, display: Display, work: list[tuple[Callable[[Lane], None], Lane]]
) -> None:
    """Run the lanes side by side; the first failure ends both and is raised."""
    failures: list[Exception] = []

    def follow(action: Callable[[Lane], None], lane: Lane) -> None:
        try:
            action(lane)
            lane.finish()
        except Exception as error:  # a thread cannot raise into main: handed over below
            failures.append(error)
            runner.stop()

    threads = [threading.Thread(target=follow, args=pair, daemon=True) for pair in work]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            display.draw()
            threads[0].join(0.3)
            threads[-1].join(0.3)
    except KeyboardInterrupt:
        runner.stop()
        raise
    finally:
        display.clear()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two set-ups of one clone wait for each other, where the platform has file locks."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """Set the clone up. 0 when all is in place, 1 with one line when something is missing."""
    parser = argparse.ArgumentParser(prog="packaging/setup", description="Set Nightschool up.")
    parser.add_argument("--dev", action="store_true", help="also the tools for tests and checks")
    dev = bool(parser.parse_args(arguments).dev)
    started = time.monotonic()
    try:
        with alone(CLONE / ".setup"):
            setup = Setup(CLONE, dev)
            missing = setup.missing()
            if not missing:
                return 0
            print(f"Setting up {', '.join(missing)} (llama.cpp {LLAMA}).", flush=True)
            setup.check(missing)
            install_all(setup, missing)
    except (checks.Missing, Failed, OSError, subprocess.SubprocessError) as error:
        print(f"Set-up stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next set-up goes on where this one stopped.", file=sys.stderr)
        return 130
    print(f"Set-up done in {clock(time.monotonic() - started)} min.", flush=True)
    return 0
