"""Files that can be built again from others: built once, reused while whole, replaced atomically.

Beside `NAME` lies `NAME.json` with the recipe, the size, the time and the SHA-256 of the file. A
file whose size and time fit is reused without reading it; if only the time differs it is hashed;
anything else (no sidecar, truncated, another recipe) is built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from nightschool.errors import ModelError


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ensure_built(path: Path, recipe: str, build: Callable[[Path], None]) -> Path:
    """Give `path`, calling `build(temporary)` first if it is missing, damaged or of another recipe.

    `recipe` names everything the content depends on (source hash, converter version). Safe when
    two processes build at once: each writes its own temporary name, the last replace wins.
    Raises ModelError when the disk refuses.
    """
    if _whole(path, recipe):
        return path
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        build(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        digest = sha256(temporary)
        temporary.replace(path)
        _write_sidecar(path, recipe, digest)
    except OSError as error:
        raise ModelError(
            f"Cannot write the model file {path}: {error}.",
            "Free some space or choose another folder for models.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_sidecar(path: Path, recipe: str, digest: str) -> None:
    stat = path.stat()
    facts = {"recipe": recipe, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}
    temporary = _sidecar(path).with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(facts), encoding="utf-8")
    temporary.replace(_sidecar(path))


def _whole(path: Path, recipe: str) -> bool:
    try:
        stat = path.stat()
        facts = json.loads(_sidecar(path).read_text(encoding="utf-8"))
        if facts["recipe"] != recipe or facts["size"] != stat.st_size:
            return False
        if facts["mtime_ns"] == stat.st_mtime_ns:
            return True
        whole: bool = facts["sha256"] == sha256(path)
        if whole:
            _refresh(path, recipe, facts["sha256"])
        return whole
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _refresh(path: Path, recipe: str, digest: str) -> None:
    """Note the new time, so that the next start need not hash; a read-only folder is fine too."""
    with contextlib.suppress(OSError):
        _write_sidecar(path, recipe, digest)
