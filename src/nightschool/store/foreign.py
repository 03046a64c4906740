"""Databases of other programs (browsers), read from a copy in memory and never written.

The bytes come from a file that its owner may be writing. What the owner has committed but not yet
moved into the file lies in the log beside it (`-wal`): `merged` puts it in its place
(sqlite.org/fileformat.html, sections 1.3 and 4).
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from typing import Any

from nightschool.errors import ParseError

_HEAD = 32
_FRAME = 24


def merged(data: bytes, log: bytes) -> bytes:
    """The database with the committed pages of its write-ahead log.

    Frames count up to the last commit whose salts and checksums are right; what follows was never
    committed, or is left from before.
    """
    pages = _committed(log)
    made = bytearray(data)
    for offset, page in pages.items():
        if offset > len(made):
            made.extend(b"\0" * (offset - len(made)))
        made[offset : offset + len(page)] = page
    if len(made) >= 20:
        made[18:20] = b"\1\1"  # no longer in log mode: a copy in memory has no log
    return bytes(made)


def _committed(log: bytes) -> dict[int, bytes]:
    if len(log) < _HEAD:
        return {}
    magic, _, size = struct.unpack(">3I", log[:12])
    if magic not in (0x377F0682, 0x377F0683) or not 512 <= size <= 65536:
        return {}
    order = ">" if magic & 1 else "<"
    salts = log[16:24]
    sums = _checksum(log[:24], order, (0, 0))
    if struct.pack(">2I", *sums) != log[24:32]:
        return {}
    waiting: dict[int, bytes] = {}
    done: dict[int, bytes] = {}
    for at in range(_HEAD, len(log) - _FRAME - size + 1, _FRAME + size):
        head = log[at : at + _FRAME]
        page = log[at + _FRAME : at + _FRAME + size]
        sums = _checksum(page, order, _checksum(head[:8], order, sums))
        if head[8:16] != salts or struct.pack(">2I", *sums) != head[16:24]:
            break
        number, commit = struct.unpack(">2I", head[:8])
        waiting[(number - 1) * size] = page
        if commit:
            done.update(waiting)
            waiting.clear()
    return done


def _checksum(data: bytes, order: str, start: tuple[int, int]) -> tuple[int, int]:
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(data)
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA query_only=ON")
        yield connection
    except sqlite3.Error as error:
        raise ParseError(f"the browser's database cannot be read ({error})") from error
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def firefox(data: bytes, limit: int) -> tuple[list[tuple[str, str, str]], list[tuple[str, ...]]]:
    """`(day, title, address)` of the newest visits, and `(folder, title, address)` of bookmarks."""
    with _opened(data) as connection:
        visits = _rows(
            connection,
            "SELECT date(max(v.visit_date) / 1000000, 'unixepoch') AS day, p.title, p.url "
            "FROM moz_places p JOIN moz_historyvisits v ON v.place_id=p.id "
            f"GROUP BY p.id ORDER BY max(v.visit_date) DESC LIMIT {int(limit)}",
        )
        marks = _rows(
            connection,
            "SELECT coalesce(f.title, ''), coalesce(b.title, p.title, ''), p.url "
            "FROM moz_bookmarks b JOIN moz_places p ON p.id=b.fk "
            f"LEFT JOIN moz_bookmarks f ON f.id=b.parent WHERE b.type=1 LIMIT {int(limit)}",
        )
    return _texts(visits), _texts(marks)


def chromium(data: bytes, limit: int) -> list[tuple[str, str, str]]:
    """`(day, title, address)` of the newest visits; the clock starts in 1601."""
    with _opened(data) as connection:
        return _texts(
            _rows(
                connection,
                "SELECT date(last_visit_time / 1000000 - 11644473600, 'unixepoch'), title, url "
                f"FROM urls WHERE hidden=0 ORDER BY last_visit_time DESC LIMIT {int(limit)}",
            )
        )


def is_firefox(data: bytes) -> bool:
    """Whether the database is Firefox's (`places.sqlite`)."""
    with _opened(data) as connection:
        found = _rows(connection, "SELECT 1 FROM sqlite_master WHERE name='moz_places'")
    return bool(found)


def _texts(rows: list[tuple[Any, ...]]) -> list[Any]:
    return [tuple(str(value or "") for value in row) for row in rows]
