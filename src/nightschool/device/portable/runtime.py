"""The interpreter that runs here, made to run anywhere: its binary, standard library, libraries.

It is started through the host's own program loader with the stick's library folder in front, so
that no file needs an exec bit, and no variable that other programs would inherit is set. The C
library itself stays the host's: the launcher checks that it is new enough.
"""

from __future__ import annotations

import platform
import re
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from nightschool.device.portable.copying import Plan
from nightschool.errors import Refused

_HOSTS = re.compile(
    r"^(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|nsl|anl|BrokenLocale|thread_db|nss_.*)\.so.*"
    r"|linux-vdso.*|lib(cuda|nvidia|GL|EGL|drm).*)$"
)
"""What belongs to the host: its C library and drivers."""
_STDLIB_OUT = (
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
    "ensurepip", "lib2to3", "pydoc_data",
)  # fmt: skip
_MODULES_OUT = re.compile(r"^(_tkinter|_test|_ctypes_test|xx|nis|readline|_curses|_gdbm|_dbm)")
_PT_INTERP = 3
_BATCH = 64


def system() -> str:
    """The name of this system's folder below `runtime`, for example `linux-x86_64`."""
    return f"{platform.system().lower()}-{platform.machine().lower()}"


def interpreter() -> Path:
    """The real binary behind this process, out of any virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def packages_folder() -> str:
    """Where the interpreter looks for packages, below its own folder.

    Asked of it, because Debian's looks into `dist-packages` alone. Raises Refused when it does not
    say, or names no folder as deep as `lib/python3.11/site-packages`.
    """
    said = subprocess.run(
        [interpreter(), "-I", "-c", "import site; print(site.getsitepackages(['/p'])[-1])"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = Path(said.stdout.strip() or "/")
    if not found.is_relative_to("/p") or len(found.parts) != len(Path("/p/lib/python/x").parts):
        raise Refused(
            f"{interpreter()} does not say where it looks for packages.",
            "Set Nightschool up with a Python from python.org or from your distribution.",
        )
    return found.relative_to("/p").as_posix()


def plan_runtime(plan: Plan, folder: str) -> Path:
    """Add the interpreter below `folder`; the binary's own path there, relative.

    Raises Refused on a system whose interpreter cannot be copied this way.
    """
    if sys.platform != "linux":
        raise Refused(
            "A stick for this system cannot be made here.",
            "Make it on Linux; its launchers fetch what other systems need at first start.",
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    binary = Path(folder, "bin", f"python{version}")
    plan.add(interpreter(), binary.as_posix())
    start = len(plan.items)
    for path in _standard_library(stdlib):
        inside = path.relative_to(stdlib).as_posix()
        plan.add(path, f"{folder}/lib/python{version}/{inside}")
    modules = [item.source for item in plan.items[start:] if ".so" in item.source.suffixes]
    plan_libraries(plan, f"{folder}/lib", [interpreter(), *modules])
    return binary


def _standard_library(stdlib: Path) -> Iterator[Path]:
    from nightschool.device.portable.copying import files_below

    for path in files_below(stdlib, {"__pycache__", *_STDLIB_OUT}):
        inside = path.relative_to(stdlib)
        if inside.parts[0].startswith("config-"):
            continue
        if inside.parts[0] == "lib-dynload" and _MODULES_OUT.match(inside.name):
            continue
        yield path


def plan_libraries(plan: Plan, folder: str, binaries: Iterable[Path]) -> None:
    """Add the shared libraries that these files need and the host may lack."""
    have = {item.name for item in plan.items}
    for name, path in sorted(libraries(binaries).items()):
        if f"{folder}/{name}" not in have:
            plan.add(path, f"{folder}/{name}")


def libraries(binaries: Iterable[Path]) -> dict[str, Path]:
    """Library files by the name they are asked for, found outside of the packages themselves."""
    found: dict[str, Path] = {}
    given = [str(path) for path in binaries]
    packages = Path(sysconfig.get_path("purelib")).resolve()
    for start in range(0, len(given), _BATCH):
        said = subprocess.run(
            ["ldd", *given[start : start + _BATCH]],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        for line in said.stdout.splitlines():
            name, arrow, rest = line.strip().partition(" => ")
            path = Path(rest.split(" (")[0])
            if not arrow or _HOSTS.match(name) or not path.is_absolute():
                continue
            if not path.resolve().is_relative_to(packages):
                found[name] = path.resolve()
    return found


def loader(binary: Path) -> str:
    """The program loader that a binary asks for (ELF's PT_INTERP). Raises Refused without one."""
    data = binary.read_bytes()
    if data[:5] == b"\x7fELF\x02":
        (offset,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        for number in range(count):
            kind, _, at, _, _, length = struct.unpack_from("<IIQQQQ", data, offset + number * size)
            if kind == _PT_INTERP:
                return data[at : at + length].rstrip(b"\0").decode()
    raise Refused(
        f"{binary} names no program loader.", "Use a Python that is linked against glibc."
    )


def needed_glibc(binaries: Iterable[Path]) -> str:
    """The newest version of the C library that these files ask for, for example `2.34`."""
    newest = (2, 17)
    for path in binaries:
        for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", path.read_bytes()):
            newest = max(newest, (int(major), int(minor)))
    return f"{newest[0]}.{newest[1]}"
