"""Scanned pages through Tesseract, where the user has installed it and switched it on.

It runs inside the limits of the child that reads the file, with a time of its own: pages that it
does not reach are said, and the rest of the file is not lost with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pypdfium2

BUDGET_S = 20.0
"""For all pages of one file; a file may take 30 s altogether."""
DPI = 200
MAX_PIXELS = 8_000_000
"""A page is drawn smaller rather than larger than this."""
PROGRAM = "tesseract"


class Ocr:
    """Reads pages until its time is up. `languages` as Tesseract names them: `eng`, `eng+deu`."""

    def __init__(self, languages: str) -> None:
        self._languages = languages
        self._program = shutil.which(PROGRAM) if languages else None
        self._ends = time.monotonic() + BUDGET_S
        self.note = ""
        """Why pages were left unread, in words."""

    def read(self, page: pypdfium2.PdfPage) -> str:
        """The text of one page; empty when there is none, or when it could not be read."""
        if not self._languages:
            return ""
        if self._program is None:
            self.note = f"files.ocr is set, but {PROGRAM} is not installed"
            return ""
        left = self._ends - time.monotonic()
        if left <= 0:
            self.note = f"OCR stopped after {BUDGET_S:.0f} s"
            return ""
        try:
            done = subprocess.run(
                [self._program, "stdin", "stdout", "-l", self._languages],
                input=_drawn(page),
                capture_output=True,
                timeout=left,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.note = f"OCR stopped after {BUDGET_S:.0f} s"
            return ""
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
            self.note = f"OCR failed: {words[:200]}"
            return ""
        return done.stdout.decode("utf-8", "replace").replace("\f", "")


def _drawn(page: pypdfium2.PdfPage) -> bytes:
    """The page in grey, as a portable graymap."""
    width, height = page.get_size()
    scale = min(DPI / 72, (MAX_PIXELS / max(1.0, width * height)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    rows = bytes(bitmap.buffer)
    kept = b"".join(
        rows[line * bitmap.stride : line * bitmap.stride + bitmap.width]
        for line in range(bitmap.height)
    )
    return b"P5\n%d %d\n255\n" % (bitmap.width, bitmap.height) + kept


_languages = ""


def use(languages: str) -> None:
    """Switch OCR on for this process; empty switches it off."""
    global _languages
    _languages = languages


def reader() -> Ocr:
    """What reads the scanned pages of one file."""
    return Ocr(_languages)
