"""Wheels of what is installed here, to install elsewhere without download or compiler.

    .venv/bin/python packaging/wheelhouse.py FOLDER

Each package that Nightschool needs at run time is packed again from its RECORD, byte for byte,
under its own name, version and tags (binary distribution format, PyPA specifications). What was
compiled here, llama.cpp above all, fits this kind of processor only.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from nightschool.device.portable.packages import needed

_OURS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""Files of a dist-info that the installer writes."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print((__doc__ or "").splitlines()[2].strip(), file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    for path in fill(folder):
        print(path.name, flush=True)
    return 0


def fill(folder: Path) -> Iterator[Path]:
    """Pack every package that is needed into `folder`; those that are there already stay."""
    for _, one in sorted(needed().items()):
        yield pack(one, folder)


def pack(one: Distribution, folder: Path) -> Path:
    """The wheel of one installed distribution. Raises ValueError when it left no RECORD."""
    if one.files is None:
        raise ValueError(f"{one.name} left no RECORD; reinstall it with pip.")
    folder.mkdir(parents=True, exist_ok=True)
    info = next(path.parts[0] for path in one.files if path.parts[0].endswith(".dist-info"))
    stem = info.removesuffix(".dist-info")
    wheel = folder / f"{stem}-{_tags(one.read_text('WHEEL') or '')}.whl"
    if wheel.exists():
        return wheel
    scripts = {entry.name for entry in one.entry_points if "scripts" in entry.group}
    record: list[str] = []
    unfinished = wheel.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for entry in one.files:
            inside = _inside(entry.parts, stem, scripts)
            path = Path(str(entry.locate()))
            if inside is None or not path.is_file():
                continue
            data = path.read_bytes()
            archive.writestr(_member(inside), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f'"{inside}",sha256={digest},{len(data)}')
        name = f"{info}/RECORD"
        archive.writestr(_member(name), "\n".join([*record, f"{name},,", ""]))
    return unfinished.replace(wheel)


def _inside(parts: tuple[str, ...], stem: str, scripts: set[str]) -> str | None:
    """The place of an installed file in the wheel; None for what an installer makes itself."""
    name = parts[-1]
    if name.endswith(".pyc") or (parts[0].endswith(".dist-info") and name in _OURS):
        return None
    if parts[0] != "..":
        return "/".join(parts)
    outside = [part for part in parts if part != ".."]
    if outside[0] in ("bin", "Scripts"):
        plain = name.removesuffix(".exe")
        return None if plain in scripts else f"{stem}.data/scripts/{name}"
    return f"{stem}.data/data/{'/'.join(outside)}"


def _tags(text: str) -> str:
    """`py3-none-any` from the Tag lines of a WHEEL file; several become one compressed name."""
    tags = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Tag:")]
    columns = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(column)) for column in columns)


def _member(name: str) -> zipfile.ZipInfo:
    """A member with a fixed date, readable by all, and executable like every library."""
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.external_attr = 0o100755 << 16
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
