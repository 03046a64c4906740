"""llama.cpp for other processors than this one: built without what only this one knows.

With GGML_NATIVE off the build asks for AVX2, FMA, F16C and BMI2, which x86-64 processors have
since 2013 (Intel) and 2015 (AMD); the launcher looks before it starts and says so in words.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import platformdirs

from nightschool.device.portable.copying import Plan
from nightschool.device.portable.packages import NATIVE
from nightschool.errors import Refused, StoreError
from nightschool.ports import Progress, silent

NEEDS = {"x86_64": ("avx2", "fma", "f16c", "bmi2")}
"""Processor flags that the build asks for, by machine, in the words of /proc/cpuinfo."""
_PACKAGED = Path(__file__).parent / "files" / "llama-cpp.cmake"
_CLONE = Path(__file__).parents[4] / "packaging" / "llama-cpp.cmake"
SHORT = _PACKAGED if _PACKAGED.is_file() else _CLONE
"""The include file that trims the build; set-up uses the same one."""
_OFF = (
    "LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_BUILD_TOOLS", "LLAMA_BUILD_SERVER",
    "LLAMA_BUILD_APP", "LLAVA_BUILD", "LLAMA_CURL", "LLAMA_OPENSSL", "LLAMA_ALL_WARNINGS",
    "GGML_CCACHE", "GGML_NATIVE",
)  # fmt: skip
_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\] ")


def arguments() -> str:
    """What CMake is told."""
    include = f"-DCMAKE_PROJECT_llama_cpp_INCLUDE={SHORT.as_posix()}"
    return " ".join([*(f"-D{name}=OFF" for name in _OFF), include])


def cached() -> Path:
    """Where the wheel of this version and these settings is kept, made or not."""
    inputs = f"{version(NATIVE)} {arguments()} {SHORT.read_text('utf-8')} {sys.version_info[:2]}"
    key = hashlib.sha256(inputs.encode()).hexdigest()[:16]
    name = f"llama-portable-{platform.machine().lower()}-{key}"
    return Path(platformdirs.user_cache_dir("nightschool", appauthor=False)) / name


def wheel(progress: Progress = silent) -> Path:
    """The portable wheel, built once (minutes) and kept for the next stick.

    Raises StoreError with the end of the build's log when it fails.
    """
    place = cached()
    found = next(iter(sorted(place.glob("*.whl"))), None)
    if found is not None:
        return found
    if shutil.which("cmake") is None and shutil.which("c++") is None:
        raise Refused(
            "Building llama.cpp for other processors needs a C++ compiler, which is not here.",
            "Install one (Debian: apt install g++), or give a wheel: --llama-wheel FILE.",
        )
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as work:
        said = _build(Path(work), progress)
        made = next(iter(Path(work).glob("*.whl")), None)
        if made is None:
            raise StoreError(
                f"llama.cpp could not be built: {' | '.join(said[-4:])}",
                "Give a wheel instead: --llama-wheel FILE.",
            )
        return made.replace(place / made.name)


def _build(work: Path, progress: Progress) -> list[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir",
         "--no-binary", NATIVE, "--wheel-dir", str(work), f"{NATIVE}=={version(NATIVE)}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
        env={**os.environ, "CMAKE_ARGS": arguments(),
             "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 2)},
    )  # fmt: skip
    said: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        said = [*said[-40:], line.strip()]
        if step := _STEP.match(line):
            progress("build llama.cpp", int(step[1]), int(step[2]))
    process.wait()
    return said


def plan_wheel(plan: Plan, folder: str, file: Path, work: Path) -> list[Path]:
    """Add a wheel's files below `folder`; unpacked in `work`. The shared objects among them.

    Raises Refused when it is no wheel of llama-cpp-python for this system and Python.
    """
    name = file.name.lower().replace("_", "-")
    tag = platform.machine().lower().replace("_", "-")
    if not name.startswith(f"{NATIVE}-") or not (tag in name and sys.platform in name):
        raise Refused(
            f"{file.name} is no wheel of {NATIVE} for {sys.platform} on {platform.machine()}.",
            "Build one here: leave --llama-wheel away.",
        )
    try:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(work)  # names are sanitised by zipfile
    except (OSError, zipfile.BadZipFile) as error:
        raise Refused(
            f"{file} cannot be read as a wheel: {error}.", "Give another file."
        ) from error
    for part in sorted(work.iterdir()):  # headers and CMake files beside them are for builders
        if part.name == "llama_cpp" or part.suffix == ".dist-info":
            plan.tree(part, f"{folder}/{part.name}")
    return [path for path in (work / "llama_cpp").rglob("*") if ".so" in path.suffixes]
