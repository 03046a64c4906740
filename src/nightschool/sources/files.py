"""Names and obstacles of single files.

A stored path is POSIX and NFC; bytes that are not UTF-8 appear as `\\xNN`. `resolve` leads back
from such a path to the file on the disk, whatever form its name has there.
"""

from __future__ import annotations

import fnmatch
import os
import stat
import unicodedata
from pathlib import Path

_KEYS = (
    "*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.kdbx", "*.kdb",
    "*.gpg", "*.pgp", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.env", "*.ovpn",
    "credentials", "credentials.json", "secrets.*", "*.agekey", "*.wallet", "wallet.dat",
    "login data*", "logins*.json", "key[34].db", "cert9.db", "cookies", "cookies.sqlite*",
    "web data", "signons.sqlite", ".netrc", "_netrc", ".pgpass", ".htpasswd", "shadow",
)  # fmt: skip
UNREADABLE = "unreadable"
"""How every reason begins that may go away without the file changing."""
TOO_LARGE = "larger than"
"""How the reason begins that depends on the settings."""


def portable(name: str) -> str:
    """The form of a file name that is stored: NFC, with `\\xNN` for bytes that are not UTF-8."""
    if name.isascii():
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace") if os.name == "posix" else name
    return unicodedata.normalize("NFC", text.encode("utf-8", "backslashreplace").decode())


def resolve(root: Path, key: str) -> Path | None:
    """The file on the disk that is stored as `key`, or None when there is none (any more).

    A key that would lead out of the root (`..`, absolute) leads nowhere.
    """
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") for part in parts):
        return None
    here = root
    for part in parts:
        step = here / part
        if not os.path.lexists(step):
            try:
                with os.scandir(here) as entries:
                    names = sorted(entry.name for entry in entries)
            except OSError:
                return None
            name = next((name for name in names if portable(name) == part), None)
            if name is None:
                return None
            step = here / name
        if step != root and part != parts[-1] and step.is_symlink():
            return None
        here = step
    return here


def obstacle(path: Path, root: Path, max_bytes: int) -> str:
    """Why a file cannot be read, in words for the user; empty when it can.

    Looks at the file's own entry only: nothing is opened, so a pipe cannot block.
    """
    try:
        status = path.lstat()
    except OSError as error:
        return f"{UNREADABLE}: {_words(error)}"
    if stat.S_ISLNK(status.st_mode):
        return _link(path, root)
    if stat.S_ISDIR(status.st_mode):
        return f"{UNREADABLE} folder: {_unlisted(path)}"
    if not stat.S_ISREG(status.st_mode):
        return f"not a regular file ({_kind(status.st_mode)})"
    lower = path.name.lower()
    if any(fnmatch.fnmatchcase(lower, pattern) for pattern in _KEYS):
        return "key or credential file: never read"
    if status.st_size > max_bytes:
        return f"{TOO_LARGE} {max_bytes / 1_000_000:g} MB"
    if not os.access(path, os.R_OK):
        return f"{UNREADABLE}: permission denied"
    return ""


def _unlisted(folder: Path) -> str:
    """Why a folder that a walk could not list cannot be listed."""
    try:
        with os.scandir(folder):
            return "it could not be listed a moment ago"
    except OSError as error:
        return _words(error)


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _link(path: Path, root: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "symbolic link that leads nowhere or in a circle"
    if target.is_relative_to(root.resolve()):
        return "symbolic link: what it points to is listed under its own name"
    return "symbolic link that leads out of the folder"


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
    ):
        if test(mode):
            return word
    return "device"
