"""What tells one kind of place from another: which of its files are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def usual(key: str) -> bool | None:
    """No rule of its own."""
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of watched place. `about` is one line for the user.

    `recognise(folder)` says whether a folder is one; it looks at names only. `folder(key)` and
    `file(key)` judge a stored path: True reads it although it is hidden, False passes it over,
    None leaves it to the usual rules. The user's own patterns hold in any case. `beside` are
    endings of companion files whose change counts as the file's own (a database's log).
    """

    name: str
    about: str
    recognise: Callable[[Path], bool]
    folder: Callable[[str], bool | None] = usual
    file: Callable[[str], bool | None] = usual
    beside: tuple[str, ...] = ()


def names(folder: Path, limit: int = 500) -> set[str]:
    """The names directly in a folder, at most `limit` of them; none when it cannot be listed."""
    found: set[str] = set()
    try:
        for entry in folder.iterdir():
            found.add(entry.name)
            if len(found) >= limit:
                break
    except OSError:
        return set()
    return found


def below(folder: Path) -> set[str]:
    """The names directly in a folder and in its first subfolders."""
    found = names(folder)
    for name in sorted(found)[:60]:
        if not (folder / name).is_symlink() and (folder / name).is_dir():
            found |= {f"{name}/{inner}" for inner in names(folder / name)}
    return found
