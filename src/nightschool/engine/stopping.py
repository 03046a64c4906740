"""Stop texts in a stream, also when they arrive in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopGate:
    """Lets text through until a stop text appears; holds back what may be the start of one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [text for text in stop if text]
        self._held = ""
        self.closed = False

    def push(self, text: str) -> str:
        """Add text; what may be shown now. Sets `closed` when a stop text is complete."""
        if self.closed:
            return ""
        if not self._stop:
            return text
        self._held += text
        places = [at for mark in self._stop if (at := self._held.find(mark)) >= 0]
        if places:
            self.closed = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        keep = max(
            (
                size
                for mark in self._stop
                for size in range(1, len(mark))
                if self._held.endswith(mark[:size])
            ),
            default=0,
        )
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def flush(self) -> str:
        """What was held back, once nothing more comes."""
        shown, self._held = self._held, ""
        return shown
