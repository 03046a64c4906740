"""The command in odd surroundings: file names are UTF-8 whatever the locale says, and a terminal
that cannot show a letter does not end the command."""

from __future__ import annotations

import io
import locale
import os
import sys

from nightschool.paths import interpreter


def utf8() -> None:
    """Start anew in Python's UTF-8 mode where the locale has another encoding (PEP 540).

    A name on the disk would else be read as another text in each locale, and none could be stored.
    """
    if os.name != "posix" or sys.getfilesystemencoding().lower() in ("utf-8", "utf8"):
        return
    os.environ["PYTHONUTF8"] = "1"  # for the children
    sys.stdout.flush()
    words = interpreter()
    os.execv(words[0], [*words, "-X", "utf8", *sys.orig_argv[1:]])


def speak() -> None:
    """Write in the terminal's own encoding; what it does not know becomes a question mark."""
    terminal = locale.getencoding().lower().replace("_", "-")
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue  # somebody collects our words
        if stream.isatty() and sys.flags.utf8_mode and terminal not in ("utf-8", "ansi-x3.4-1968"):
            stream.reconfigure(encoding=terminal)
        if stream.errors == "strict":
            stream.reconfigure(errors="replace")
