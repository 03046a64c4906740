"""A browser's profile (Firefox, Chromium and its kin): bookmarks and history, nothing else.

Passwords, cookies, form data and open tabs are not even looked at.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nightschool.sources.kinds.source import Source, below

_READ = frozenset({"places.sqlite", "Bookmarks", "History"})
_MARKS = frozenset({"places.sqlite", "History", "Login Data", "logins.json", "Web Data"})


def _recognise(folder: Path) -> bool:
    found = {name.rpartition("/")[2] for name in below(folder)}
    return len(found & _MARKS) >= 2 or "places.sqlite" in found


def _folder(key: str) -> bool | None:
    return key.count("/") < 2  # a profile, or a folder of profiles


def _file(key: str) -> bool | None:
    return PurePosixPath(key).name in _READ


SOURCE = Source(
    "browser", "a browser's bookmarks and history", _recognise, _folder, _file, ("-wal",)
)
