"""Small programs of the system that know what no library does."""

from __future__ import annotations

import shutil
import subprocess
import sys

TIMEOUT_S = 2.0
SYSTEM: str = sys.platform


def output(*command: str) -> str | None:
    """What a small tool prints, or None when it is missing, fails or hangs."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout
