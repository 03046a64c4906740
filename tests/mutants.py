"""Files as they come from broken disks, cut-off downloads and people who mean harm."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from format_samples import SAMPLES

BOMB = b"0" * 40_000_000
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 20) for level in range(12)
    )
    + b"]><x>&m;</x>"
)


def mutants(suffix: str, count: int, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """`(what was done, bytes)`: `count` files of one format, the bombs among them first."""
    whole = SAMPLES[suffix]()
    made = 0
    for name, make in bombs(suffix, whole):
        if made < count:
            made += 1
            yield name, make()
    ways: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("truncated", lambda: whole[: draw.randrange(len(whole))]),
        ("flipped", lambda: _flipped(whole, draw, draw.randint(1, 20))),
        ("flipped", lambda: _flipped(whole, draw, draw.randint(1, 3))),
        ("spliced", lambda: _spliced(whole, SAMPLES[draw.choice(sorted(SAMPLES))](), draw)),
        ("repeated", lambda: _repeated(whole, draw)),
        ("not UTF-8", lambda: _inserted(whole, draw.randbytes(draw.randint(1, 400)), draw)),
        ("random", lambda: draw.randbytes(draw.randint(1, 4000))),
        ("cut out", lambda: _cut_out(whole, draw)),
    )
    while made < count:
        name, make = ways[made % len(ways)]
        made += 1
        yield name, make()


def bombs(suffix: str, whole: bytes) -> list[tuple[str, Callable[[], bytes]]]:
    """What grows, nests or repeats without end, in the format's own terms."""
    made: list[tuple[str, Callable[[], bytes]]] = [
        ("one endless line", lambda: whole + b"a" * 2_000_000),
        ("many line ends", lambda: whole + b"\n" * 2_000_000),
        ("open brackets", lambda: b"[" * 300_000),
        ("open tags", lambda: b"<div>" * 30_000),
        ("zero bytes", lambda: b"\0" * 100_000),
    ]
    if whole.startswith(b"PK"):
        made += [
            ("inflating part", lambda: _with_part(whole, "bomb.xml", BOMB)),
            ("entities", lambda: _all_xml(whole, LAUGHS)),
            ("archive in itself", lambda: _nested(whole, 30)),
            ("20,000 parts", lambda: _many(whole, 20_000)),
            ("open tags in every part", lambda: _all_xml(whole, b"<a>" * 200_000)),
        ]
    nested = b"Subject: x\nContent-Type: message/rfc822\n\n" * 3000
    boundary = b'Content-Type: multipart/mixed; boundary="B"\n\n--B\n'
    special: dict[str, list[tuple[str, Callable[[], bytes]]]] = {
        "eml": [
            ("messages in messages", lambda: nested),
            ("5,000 attachments", lambda: b"Subject: x\n" + boundary + b"\nx\n--B\n" * 5000),
            ("parts in parts", lambda: b"Subject: x\n" + boundary * 3000),
        ],
        "mbox": [("30,000 messages", lambda: b"From a Tue Mar 5 2024\nSubject: x\n\n" * 30_000)],
        "json": [
            ("deep", lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
            ("long number", lambda: b"9" * 1_000_000),
            ("wide", lambda: json.dumps({f"k{n}": [n] for n in range(60_000)}).encode()),
        ],
        "csv": [("200,000 columns", lambda: b"a," * 200_000), ("open quote", lambda: b'"' + whole)],
        "ics": [
            ("50,000 events", lambda: whole.replace(b"END:VCAL", b"BEGIN:VEVENT\r\n" * 50_000))
        ],
        "md": [
            ("quotes in quotes", lambda: b">" * 200_000),
            ("comments", lambda: b"<!--" * 99_999),
        ],
        "rtf": [("groups in groups", lambda: rb"{\rtf1" + b"{" * 200_000)],
        "html": [("entities", lambda: b"&lt;" * 500_000)],
        "pdf": [("no end", lambda: whole.replace(b"endstream", b""))],
    }
    return made + special.get(suffix, [])


def special_files(folder: Path, suffix: str) -> dict[str, str]:
    """Things that only look like files, as `name → what it is`; made in `folder`."""
    made = {
        f"empty.{suffix}": "0 bytes",
        f"sparse.{suffix}": "2 GB, all holes",
        f"pipe.{suffix}": "named pipe",
        f"device.{suffix}": "link to an endless device",
        f"circle.{suffix}": "link to itself",
        f"locked.{suffix}": "not readable",
    }
    (folder / f"empty.{suffix}").touch()
    with (folder / f"sparse.{suffix}").open("wb") as stream:
        stream.truncate(2_000_000_000)
    os.mkfifo(folder / f"pipe.{suffix}")
    (folder / f"device.{suffix}").symlink_to("/dev/zero")
    (folder / f"circle.{suffix}").symlink_to(f"circle.{suffix}")
    (folder / f"locked.{suffix}").write_bytes(b"x")
    (folder / f"locked.{suffix}").chmod(0)
    return made


def _flipped(whole: bytes, draw: random.Random, count: int) -> bytes:
    data = bytearray(whole)
    for _ in range(count):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def _spliced(whole: bytes, other: bytes, draw: random.Random) -> bytes:
    return whole[: draw.randrange(len(whole))] + other[draw.randrange(len(other)) :]


def _repeated(whole: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(whole))
    piece = whole[start : start + draw.randint(1, 200)]
    return whole[:start] + piece * draw.randint(2, 500) + whole[start:]


def _inserted(whole: bytes, data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(whole))
    return whole[:at] + data + whole[at:]


def _cut_out(whole: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(whole))
    return whole[:start] + whole[start + draw.randint(1, len(whole)) :]


def _parts(whole: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(whole)) as old:
        return {name: old.read(name) for name in old.namelist()}


def _zipped(parts: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in parts.items():
            made.writestr(name, data)
    return stream.getvalue()


def _with_part(whole: bytes, name: str, data: bytes) -> bytes:
    return _zipped(_parts(whole) | {name: data})


def _all_xml(whole: bytes, data: bytes) -> bytes:
    ends = (".xml", ".opf", ".xhtml")
    return _zipped({k: data if k.endswith(ends) else v for k, v in _parts(whole).items()})


def _nested(whole: bytes, depth: int) -> bytes:
    for _ in range(depth):
        whole = _with_part(whole, "inner.zip", whole)
        if len(whole) > 20_000_000:
            break
    return whole


def _many(whole: bytes, count: int) -> bytes:
    return _zipped(_parts(whole) | {f"part{n}.xml": b"x" for n in range(count)})
