"""Mail: maildirs (hidden subfolders too, as servers name them), mbox files, saved messages."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nightschool.sources.kinds.source import Source, below, names

_BOXES = frozenset({"inbox", "sent", "drafts", "archives", "archive"})
_PARTS = frozenset({"cur", "new"})
_INTERNAL = ("dovecot", "maildir", "courier", "subscriptions", ".msf", ".dat")


def _recognise(folder: Path) -> bool:
    found = below(folder)
    if any({name.rpartition("/")[2] for name in found if name.startswith(start)} >= _PARTS
           for start in ("", *(f"{name}/" for name in names(folder)))):  # fmt: skip
        return True
    lower = {name.lower() for name in found}
    boxes = {name for name in lower if PurePosixPath(name).name in _BOXES}
    return bool({f"{name}.msf" for name in boxes} & lower)


def _folder(key: str) -> bool | None:
    name = PurePosixPath(key).name
    if name == "tmp":  # messages that are still being delivered
        return False
    return True if name.startswith(".") and name[1:2].isalpha() and name != ".git" else None


def _file(key: str) -> bool | None:
    place = PurePosixPath(key)
    if place.parent.name in _PARTS:
        return True
    return False if place.name.lower().startswith(_INTERNAL[:4]) else None


SOURCE = Source("mail", "mail: maildirs, mbox files, saved messages", _recognise, _folder, _file)
