"""Zip containers (docx, pptx, xlsx, epub): looked over before a byte is inflated."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import ParseError as XmlError

from nightschool.errors import ParseError

MAX_ENTRIES = 10_000
MAX_BYTES = 200_000_000
"""Inflated, all parts of one file together."""
MAX_PART = 60_000_000
MAX_RATIO = 200
"""A part that grows more than this is a bomb: XML of office programs grows 5 to 40 times."""
RATIO_FROM = 2_000_000
"""Smaller parts may repeat themselves as much as they like."""


@contextmanager
def opened(data: bytes, what: str) -> Iterator[zipfile.ZipFile]:
    """The container, when it is one and nothing in it grows beyond measure.

    `what` names the format in reasons. Raises ParseError; also for damage met while it is read.
    """
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise ParseError(f"the {what} is encrypted or of an older kind: save it anew, without")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as container:
            _check(container, len(data), what)
            yield container
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ParseError(f"the {what} is damaged or cut off") from error
    except RuntimeError as error:  # zipfile's word for a password
        if "password" not in str(error):
            raise
        raise ParseError(f"the {what} is encrypted: it opens only with its password") from error


def _check(container: zipfile.ZipFile, size: int, what: str) -> None:
    entries = container.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ParseError(f"the {what} has more than {MAX_ENTRIES} parts (a bomb?)")
    # Overlapping parts: together they claim more than the file holds.
    if sum(entry.compress_size for entry in entries) > size:
        raise ParseError(f"the {what} is damaged: its parts overlap (a bomb?)")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ParseError(f"the {what} unpacks to more than {MAX_BYTES // 1_000_000} MB (a bomb?)")
    for entry in entries:
        grown = entry.file_size > MAX_RATIO * max(1, entry.compress_size)
        if entry.file_size > MAX_PART or (grown and entry.file_size > RATIO_FROM):
            raise ParseError(f"a part of the {what} unpacks beyond measure (a bomb?)")


def xml(container: zipfile.ZipFile, name: str, what: str) -> Element:
    """One part as XML. Entities and document types are refused: no office program writes them."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(container.read(name), forbid_dtd=what != "EPUB")
    except KeyError as error:
        raise ParseError(f"the {what} is damaged: {name} is missing") from error
    except DefusedXmlException as error:
        raise ParseError(f"the {what} holds XML entities (a bomb?)") from error
    except (XmlError, ValueError) as error:
        raise ParseError(f"the {what} is damaged: {name} is not XML") from error
    return root
