"""Fetch a GGUF file from a model hub: the one place that goes to the network, and only when asked.

Imported by `models.catalogue` when somebody adds `hf:…`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from nightschool.errors import ModelError, NotFound, UsageError
from nightschool.ports import Progress, silent

PREFERRED = ("Q8_0", "F16", "Q6_K", "Q5_K_M", "Q4_K_M")
"""Which file is taken when only the repository is named. Q8_0 first: its error is far below what
an adapter learns, at half the size of F16."""


def download(spec: str, folder: Path, progress: Progress = silent) -> tuple[Path, str]:
    """Download `OWNER/REPO[/FILE]` into `folder`; the file and its licence name.

    A download that was cut off goes on where it was, and what arrives must have the SHA-256 that
    the hub names. Raises UsageError for a malformed name, NotFound when the hub has no such file,
    and ModelError when huggingface_hub is not installed, the hub cannot be reached, the disk is
    full, or the file is not the one that was promised.
    """
    parts = spec.split("/", 2)
    if len(parts) < 2 or not all(parts):
        raise UsageError(
            f"hf:{spec} is not hf:OWNER/REPO[/FILE].", "Example: hf:Qwen/Qwen3-0.6B-GGUF"
        )
    repository, wanted = "/".join(parts[:2]), parts[2] if len(parts) == 3 else ""
    # Both are read when the library is imported; `progress` takes the place of its bars.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ModelError(
            "huggingface_hub is not installed.",
            "pip install huggingface_hub, or download the .gguf yourself and add its path.",
        ) from error
    try:
        about: Any = hub.HfApi().model_info(repository)
        names = [item.rfilename for item in about.siblings or []]
        chosen = _choose(repository, wanted, names)
        promised = hub.get_hf_file_metadata(hub.hf_hub_url(repository, chosen))
        path = _fetch(promised, folder / Path(chosen).name, f"hf:{repository}/{chosen}", progress)
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as error:
        raise NotFound(f"The hub has no public {spec}.", "Check owner, name and file.") from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, _network_error()) as error:
        raise ModelError(
            f"The hub could not be reached for {spec}: {error}.",
            "Check the network, or download the .gguf elsewhere and add its path.",
        ) from error
    except ModelError:
        raise
    except (OSError, ValueError) as error:
        raise ModelError(
            f"hf:{spec} could not be downloaded: {error}.", "Check the free space and try again."
        ) from error
    card: Any = getattr(about, "card_data", None)
    return path, str(getattr(card, "license", "") or "")


def _choose(repository: str, wanted: str, names: list[str]) -> str:
    files = [name for name in names if name.lower().endswith(".gguf")]
    if wanted:
        if wanted not in files:
            raise NotFound(
                f"{repository} has no GGUF file {wanted}.", f"It has: {', '.join(files[:8])}."
            )
        return wanted
    for kind in PREFERRED:
        for name in files:
            if kind.lower() in name.lower() and "-of-" not in name:
                return name
    raise NotFound(
        f"{repository} has no GGUF file of a known kind.", "Name one: hf:OWNER/REPO/FILE.gguf"
    )


def _fetch(promised: Any, target: Path, spec: str, progress: Progress) -> Path:
    """Download to `target`, going on with what an earlier try left, and check the hash.

    The library itself keeps nothing of a download that was cut off, so the part file is ours. For
    large files the hub's ETag is their SHA-256.
    """
    from huggingface_hub.file_download import http_get

    etag, size = str(promised.etag or ""), int(promised.size or 0)
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        raise ModelError(
            f"The hub names no SHA-256 for {spec}, so what arrived cannot be checked.",
            "Download it elsewhere, compare its hash with the maker's, and add its path.",
        )
    part = target.with_name(f"{etag[:16]}.part")
    part.touch()
    with part.open("r+b") as file:
        have = file.seek(0, os.SEEK_END)
        _fits(size - have, target.parent)
        told: Any = _Counted(file, have, size, progress)
        http_get(
            promised.location, told, resume_size=have, headers={"User-Agent": "nightschool"},
            expected_size=size or None,
        )  # fmt: skip
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != etag:
        part.unlink()
        raise ModelError(
            f"{spec} arrived damaged: its SHA-256 is {found[:12]}…, the hub named {etag[:12]}….",
            "It was deleted; add it again.",
        )
    part.replace(target)
    return target


class _Counted:
    """The file that a download is written to; tells `progress` how many megabytes are there."""

    def __init__(self, file: BinaryIO, have: int, size: int, progress: Progress) -> None:
        self._file, self._have, self._size, self._progress = file, have, size, progress

    def write(self, piece: bytes) -> int:
        self._have += len(piece)
        self._progress("fetching the file (MB)", self._have // 10**6, self._size // 10**6)
        return self._file.write(piece)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self._have = self._file.seek(place, whence)  # the server starts over
        return self._have

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self) -> int:
        return self._file.truncate()


def _fits(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ModelError(
            f"{size / 1e9:.1f} GB are to come; {free / 1e9:.1f} GB are free in {folder}.",
            "Free some space, or choose a smaller file of that repository.",
        )


def _network_error() -> type[Exception]:
    """The base of all errors of the HTTP library that this huggingface_hub happens to use."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(
        (kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"), HfHubHTTPError
    )
