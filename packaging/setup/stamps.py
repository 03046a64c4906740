"""What has been installed already, as small files in `.venv` keyed by their inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


def key(*inputs: str) -> str:
    """A short name for these inputs; any change of one gives another."""
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Stamps:
    """The stamps of one virtual environment; they vanish with it."""

    folder: Path

    def done(self, step: str, wanted: str) -> bool:
        """Whether `step` was finished with exactly these inputs."""
        path = self.folder / step
        return path.exists() and path.read_text(encoding="utf-8") == wanted

    def put(self, step: str, made: str) -> None:
        """Remember that `step` is finished; written last, so its presence means complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / step).write_text(made, encoding="utf-8")
