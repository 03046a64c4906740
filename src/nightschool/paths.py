"""Where everything lives on disk. The only module that knows file names inside the home.

One override: `NIGHTSCHOOL_HOME`. Without it the per-user data directory of the platform.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from nightschool.errors import StoreError, of_disk

HOME_VARIABLE = "NIGHTSCHOOL_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """The directory that holds one user's index, pairs, versions and logs."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "nightschool.db"

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def models(self) -> Path:
        """GGUF files that were added, and converted encoders (rebuildable)."""
        return self.root / "models"

    @property
    def index(self) -> Path:
        """The FAISS cache; rebuilt from the database when missing or stale."""
        return self.root / "index"

    @property
    def runs(self) -> Path:
        """One directory a night: plan, checkpoints, candidate adapter, scorecard."""
        return self.root / "runs"

    @property
    def versions(self) -> Path:
        """One immutable directory a version, `v1`, `v2`, …"""
        return self.root / "versions"

    @property
    def pointer(self) -> Path:
        """The one file that says which version is served; replaced atomically."""
        return self.root / "current.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def notes(self) -> Path:
        """The folder that `remember` writes into; owned by the service, indexed like any other."""
        return self.root / "notes"

    @property
    def lock(self) -> Path:
        return self.root / "daemon.lock"

    @property
    def learning(self) -> Path:
        """Held by the one learner that may run at a time."""
        return self.root / "learner.lock"

    @property
    def runtime(self) -> Path:
        """What the running daemon says of itself: pid, port, start time."""
        return self.root / "runtime.json"

    @property
    def token(self) -> Path:
        """The bearer token of the local HTTP door, mode 0600."""
        return self.root / "token"

    def create(self) -> Home:
        """Make the directories, readable by the user alone. Idempotent. Raises StoreError."""
        folder = self.root
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (
                self.models, self.index, self.runs, self.versions, self.logs, self.notes,
            ):  # fmt: skip
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise of_disk(error) or StoreError(
                f"{folder} cannot be made a folder: {error.strerror or error}.",
                "Move away what is there, or use another --home.",
            ) from error
        return self


def home(override: str | os.PathLike[str] | None = None) -> Home:
    """The home to use: argument, then `NIGHTSCHOOL_HOME`, then the platform's data directory."""
    chosen = override or os.environ.get(HOME_VARIABLE)
    if chosen:
        return Home(Path(chosen).expanduser().absolute())
    return Home(Path(platformdirs.user_data_dir("nightschool", appauthor=False)))
