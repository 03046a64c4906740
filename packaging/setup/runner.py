"""Runs pip, keeps its output in the log, and says in one line why it failed."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_ERROR = re.compile(r"(^|\s)(ERROR|error|fatal error|[A-Z]\w+Error):")


class Failed(Exception):
    """A command ended badly; the text is one line."""


class Runner:
    """Starts commands from several threads; `stop` ends all of them."""

    def __init__(self, log: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("", encoding="utf-8")
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(
        self,
        command: Sequence[str],
        what: str,
        *,
        environment: Mapping[str, str] | None = None,
        line: Callable[[str], None] | None = None,
    ) -> str:
        """The command's output. Raises Failed with its first error line."""
        with self._lock:
            if self._stopped:
                raise Failed("Set-up was stopped.")
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(environment or {})},
            )
            self._running.add(process)
        lines: list[str] = []
        assert process.stdout is not None
        with self.log.open("a", encoding="utf-8") as sink, process.stdout:
            sink.write(f"$ {' '.join(command)}\n")
            for text in process.stdout:
                sink.write(text)
                lines.append(text.rstrip())
                if line is not None:
                    line(text)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        if code:
            last = lines[-1] if lines else f"exit {code}"
            reason = next((text for text in lines if _ERROR.search(text)), last)
            raise Failed(f"{what} failed: {reason.strip()[:300]} (all of it: {self.log})")
        return "\n".join(lines)

    def stop(self) -> None:
        """End everything that runs."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            with contextlib.suppress(OSError):
                process.terminate()
