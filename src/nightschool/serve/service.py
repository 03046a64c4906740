"""What the routes need from the daemon. HTTP and MCP speak to this and to nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

Json = dict[str, Any]


class Desk(Protocol):
    """What looks after the service: settings, models, practice, copies, and jobs."""

    async def settings(self, *, everything: bool) -> Json:
        """What is set and where it comes from; the defaults too when `everything`."""
        ...

    async def explain(self, key: str) -> Json:
        """What a setting means, what it may be, and what it is. Raises UsageError."""
        ...

    async def put(self, key: str, value: str) -> Json:
        """Write one setting and take it in. Raises UsageError, Refused for those of the door."""
        ...

    async def unset(self, key: str) -> Json:
        """Let a setting's default hold again."""
        ...

    async def models(self) -> Json:
        """All base models that are known, and which one is `used`."""
        ...

    async def card(self, name: str) -> Json:
        """One model; empty is the one in use."""
        ...

    async def use_model(self, name: str, *, dry_run: bool, exam: bool = True) -> Json:
        """Choose the base model, or only say what becomes of the versions."""
        ...

    async def facts(self, status: str, limit: int) -> list[Json]:
        """The facts to practise, those that wait first."""
        ...

    async def practice(self) -> list[Json]:
        """Every practice pair in use."""
        ...

    async def decide(self, ids: Sequence[int], status: str) -> list[Json]:
        """Facts become `approved` or `rejected`."""
        ...

    async def edit(self, number: int, question: str, answer: str) -> Json:
        """Reword a pair, or mend its fact's answer."""
        ...

    async def judged(self) -> list[Json]:
        """What was said of answers."""
        ...

    async def backups(self) -> list[Json]:
        """The copies of the database."""
        ...

    async def back_up(self) -> list[Json]:
        """Copy the database now; all copies."""
        ...

    async def servers(self) -> list[Json]:
        """The added MCP servers, without what is in their environment."""
        ...

    async def remove_server(self, name: str) -> list[Json]:
        """Take one out; those that are left."""
        ...

    async def start(self, verb: str, words: Sequence[str], secrets: Mapping[str, str]) -> Json:
        """Run the command `words` as a job. Raises Refused while another one runs."""
        ...

    async def jobs(self) -> list[Json]:
        """The newest jobs first."""
        ...

    async def job(self, number: int) -> Json:
        """One job. Raises NotFound."""
        ...

    async def cancel(self, number: int) -> Json:
        """End a job."""
        ...


class Service(Protocol):
    """The verbs of the local door. Values are plain JSON objects; errors are NightschoolErrors.

    Cancelling a call (or closing a stream) takes the request back from the child that works on it.
    """

    @property
    def desk(self) -> Desk:
        """What looks after the service. Raises ChildError where it is not at hand."""
        ...

    async def status(self) -> Json:
        """Lifecycle, what is served, children, watching, counts, and why nothing is learned now."""
        ...

    async def search(self, query: str, k: int, rerank: str = "") -> list[Json]:
        """The best `k` passages as `records.Hit` objects, best first; `rerank` names what orders
        them, empty as set."""
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

    async def report(self, number: int | None, *, page: bool) -> Json:
        """All that the report of a night (None: the newest) says, where its page lies, and the
        page itself where it is wanted. Raises NotFound."""
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
