"""Models that LM Studio has on this disk, found by the path it shows and used in place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from nightschool.errors import NotFound, UsageError
from nightschool.models.hub import PREFERRED


def folders(environment: Mapping[str, str] | None = None, home: Path | None = None) -> list[Path]:
    """Where LM Studio keeps models: the place it was told, the present one, the one before."""
    environment = os.environ if environment is None else environment
    home = home or Path.home()
    told = environment.get("LMSTUDIO_MODELS")
    found = [Path(told)] if told else []
    return [*found, home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]


def find(path: str) -> Path:
    """The file of `PUBLISHER/REPO[/FILE.gguf]`. Raises UsageError for a path that leads elsewhere,
    NotFound when there is none."""
    parts = path.split("/")
    if len(parts) not in (2, 3) or any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise UsageError(
            f"lmstudio:{path} is not lmstudio:PUBLISHER/REPO[/FILE].", "Write it as `lms ls` does."
        )
    places = [folder.joinpath(*parts) for folder in folders()]
    for place in places:
        if place.is_file():
            return place
        if place.is_dir():
            return _choose(place)
    raise NotFound(
        f"LM Studio has no {path} in {' or '.join(str(folder) for folder in folders())}.",
        "Download it there first, or set LMSTUDIO_MODELS to its models folder.",
    )


def _choose(folder: Path) -> Path:
    files = sorted(
        file for file in folder.glob("*.gguf") if not file.name.lower().startswith("mmproj")
    )
    if len(files) == 1:
        return files[0]
    for kind in PREFERRED:
        for file in files:
            if kind.lower() in file.name.lower() and "-of-" not in file.name:
                return file
    names = ", ".join(file.name for file in files[:8]) or "no GGUF file"
    raise NotFound(f"{folder} holds {names}.", "Name one: lmstudio:PUBLISHER/REPO/FILE.gguf")
