"""Write remembered notes into the service's own folder: plain Markdown, one file a note."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from nightschool.clock import Clock, iso
from nightschool.errors import Refused, StoreError

MAX_BYTES = 100_000
MAX_NAME = 60


def write(folder: Path, text: str, title: str, clock: Clock) -> Path:
    """Create a new file for a note; an existing one is never touched.

    Raises Refused when the note is too long, StoreError when it cannot be written.
    """
    if len(text.encode()) > MAX_BYTES:
        raise Refused(
            f"A note may hold at most {MAX_BYTES} bytes.", "Save it as a file in a watched folder."
        )
    title = " ".join(title.split()) or _first_words(text)
    stamp = iso(clock.now())
    body = f"# {title}\n\n{text.strip()}\n\n*Remembered on {stamp[:10]}.*\n"
    name = f"{stamp[:10]} {_safe(title)}"
    for number in range(1, 10_000):
        path = folder / (f"{name}.md" if number == 1 else f"{name} {number}.md")
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise StoreError(
                f"Cannot write the note: {error.strerror}.", f"Check the folder {folder}."
            ) from error
        with os.fdopen(handle, "w", encoding="utf-8") as sink:
            sink.write(body)
            sink.flush()
            os.fsync(handle)
        return path
    raise Refused(f"There are too many notes named {name!r}.", "Give it another title.")


def _first_words(text: str) -> str:
    words = text.split()[:8]
    return " ".join(words)[:MAX_NAME] or "Note"


def _safe(title: str) -> str:
    """A file name for every file system: letters, digits, spaces and hyphens."""
    plain = unicodedata.normalize("NFC", title)
    kept = re.sub(r"[^\w\- ]+", " ", plain, flags=re.UNICODE)
    return " ".join(kept.split())[:MAX_NAME].strip() or "note"
