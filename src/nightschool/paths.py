"""Where everything lives on disk. The only module that knows file names inside the home.

One override: `NIGHTSCHOOL_HOME`. Without it the per-user data directory of the platform. A home
beside a file PORTABLE lives on a stick (`Stick`): what must not stay there is kept on the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import platformdirs

from nightschool.errors import NotFound, StoreError, of_disk

HOME_VARIABLE = "NIGHTSCHOOL_HOME"
HOST_VARIABLE = "NIGHTSCHOOL_HOST"
"""The session's folder on the host, given to its children."""
PROGRESS_VARIABLE = "NIGHTSCHOOL_PROGRESS"
"""`json`: a program reads our stderr, so progress and errors are JSON lines."""
LOADER_VARIABLE = "NIGHTSCHOOL_LOADER"
"""Words before the interpreter (JSON) where the file system cannot execute it, as on FAT."""
MARKER = "PORTABLE"
EXAMS = "exams.json"
"""In a night's folder until its verdict: the results of its exams, with what was answered."""


@dataclass(frozen=True, slots=True)
class Stick:
    """A folder that moves between computers. `root` holds PORTABLE, launchers and `data`.

    `disk` is the folder on the stick itself; with encryption `root` is its copy in memory.
    """

    root: Path
    disk: Path
    id: str
    encrypted: bool

    @property
    def data(self) -> Path:
        """Database and models, on the stick."""
        return self.disk / "data"

    @property
    def host(self) -> Path:
        """The session's folder on this computer: token, lock, key; removed when it ends."""
        given = os.environ.get(HOST_VARIABLE)
        return Path(given) if given else host_folder() / f"nightschool-{_user()}-{self.id[:12]}"

    @property
    def present(self) -> bool:
        """Whether this very stick is there now (not another one in its place)."""
        try:
            return str(_marker(self.disk)["id"]) == self.id
        except (OSError, ValueError, KeyError, TypeError):
            return False


def host_folder() -> Path:
    """The user's own place for what lives as long as a session, in memory where there is one."""
    if os.name == "posix":
        for name in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{_user()}"):
            place = Path(name)
            if name and place.is_dir() and place.stat().st_uid == os.getuid():
                return place
        if Path("/dev/shm").is_dir():
            return Path("/dev/shm")
    return Path(tempfile.gettempdir())


def _user() -> str:
    return str(os.getuid()) if sys.platform != "win32" else os.environ.get("USERNAME", "user")


def _marker(folder: Path) -> dict[str, object]:
    found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return found


@lru_cache(maxsize=16)
def stick(home_root: Path) -> Stick | None:
    """The stick that this home lives on, or None. Raises StoreError when its mark is damaged."""
    folder = home_root.parent
    try:
        marker = _marker(folder)
        disk = Path(str(marker.get("disk") or folder))
        return Stick(folder, disk, str(marker["id"]), bool(marker["encrypted"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder / MARKER} is damaged or cannot be read: {error}.",
            "Copy it from a backup of the stick; `nightschool portable check` says what else is.",
        ) from error


def private(path: Path) -> None:
    """For the user's eyes alone, where the file system knows users (FAT does not)."""
    with contextlib.suppress(PermissionError):
        path.chmod(0o600)


def interpreter() -> list[str]:
    """The words that start this very Python again."""
    words: list[str] = json.loads(os.environ.get(LOADER_VARIABLE) or "[]")
    return [*words, sys.executable]


@dataclass(frozen=True, slots=True)
class Home:
    """The directory that holds one user's index, pairs, versions and logs."""

    root: Path

    @property
    def stick(self) -> Stick | None:
        """The stick this home lives on, None for one that is installed."""
        return stick(self.root)

    @property
    def disk(self) -> Path:
        """Where database and models lie: the home, but for an encrypted stick (see `Stick`)."""
        place = self.stick
        return self.root if place is None else place.data

    @property
    def database(self) -> Path:
        return self.disk / "nightschool.db"

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def principles(self) -> Path:
        """The user's own rules for the safety exam; written by hand."""
        return self.root / "principles.toml"

    @property
    def models(self) -> Path:
        """GGUF files that were added, and converted encoders (rebuildable)."""
        return self.disk / "models"

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
    def backups(self) -> Path:
        """Whole copies of the database, numbered, beside it; see `store.snapshot`."""
        return self.disk / "backups"

    @property
    def quarantine(self) -> Path:
        """Damaged files that a repair moved aside, one folder a repair; `vacuum` empties it."""
        return self.root / "quarantine"

    @property
    def forgotten(self) -> Path:
        """What `forget` took away, so that no backup brings it back."""
        return self.root / "forgotten.json"

    @property
    def staging(self) -> Path:
        """Where an import is unpacked and checked."""
        return self.root / ".import"

    @property
    def importing(self) -> Path:
        """Says that an import was decided and must be finished."""
        return self.root / "import.json"

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
        return self._session / "runtime.json"

    @property
    def tray(self) -> Path:
        """The icon's files while it is shown."""
        return self.root / "tray"

    @property
    def tray_lock(self) -> Path:
        """Held by the one tray icon that is shown."""
        return self.root / "tray.lock"

    @property
    def token(self) -> Path:
        """The bearer token of the local HTTP door, mode 0600; never on a stick."""
        return self._session / "token"

    @property
    def servers(self) -> Path:
        """MCP servers that the user added: commands, so never on a stick that others may write."""
        return self._session / "mcp.json"

    @property
    def _session(self) -> Path:
        place = self.stick
        return self.root if place is None else place.host

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
    """The home to use: argument, then `NIGHTSCHOOL_HOME`, then the platform's data directory.

    Raises NotFound for `~name` of a user who is not here.
    """
    chosen = override or os.environ.get(HOME_VARIABLE)
    if chosen:
        try:
            return Home(Path(chosen).expanduser().absolute())
        except RuntimeError as error:
            raise NotFound(
                f"{chosen}: there is no such user.", "Name the folder itself."
            ) from error
    return Home(Path(platformdirs.user_data_dir("nightschool", appauthor=False)))
