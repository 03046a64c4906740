"""What the routes need from the daemon. HTTP and MCP speak to this and to nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

Json = dict[str, Any]


class Service(Protocol):
    """The verbs of the local door. Values are plain JSON objects; errors are NightschoolErrors.

    Cancelling a call (or closing a stream) takes the request back from the child that works on it.
    """

    async def status(self) -> Json:
        """Lifecycle, what is served, children, watching, counts, and why nothing is learned now."""
        ...

    async def search(self, query: str, k: int) -> list[Json]:
        """The best `k` passages as `records.Hit` objects, best first."""
        ...

    def ask(
        self, question: str, *, version: int | None, k: int | None, raw: bool
    ) -> AsyncGenerator[Json, None]:
        """Yield `{"delta": text}` objects, then `{"result": records.Answer}`."""
        ...

    def chat(self, params: Mapping[str, Any]) -> AsyncGenerator[Json, None]:
        """The engine's `chat` operation: deltas, then the result with token counts."""
        ...

    async def embed(self, texts: Sequence[str]) -> Json:
        """`vectors`, of length 1 and one a text, and the `tokens` that were encoded."""
        ...

    async def feedback(self, answer: str, verdict: str, text: str) -> Json:
        """Judge an answer: `up`, `down`, or `correct` with the right text."""
        ...

    async def model(self) -> Json:
        """The base model in use: `models.catalogue.ModelInfo` with `template` and `metadata`."""
        ...

    async def keep(self, seconds: float | None) -> None:
        """How long the engine may be idle this time: None as set, 0 gives its memory back now."""
        ...

    async def remember(self, text: str, title: str) -> Json:
        """Write a note into the service's own folder and put it into the index."""
        ...

    async def files(self, *, status: str | None, limit: int, offset: int) -> Json:
        """One page of the per-file table: where each file stands, and why."""
        ...

    async def forget(self, what: str, *, confirmed: bool, dry_run: bool) -> Json:
        """Forget a file; a folder or what words name only when `confirmed`. `receipt` is null
        when nothing was done (`dry_run` only looks), and `files` wait for the confirmation."""
        ...

    async def undo(self, receipt: int) -> Json:
        """Take a `forget` back within its grace period; the receipt."""
        ...

    async def receipts(self, limit: int) -> list[Json]:
        """What was forgotten or deleted, newest first."""
        ...

    async def receipt(self, number: int) -> Json:
        """One receipt."""
        ...

    async def vacuum(self, *, now: bool) -> Json:
        """Remove every byte of what was forgotten; `now` does not wait for grace periods."""
        ...

    async def document(self, number: int) -> Json:
        """One indexed file with its `passages` in order. Raises NotFound."""
        ...

    async def passage(self, number: int) -> Json:
        """One passage with its place. Raises NotFound."""
        ...

    async def roots(self) -> list[Json]:
        """The watched folders."""
        ...

    async def watch(self, path: str, *, learn: bool) -> Json:
        """Watch a folder from now on."""
        ...

    async def unwatch(self, path: str) -> Json:
        """Stop watching a folder; its files leave the index."""
        ...

    async def versions(self) -> list[Json]:
        """All versions, newest first, the base last; the served one is `current`."""
        ...

    async def use(self, version: int) -> Json:
        """Serve a version from the next request on."""
        ...

    async def rollback(self) -> Json:
        """Serve what was served before, from the next request on."""
        ...

    async def runs(self, limit: int) -> list[Json]:
        """The newest nights first."""
        ...

    async def run(self, number: int) -> Json:
        """One night with its score card."""
        ...

    async def refresh(self) -> Json:
        """Compare all folders with the index now; returns at once."""
        ...

    async def learn(
        self,
        *,
        dry_run: bool,
        seed: int | None = None,
        minutes: float | None = None,
        recipe: str | None = None,
    ) -> Json:
        """Start a night now; returns at once with what was started. `minutes` bound training."""
        ...

    async def allow_nights(self, allowed: bool) -> Json:
        """Whether nights may start by themselves."""
        ...

    async def pause(self, minutes: float) -> Json:
        """Let no night start by itself for so long, and a running one go on later; 0 ends it."""
        ...

    async def stop(self) -> Json:
        """Begin the clean shutdown."""
        ...
