"""Logs: one file a process in the home's `logs`, rotated, never larger than a few megabytes.

Children write their standard error to a file of their own; it is turned over before a start.
"""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 1_000_000
BACKUPS = 3


def configure(folder: Path, *, console: bool = False) -> None:
    """Send this process's log to `daemon.log` (and the terminal), readable by the user alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "daemon.log"
    path.touch(mode=0o600)
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
    ]
    if console:
        handlers.append(logging.StreamHandler())
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(form)
        root.addHandler(handler)
    # Their INFO lines carry session ids, or one line a scheduler tick.
    for chatty in ("mcp", "apscheduler", "uvicorn", "httpx", "httpx2", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def turn_over(path: Path) -> None:
    """Rename a child's log that has grown too large; the open file of a live child is not ours."""
    if not path.exists() or path.stat().st_size < MAX_BYTES:
        return
    for number in range(BACKUPS, 0, -1):
        older = path.with_suffix(f".log.{number}")
        newer = path.with_suffix(f".log.{number - 1}") if number > 1 else path
        if newer.exists():
            newer.replace(older)
