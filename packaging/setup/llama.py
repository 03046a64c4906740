"""Builds the wheel of llama-cpp-python for exactly this processor, as short as it gets.

The sources are unpacked and built inside `.setup`, so an interrupted build goes on where ninja
stopped. pip's own cache is left alone: this trimmed wheel must not reach other projects.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import stamps
from runner import Failed, Runner

VERSION = "0.3.36"
WHEELS = "https://abetlen.github.io/llama-cpp-python/whl/cpu"
"""Builds for any processor with AVX2, by the package's own makers."""
_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\] ")
_OFF = (
    "LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_BUILD_TOOLS", "LLAMA_BUILD_SERVER",
    "LLAMA_BUILD_APP", "LLAVA_BUILD", "LLAMA_CURL", "LLAMA_OPENSSL", "LLAMA_ALL_WARNINGS",
    "GGML_CCACHE",
)  # fmt: skip


@dataclass(frozen=True)
class Build:
    """Where the wheel is made and kept; `short` is the include file that trims the build."""

    python: str
    work: Path
    short: Path

    @property
    def arguments(self) -> str:
        """What CMake is told."""
        off = " ".join(f"-D{name}=OFF" for name in _OFF)
        return f"-DGGML_NATIVE=ON {off} -DCMAKE_PROJECT_llama_cpp_INCLUDE={self.short.as_posix()}"

    @property
    def inputs(self) -> str:
        """Changes with the version, the build's settings and the processor."""
        return stamps.key(VERSION, " ".join(_OFF), self.short.read_text("utf-8"), processor())

    @property
    def wheels(self) -> Path:
        return self.work / "wheels" / self.inputs

    @property
    def wheel(self) -> Path | None:
        """The finished wheel, if there is one."""
        return next(iter(sorted(self.wheels.glob("*.whl"))), None)

    def fetch(self, runner: Runner) -> Path:
        """The unpacked sources."""
        source = self.work / "src" / f"llama_cpp_python-{VERSION}"
        if not source.exists():
            archives = self.work / "sdist"
            runner.run(
                [self.python, "-m", "pip", "download", "--no-deps", "--no-cache-dir",
                 "--no-binary", "llama-cpp-python", "--dest", str(archives),
                 f"llama-cpp-python=={VERSION}"],
                "Downloading the sources of llama-cpp-python",
            )  # fmt: skip
            archive = next(archives.glob("llama_cpp_python-*.tar.gz"), None)
            if archive is None:
                raise Failed(f"pip left no source archive of llama-cpp-python in {archives}.")
            fresh = source.parent / "unpacking"
            shutil.rmtree(fresh, ignore_errors=True)
            with tarfile.open(archive) as tar:
                # Where there are filters (from Python 3.11.4 on; Debian 12 has 3.11.2).
                tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                tar.extractall(fresh)
            (fresh / source.name).rename(source)
            shutil.rmtree(archives)
        return source

    def fetch_binary(self, runner: Runner) -> Path:
        """A finished build, for machines without a compiler: from the folders and indexes that pip
        is set up with, else from the index of wheels that the package's makers keep."""
        fresh = self.work / "wheel"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [self.python, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
                   "--dest", str(fresh)]  # fmt: skip
        wanted = f"llama-cpp-python=={VERSION}"
        try:
            runner.run([*command, wanted], "Looking for a finished build of llama.cpp")
        except Failed:
            runner.run(
                [*command, "--retries", "1", "--extra-index-url", WHEELS, wanted],
                "Fetching a finished build of llama.cpp",
            )
        return self._keep(fresh)

    def build(self, source: Path, runner: Runner, tell: Callable[[int, int], None]) -> Path:
        """The wheel; `tell(done, total)` counts the build's steps."""

        def line(text: str) -> None:
            found = _STEP.match(text)
            if found:
                tell(int(found[1]), int(found[2]))

        fresh = self.work / "wheel"
        shutil.rmtree(fresh, ignore_errors=True)
        runner.run(
            [self.python, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir",
             "--wheel-dir", str(fresh), "--config-settings",
             f"build-dir={self.work / 'build' / self.inputs}", str(source)],
            "Building llama.cpp",
            environment={
                "CMAKE_ARGS": self.arguments,
                "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 2),
            },
            line=line,
        )  # fmt: skip
        wheel = self._keep(fresh)
        for used in ("src", "build"):
            shutil.rmtree(self.work / used, ignore_errors=True)
        return wheel

    def _keep(self, fresh: Path) -> Path:
        """Put the wheel of that folder where the next steps look for it."""
        self.wheels.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.wheels, ignore_errors=True)
        fresh.rename(self.wheels)
        wheel = self.wheel
        if wheel is None:
            raise Failed(f"There is no wheel of llama.cpp in {self.wheels}.")
        return wheel


def processor() -> str:
    """What distinguishes this processor for a native build."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith(("flags", "features")):
                return f"{platform.machine()} {line.partition(':')[2].strip()}"
    return f"{platform.machine()} {platform.processor()}"
