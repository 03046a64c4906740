"""A browser's history and bookmarks: what was read, when, and where it is kept.

Addresses lose what follows `?` and `#`: it is for machines, and often a secret.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, block
from nightschool.ingest.contents import contents
from nightschool.ingest.encoding import decode
from nightschool.ingest.parse.data import loaded
from nightschool.store import foreign

MAX_VISITS = 20_000
_ROOTS = ("bookmark_bar", "other", "synced")


def load(file: Path, max_bytes: int) -> bytes:
    """The database as its owner last committed it: with the log beside it."""
    data = contents(file, max_bytes)
    log = file.with_name(f"{file.name}-wal")
    return foreign.merged(data, contents(log, max_bytes) if log.exists() else b"")


def parse_history(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Visits by day, newest first, and (Firefox) the bookmarks by folder."""
    if not data.startswith(b"SQLite format 3\0"):
        raise ParseError("the content is not a browser's history, whatever the name says")
    if foreign.is_firefox(data):
        visits, marks = foreign.firefox(data, MAX_VISITS)
        blocks = [*_bookmarks(marks), *_visits(visits)]
    else:
        blocks = list(_visits(foreign.chromium(data, MAX_VISITS)))
    return blocks, "Browser history", ""


def parse_bookmarks(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Chromium's bookmarks by folder."""
    text, note = decode(data)
    raw = loaded(text)
    roots = raw.get("roots") if isinstance(raw, dict) else None
    if not isinstance(roots, dict):
        raise ParseError("the content is not a file of bookmarks, whatever the name says")
    marks = [mark for name in _ROOTS for mark in _tree(roots.get(name), "")]
    return list(_bookmarks(marks)), "Bookmarks", note


def _tree(node: Any, folder: str) -> Iterator[tuple[str, str, str]]:
    if not isinstance(node, dict):
        return
    if node.get("type") == "url":
        yield folder, str(node.get("name") or ""), str(node.get("url") or "")
    name = str(node.get("name") or "")
    children = node.get("children")
    for child in children if isinstance(children, list) else []:
        yield from _tree(child, name)


def _visits(visits: Iterable[tuple[str, str, str]]) -> Iterator[Block]:
    for day, group in itertools.groupby(visits, key=lambda visit: visit[0]):
        lines = list(dict.fromkeys(_line(title, url) for _, title, url in group))
        place = f"visited {day}" if day else "visited"
        yield from _listed(lines, f"Visited on {day}", place)


def _bookmarks(marks: Iterable[tuple[str, ...]]) -> Iterator[Block]:
    ordered = sorted(marks, key=lambda mark: mark[0])
    for folder, group in itertools.groupby(ordered, key=lambda mark: mark[0]):
        lines = list(dict.fromkeys(_line(title, url) for _, title, url in group))
        name = f"Bookmarks in {folder}" if folder else "Bookmarks"
        yield from _listed(lines, name, f"bookmarks {folder}".strip())


def _listed(lines: list[str], heading: str, place: str) -> Iterator[Block]:
    lines = [line for line in lines if line]
    if lines:
        yield Block(BlockKind.HEADING, heading, level=1, place=place)
        made = block(BlockKind.LIST, [(0, f"- {line}") for line in lines])
        yield Block(made.kind, made.text, place=place)


def _line(title: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname or ''}{parts.path}".rstrip("/")
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https"):
        return ""
    words = " ".join(title.split())[:300]
    return f"{words} ({where[:200]})" if words else where[:200]
