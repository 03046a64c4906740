"""The Debian package: Nightschool with all it needs under /usr/lib/nightschool, compiled.

    .venv/bin/python packaging/debian/build.py FOLDER [--llama-wheel FILE]

Takes the packages of this environment, which were tested together, and a build of llama.cpp for any
processor with AVX2 (made once, minutes; or the given wheel). They run on the system's Python of the
same version. Needs dpkg-deb, and a Debian whose Python is this one (deb-control(5), Debian Policy).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import metadata
from pathlib import Path

import manual

from nightschool import __version__
from nightschool.device.portable import llama, packages, runtime
from nightschool.device.portable.copying import Plan
from nightschool.device.services.installation import fill, template

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LIB = "usr/lib/nightschool"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "1577923200"))
"""The date of every file in it: the same input gives the same package."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--llama-wheel", type=Path, help="a finished build of llama-cpp-python")
    given = parser.parse_args(arguments)
    if shutil.which("dpkg-deb") is None or not Path("/usr/bin", PYTHON).exists():
        print(f"This needs Debian's dpkg-deb and /usr/bin/{PYTHON}.", file=sys.stderr)
        return 1
    print(build(given.folder, given.llama_wheel))
    return 0


def build(folder: Path, wheel: Path | None = None) -> Path:
    """The finished package in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture = ARCHITECTURES[platform.machine()]
    with tempfile.TemporaryDirectory(prefix="nightschool-deb-") as work:
        root = Path(work, "root")
        needs = libraries(root, Path(work, "wheel"), wheel or llama.wheel())
        around(root)
        control(root, architecture, needs)
        settle(root)
        target = folder.resolve() / f"nightschool_{__version__}_{architecture}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", str(root), str(target)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return target


def libraries(root: Path, work: Path, wheel: Path) -> list[str]:
    """Put all Python code and libraries in place; the system packages that they need."""
    plan = Plan()
    site = f"{LIB}/lib/{PYTHON}/site-packages"
    objects = packages.plan_packages(plan, site)
    objects += llama.plan_wheel(plan, site, wheel, work)
    packages.plan_nightschool(plan, site)
    for item in plan.items:
        place = root / item.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(item.source, place)
    info = root / site / f"nightschool-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: nightschool\nVersion: {__version__}\n", encoding="utf-8"
    )
    # A virtual environment by hand (PEP 405): no activation, no pip, no folder of the maker's.
    (root / LIB / "pyvenv.cfg").write_text(
        "home = /usr/bin\ninclude-system-site-packages = false\n", encoding="utf-8"
    )
    (root / LIB / "bin").mkdir()
    (root / LIB / "bin" / "python3").symlink_to(f"/usr/bin/{PYTHON}")
    glibc = runtime.needed_glibc(objects)
    outside = [path for path in runtime.libraries(objects).values() if work not in path.parents]
    found = {PYTHON, f"libc6 (>= {glibc})", *owners(outside)}
    return sorted(found)


def owners(files: Iterable[Path]) -> set[str]:
    """The Debian packages that hold these files."""
    found = set()
    for path in files:
        said = subprocess.run(
            ["dpkg", "-S", f"*{path.name}"], capture_output=True, text=True, check=False
        )
        lines = [line for line in said.stdout.splitlines() if line.endswith(f"/{path.name}")]
        if not lines:
            raise SystemExit(f"No Debian package holds {path}, which a library needs.")
        found.add(lines[0].partition(":")[0])
    return found


def around(root: Path) -> None:
    """The command, the unit, the menu entry, the manual, and what Debian wants to be told."""
    share = root / "usr/share"
    write(root / "usr/bin/nightschool", (HERE / "nightschool.sh").read_text("utf-8"), 0o755)
    unit = fill(
        template("systemd/nightschool.service"),
        {"session": "", "command": "/usr/bin/nightschool up", "target": "default.target"},
    )
    head = "# systemctl --user enable --now nightschool\n"
    unit = head + re.sub(r"\A(#.*\n)+", "", unit)
    write(root / "usr/lib/systemd/user/nightschool.service", unit)
    entry = (HERE / "nightschool.desktop").read_text("utf-8")
    write(share / "applications/nightschool.desktop", entry)
    icon = (CLONE / "src/nightschool/serve/page/icon.svg").read_text("utf-8")
    write(share / "icons/hicolor/scalable/apps/nightschool.svg", icon)
    zipped(share / "man/man1/nightschool.1.gz", manual.page())
    write(share / "doc/nightschool/copyright", rights())
    zipped(share / "doc/nightschool/changelog.gz", changes())
    overrides = (HERE / "lintian-overrides").read_text("utf-8")
    write(share / "lintian/overrides/nightschool", overrides)


def control(root: Path, architecture: str, needs: list[str]) -> None:
    """The DEBIAN folder."""
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    text = (HERE / "control").read_text("utf-8")
    for name, value in {
        "VERSION": __version__, "ARCHITECTURE": architecture, "SIZE": str(size),
        "DEPENDS": ", ".join(needs),
    }.items():  # fmt: skip
        text = text.replace(f"@{name}@", value)
    write(root / "DEBIAN/control", text)
    for name in ("postinst", "prerm"):
        write(root / "DEBIAN" / name, (HERE / name).read_text("utf-8"), 0o755)
    rows = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        inside = path.relative_to(root)
        if inside.parts[0] != "DEBIAN" and not path.is_symlink():
            rows.append(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {inside.as_posix()}\n")
    write(root / "DEBIAN/md5sums", "".join(rows))


def settle(root: Path) -> None:
    """Modes and dates as Debian has them."""
    runs = {root / "usr/bin/nightschool", root / "DEBIAN/postinst", root / "DEBIAN/prerm"}
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            continue
        path.chmod(0o755 if path.is_dir() or path in runs else 0o644)
        os.utime(path, (EPOCH, EPOCH))


def rights() -> str:
    """Whose work it is: ours, and that of each package that is in it, by its own metadata."""
    rows = []
    for name, one in sorted(packages.needed().items()):
        told = metadata(one.name)
        licence = told.get("License-Expression") or (told.get("License") or "").split("\n")[0]
        kinds = [row.rpartition(" :: ")[2] for row in told.get_all("Classifier") or []
                 if row.startswith("License ::")]  # fmt: skip
        rows.append(f" {name} {one.version}: {licence[:80] or ', '.join(kinds) or 'see its files'}")
    listed = "\n".join(rows)
    return f"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: nightschool

Files: *
Copyright: the Nightschool authors
License: Apache-2.0
 On Debian systems, the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
Comment: Under /usr/lib/nightschool are these packages, with their own terms beside them:
{listed}
"""


def changes() -> str:
    """The changelog in Debian's form (deb-changelog(5)); the whole one is the project's."""
    when = datetime.fromtimestamp(EPOCH, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return (
        f"nightschool ({__version__}) unstable; urgency=medium\n\n"
        "  * See CHANGELOG.md of the project.\n\n"
        f" -- Nightschool maintainers <maintainers@nightschool.invalid>  {when}\n"
    )


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def zipped(path: Path, text: str) -> None:
    """As gzip -9n does it: no name, no date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
