"""The commit messages of a git repository, read from its objects; nothing of it is executed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, Rows, block, prose
from nightschool.ingest.encoding import decode

MAX_COMMITS = 5000
"""The newest; older ones are history of history."""
_MARK = "\x1e"
"""Stands before each commit in what `load` gives to `parse`."""


def load(file: Path, max_bytes: int) -> bytes:
    """The newest messages of the repository whose `.git/logs/HEAD` is `file`, as one text."""
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    folder = file.parents[2]
    try:
        with Repo(str(folder)) as repo:
            parts: list[bytes] = []
            size = 0
            for entry in repo.get_walker(max_entries=MAX_COMMITS):
                commit = entry.commit
                when = datetime.fromtimestamp(commit.author_time, UTC).date().isoformat()
                who = commit.author.partition(b" <")[0]
                head = b"\x1e%s %s " % (commit.id[:10], when.encode()) + who.replace(b"\n", b" ")
                part = head + b"\n" + commit.message.replace(b"\x1e", b" ").strip() + b"\n"
                size += len(part)
                if size > max_bytes:
                    break
                parts.append(part)
    except (NotGitRepository, KeyError, ValueError, AssertionError, IndexError) as error:
        raise ParseError("the repository is empty, damaged or of a newer kind") from error
    return b"".join(parts)


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """A passage for each commit that says more than its first line; the short ones together."""
    text, note = decode(data.replace(_MARK.encode(), "\u241e".encode()))
    commits = [part.strip("\n").split("\n") for part in text.split("\u241e")[1:]]
    if not commits:
        raise ParseError("the repository has no commits yet")
    return list(_blocks(commits)), "Commit messages", note


def _blocks(commits: list[list[str]]) -> Iterator[Block]:
    short: Rows = []
    first = ""
    for head, *message in commits:
        name, _, who = head.partition(" ")
        lines = [line for line in message if not line.startswith("Signed-off-by:")]
        while lines and not lines[-1].strip():
            lines.pop()
        if not lines:
            continue
        if len(lines) == 1:
            first = first or name
            short.append((0, f"- {lines[0]} ({who})"))
            continue
        yield from _together(short, first)
        short, first = [], ""
        place = f"commit {name}"
        yield Block(BlockKind.SCOPE, lines[0], level=1, place=place)
        yield Block(BlockKind.PROSE, f"{lines[0]} ({who})", place=place)
        rest = prose([(0, line) for line in lines[1:] if line.strip()], wrapped=60)
        yield Block(rest.kind, rest.text, place=place)
    yield from _together(short, first)


def _together(rows: Rows, first: str) -> Iterator[Block]:
    if rows:
        place = f"commit {first}"
        made = block(BlockKind.LIST, rows)
        yield Block(BlockKind.SCOPE, "Commits", level=1, place=place)
        yield Block(made.kind, made.text, place=place)
