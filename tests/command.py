"""Runs the real command in a process of its own, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 240.0


@dataclass(frozen=True, slots=True)
class Said:
    """What one command printed, and its exit code."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The single line of stderr; fails when there are more."""
        lines = self.error.strip().splitlines()
        assert len(lines) == 1, self.error
        return lines[0]


def nightschool(
    home: Path, *arguments: str, timeout: float = TIMEOUT_S, **environment: str
) -> Said:
    """`nightschool --home HOME ARGUMENTS`; stdin is closed, so nothing can ask."""
    done = subprocess.run(
        [sys.executable, "-m", "nightschool", "--home", str(home), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
