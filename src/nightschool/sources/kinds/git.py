"""A git repository: its files, and the messages of its commits (read, never executed)."""

from __future__ import annotations

from pathlib import Path

from nightschool.sources.kinds.source import Source

_LOG = ".git/logs/HEAD"
"""Changes with every commit, pull and checkout; the messages are read from the objects."""


def _recognise(folder: Path) -> bool:
    return (folder / ".git" / "HEAD").is_file()


def _folder(key: str) -> bool | None:
    parts = key.split("/")
    if ".git" not in parts:
        return None
    inside = parts[parts.index(".git") :]
    return inside in ([".git"], [".git", "logs"])


def _file(key: str) -> bool | None:
    if "/.git/" not in f"/{key}":
        return None
    return key == _LOG or key.endswith(f"/{_LOG}")


SOURCE = Source("git", "a git repository, with its commit messages", _recognise, _folder, _file)
