"""What a person means by PATH, DOC or QUERY: the files that `forget` is about."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from nightschool.errors import NotFound, UsageError
from nightschool.records import Document, FileStatus, Receipt, Root
from nightschool.store import choosing, documents, receipts
from nightschool.store.db import Store

QUERY, FILE, FOLDER = "query", "file", "folder"


@dataclass(frozen=True, slots=True)
class Target:
    """`kind` is file, folder or query; `done` is the receipt when all of it was forgotten before.

    What a query finds is only a proposal: it needs a confirmation.
    """

    kind: str
    text: str
    files: tuple[Document, ...] = ()
    done: Receipt | None = None


def find(store: Store, text: str) -> Target:
    """The files that `text` names: a path, a folder, a file's number (`#12`), or words in them.

    Paths may be absolute, relative to the current folder, or as the per-file table shows them.
    Raises NotFound when nothing fits, UsageError when a path is in several watched folders.
    """
    if not text.strip():
        raise UsageError("Say what to forget.", "A path, a file's number (#12), or words.")
    roots = documents.roots(store)
    if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
        raise UsageError("That is no text: it holds half a character.", "Send it again.")
    if text.startswith("#") and text[1:].isascii() and text[1:].isdigit():
        return _number(store, text, roots)
    places = _places(text, roots)
    for root, key in places:
        found = _at(store, root, key)
        if found is not None:
            return replace(found, text=text)
    stored = _as_shown(store, text, roots)
    if stored is not None:
        return stored
    for root, key in places:
        if key and (Path(root.path) / key).is_file() and not (Path(root.path) / key).is_symlink():
            return Target(FILE, text, (Document(root.id, key, 0, 0, "", FileStatus.WAITING),))
    given = _given(text)
    if given is not None and (given.is_absolute() or text.startswith("~")):
        raise NotFound(f"{text} is not known here.", "See `nightschool files`.")
    hits = choosing.holding(store, text)
    if not hits:
        raise NotFound(
            f"No file is called {text!r}, and none holds all these words.",
            "See `nightschool files`, or look with `nightschool search`.",
        )
    return Target(QUERY, text, tuple(hits))


def _places(text: str, roots: list[Root]) -> list[tuple[Root, str]]:
    """The watched folders in which this path would lie, and its key there."""
    given = _given(text)
    if given is None:
        return []
    given = given.absolute()
    found = []
    for path in dict.fromkeys((given, given.parent.resolve() / given.name, given.resolve())):
        for root in roots:
            if path.is_relative_to(root.path):
                key = path.relative_to(root.path).as_posix()
                found.append((root, unicodedata.normalize("NFC", "" if key == "." else key)))
    return found


def _given(text: str) -> Path | None:
    """`text` as a path; None when no file can be called so."""
    try:
        return None if "\0" in text else Path(text).expanduser()
    except RuntimeError:  # `~nobody`
        return None


def _at(store: Store, root: Root, key: str) -> Target | None:
    item = documents.by_path(store, root.id, key) if key else None
    if item is not None:
        done = _done(store, root, item)
        return Target(FILE, key, () if done else (item,), done)
    inside = choosing.below(store, root.id, key)
    if inside:
        live = tuple(item for item in inside if _done(store, root, item) is None)
        return Target(FOLDER, key, live, None if live else _done(store, root, inside[0]))
    gone = receipts.of_path(store, root.path, key)
    return None if gone is None else Target(FILE, key, (), gone)


def _done(store: Store, root: Root, item: Document) -> Receipt | None:
    if item.status is not FileStatus.SKIPPED or not receipts.kept_out(store, root.path, item.path):
        return None
    return receipts.of_path(store, root.path, item.path)


def _as_shown(store: Store, text: str, roots: list[Root]) -> Target | None:
    key = unicodedata.normalize("NFC", text.strip("/"))
    found = [(root, at) for root in roots if (at := _at(store, root, key)) is not None]
    if len(found) > 1:
        names = ", ".join(f"{root.path}/{key}" for root, _ in found)
        raise UsageError(f"{text} is in several folders.", f"Name one: {names}.")
    return replace(found[0][1], text=text) if found else None


def _number(store: Store, text: str, roots: list[Root]) -> Target:
    item = documents.document(store, int(text[1:])) if len(text) < 19 else None
    if item is None:
        raise NotFound(f"There is no file {text}.", "See `nightschool files --json`.")
    root = next(root for root in roots if root.id == item.root_id)
    done = _done(store, root, item)
    return Target(FILE, text, () if done else (item,), done)
