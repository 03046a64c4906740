"""Which files are passed over in silence: hidden, temporary, version control, builds, own patterns.

Patterns are gitignore lines from `.gitignore` and `.nightschoolignore`, in any folder; a deeper
file wins over a higher one, and `.nightschoolignore` over `.gitignore` beside it. As in git, what
lies in an ignored folder cannot be brought back. Key files are not ignored but listed as skipped
(`files.obstacle`), so that the user sees that they were not read.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

PATTERN_FILES = (".gitignore", ".nightschoolignore")
"""Later wins."""
MAX_PATTERN_BYTES = 256_000
"""A larger pattern file is not a pattern file."""

_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "venv", "site-packages", "$RECYCLE.BIN", "CVS", "__MACOSX",
     "System Volume Information", "lost+found", "bower_components"}
)  # fmt: skip
_BUILDS = frozenset({"build", "dist", "target", "out"})
"""Ordinary words: only a build folder when a project file lies beside it."""
_PROJECTS = frozenset(
    {"pyproject.toml", "setup.py", "package.json", "Cargo.toml", "pom.xml", "build.gradle",
     "build.gradle.kts", "CMakeLists.txt", "Makefile", "meson.build", "go.mod"}
)  # fmt: skip
_FILES = (
    "~$*", "*.tmp", "*.temp", "4913", "*.swp", "*.swo", "*~", "#*#", "*.part", "*.partial",
    "*.crdownload", "*.lock", "*.lck", "thumbs.db", "desktop.ini", "*.sync-conflict-*",
    "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "*.min.js", "*.min.css", "*.map",
)  # fmt: skip
_PASSED_OVER = re.compile("|".join(fnmatch.translate(pattern) for pattern in _FILES))
"""All of them in one look: a hundred thousand files are compared at every start."""
_HIDDEN_ATTRIBUTE = 0x2  # FILE_ATTRIBUTE_HIDDEN of Windows


@dataclass(frozen=True, slots=True)
class _Patterns:
    base: str
    spec: GitIgnoreSpec


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns that hold in one folder. Immutable: `enter` gives those of a subfolder."""

    patterns: tuple[_Patterns, ...] = ()
    project: bool = False

    def enter(self, folder: Path, key: str, names: Iterable[str]) -> Ignore:
        """The rules inside `folder`, whose stored path is `key` and which holds `names`."""
        present = set(names)
        added = [
            _Patterns(key, spec)
            for name in PATTERN_FILES
            if name in present and (spec := _read(folder / name)) is not None
        ]
        return Ignore((*self.patterns, *added), not present.isdisjoint(_PROJECTS))

    def folder(self, key: str, name: str) -> bool:
        """Whether the subfolder `key` is passed over with all that is in it."""
        if name.startswith(".") or name in _FOLDERS or (name in _BUILDS and self.project):
            return True
        return self._matched(key + "/")

    def file(self, key: str, name: str, status: os.stat_result) -> bool:
        """Whether the file `key` is passed over."""
        if name.startswith("."):
            return True
        if getattr(status, "st_file_attributes", 0) & _HIDDEN_ATTRIBUTE:
            return True
        if _PASSED_OVER.match(name.lower()):
            return True
        return self._matched(key)

    def listed(self, key: str) -> bool:
        """Whether a pattern of the user's names `key` (a folder's ends with `/`)."""
        return self._matched(key)

    def _matched(self, key: str) -> bool:
        for item in reversed(self.patterns):
            inside = key[len(item.base) + 1 :] if item.base else key
            verdict = item.spec.check_file(inside).include
            if verdict is not None:
                return verdict
        return False


def _read(path: Path) -> GitIgnoreSpec | None:
    """The patterns of one file; a broken one is no reason to read what it may protect less."""
    try:
        if path.is_symlink() or path.stat().st_size > MAX_PATTERN_BYTES:
            return None
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return None
    good: list[str] = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:  # git, too, passes over a line that it cannot read
            continue
        good.append(line)
    return GitIgnoreSpec.from_lines(good)
