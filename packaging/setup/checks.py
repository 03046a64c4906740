"""What the machine must have before anything is installed; each lack is one line with its cure."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

NEEDED_BYTES = 4_000_000_000
"""Free space for `.venv` (2.2 GB on Linux), the build of llama.cpp and pip's temporary files."""

_PROGRAM = "#include <string>\nint main() { return static_cast<int>(std::string().size()); }\n"


class Missing(Exception):
    """Something the machine lacks; the text is one line: what, and how to get it."""


def python() -> None:
    """The interpreter is 64-bit and can make virtual environments."""
    if struct.calcsize("P") < 8:
        raise Missing("This Python is 32-bit: install a 64-bit one (torch has no 32-bit build).")
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise Missing(
                f"Python's module {module!r} is missing: "
                f"{_install('python3-venv', 'python3', 'python3')}"
            )


def disk(folder: Path, needed: int = NEEDED_BYTES) -> None:
    """`folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Missing(
            f"The disk of {folder} has {free / 1e9:.1f} GB free and set-up needs "
            f"{needed / 1e9:.0f} GB: free some space, or clone to another disk."
        )


def compiler() -> str:
    """The C++ compiler that works here, by compiling a line that needs its standard library."""
    if sys.platform == "win32":
        return _visual_studio()
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    found = next((path for path in map(shutil.which, names) if path), None)
    cure = _install("g++", "gcc-c++", "gcc")
    if found is None:
        raise Missing(f"No C++ compiler found (tried {', '.join(names)}): {cure}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "try.cpp")
        source.write_text(_PROGRAM, encoding="utf-8")
        done = subprocess.run(
            [found, str(source), "-o", str(Path(folder, "try"))],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "it failed")
        raise Missing(f"{found} cannot build a small program ({reason.strip()}): {cure}")
    return found


def index(pip: Sequence[str], extra: Sequence[str] = ()) -> None:
    """The package index answers, through pip's own settings (mirror, proxy, certificates)."""
    command = [*pip, "download", "--quiet", "--no-deps", "--no-cache-dir", "--retries", "1",
               "--timeout", "20", "--dest"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, folder, *extra, "platformdirs"], capture_output=True, text=True, check=False
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        reason = next((line for line in reversed(lines) if "ERROR" in line), "no answer")
        raise Missing(
            f"pip cannot reach its package index ({reason.removeprefix('ERROR: ')}): connect to "
            "the network, or set the mirror or proxy in pip's configuration."
        )


def _visual_studio() -> str:
    found = shutil.which("cl")
    if found is None:
        installer = Path(os.environ.get("PROGRAMFILES(X86)", "C:/Program Files (x86)"))
        where = installer / "Microsoft Visual Studio" / "Installer" / "vswhere.exe"
        if where.exists():
            wanted = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"
            found = subprocess.run(
                [where, "-latest", "-products", "*", "-requires", wanted,
                 "-property", "installationPath"],
                capture_output=True, text=True, check=False,
            ).stdout.strip()  # fmt: skip
    if not found:
        raise Missing(
            "No C++ compiler found: winget install Microsoft.VisualStudio.2022.BuildTools "
            '--override "--add Microsoft.VisualStudio.Workload.VCTools --passive"'
        )
    return found


def _install(debian: str, fedora: str, arch: str) -> str:
    """How this machine installs a system package, in one line."""
    if sys.platform == "darwin":
        return "xcode-select --install"
    root = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    for tool, line in (
        ("apt-get", f"apt-get install -y {debian}"),
        ("dnf", f"dnf install -y {fedora}"),
        ("pacman", f"pacman -S {arch}"),
        ("zypper", f"zypper install {fedora}"),
        ("apk", f"apk add {arch}"),
    ):
        if shutil.which(tool):
            return root + line
    return f"install {debian} with the package manager of {platform.system()}."


def nvidia() -> bool:
    """Whether this machine has an NVIDIA driver; only then is torch's CUDA build of use."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()
