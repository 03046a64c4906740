"""What the engine process holds: base model, adapters by version, encoder, search, reader.

Parts are loaded when they are first needed. The pointer to the current version is looked at for
every request, so a promotion is served from the next request on, while a running request ends on
the version it began with. An adapter that cannot be served is said to be so, and the base answers.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nightschool.config import Config
from nightschool.engine import exam, harmless
from nightschool.engine.agreement import Rules
from nightschool.engine.answering import READ, Answering, Served, with_note
from nightschool.engine.llama import Adapter, Llama
from nightschool.engine.sampling import Sampling
from nightschool.engine.talking import MODES, Delta, Reply, Request, talk
from nightschool.errors import ModelError, NightschoolError, NotFound, Refused, UsageError
from nightschool.models import abilities, catalogue
from nightschool.paths import Home
from nightschool.records import Answer, Hit, Version
from nightschool.registry import pointer
from nightschool.registry import versions as registry
from nightschool.store import versions as rows
from nightschool.store.db import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nightschool.engine.evidence import SpanReader
    from nightschool.index.embed import QuickMiniLM
    from nightschool.index.rerank import Wish
    from nightschool.index.rerank.order import Reranking
    from nightschool.index.search import Search
    from nightschool.models.reader import Reader
    from nightschool.ports import Retriever

SERVABLE = ("promoted", "retired")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A version that was checked: its adapter (None for the base) and scale."""

    number: int
    adapter: Adapter | None
    scale: float


class Runtime:
    """Answers for one home. Not thread-safe: one request at a time."""

    def __init__(self, home: Home, store: Store, config: Config) -> None:
        self.home, self.store, self.config = home, store, config
        self.model = catalogue.resolve(home, store, config.model)
        if not self.model.can_serve:
            raise ModelError(
                f"{self.model.name} cannot be served: {self.model.why_not}",
                "Choose another with `nightschool model use`.",
            )
        self.llama = Llama(
            self.model.path, context=config.engine.context, threads=config.engine.threads
        )
        self.abilities = abilities.load(store, self.model.sha256)
        self._loaded: dict[int, _Loaded] = {}
        self._began = time.monotonic()

    # -- parts -----------------------------------------------------------------------------------

    @property
    def threads(self) -> int:
        """Threads for the encoders, which are small models (see `llama.SMALL`)."""
        return self.config.engine.threads or 1

    @cached_property
    def encoder(self) -> QuickMiniLM:
        """The query embedder."""
        from nightschool.index.embed import QuickMiniLM

        return QuickMiniLM(self.home.models, self.threads)

    @cached_property
    def searcher(self) -> Search:
        """Full text and vectors."""
        from nightschool.index.search import Search

        try:
            return Search(self.store, self.home, self.encoder)
        except ModelError:  # its `note` says that it searches by words only
            return Search(self.store, self.home, None)

    @cached_property
    def reranking(self) -> Reranking:
        """What reads the first passages of a search again, where that is wished for."""
        from nightschool.index.rerank.order import Reranking

        return Reranking(self.home, lambda: self.reader, self.config.engine.threads)

    @cached_property
    def reader(self) -> Reader:
        """The span reader."""
        from nightschool.models.reader import Reader

        return Reader(self.home.models, threads=self.threads)

    # -- versions --------------------------------------------------------------------------------

    def serve(self, number: int | None = None) -> Served:
        """Activate a version for one request: None is the current one, 0 the base.

        The current version falls back to the base, with a note, when it cannot be served; a
        version asked for by number does not. Raises NotFound or Refused then.
        """
        if number is not None:
            return self._activate(self._version(number), "")
        note = ""
        loaded = _Loaded(0, None, 1.0)
        try:
            present = pointer.read(self.home)
            if present.version and present.base_sha != self.model.sha256:
                note = f"Version {present.version} belongs to another base model; the base answers."
            else:
                loaded = replace(self._version(present.version), scale=present.scale)
        except NightschoolError as error:
            note = f"The base model answers: {error.message}"
        return self._activate(loaded, note)

    def _activate(self, loaded: _Loaded, note: str) -> Served:
        self.llama.activate(loaded.adapter, loaded.scale)
        return Served(self.model.name, loaded.number, loaded.adapter is not None, note)

    def _version(self, number: int) -> _Loaded:
        if number == 0:
            return _Loaded(0, None, 1.0)
        version = self._row(number)
        known = self._loaded.get(number)
        path = self.home.root / version.directory / registry.ADAPTER
        sha256 = version.sha256
        if known is None:
            path = registry.verify(self.home, version)  # hashes the file: once a version
        adapter = self.llama.adapter(path, sha256)
        self._loaded[number] = _Loaded(number, adapter, version.scale)
        return self._loaded[number]

    def _row(self, number: int) -> Version:
        version = rows.version(self.store, number)
        if version is None:
            raise NotFound(f"There is no version {number}.", "See `nightschool versions`.")
        if (
            version.status not in SERVABLE
        ):  # looked at each time: a deletion may block it any moment
            raise Refused(
                f"Version {number} is {version.status}: {version.note or 'not for serving'}.",
                "See `nightschool versions`.",
            )
        if version.base_sha != self.model.sha256:
            raise Refused(
                f"Version {number} was fitted to another base model.",
                "Switch back to that model (`nightschool model use`), or learn again.",
            )
        return version

    # -- requests --------------------------------------------------------------------------------

    def search(self, query: str, k: int = 8, wish: Wish | None = None) -> list[Hit]:
        """The best `k` passages, the first of them in the order of a reranker if one is wished for.

        Raises NotFound or ModelError when that reranker cannot be had.
        """
        if not query.strip():
            raise UsageError("The query is empty.", "Say what to look for.")
        if wish is None:
            hits = self.searcher.search(query, k)
        else:
            found = self.searcher.search(query, max(k, wish.depth))
            hits = self.reranking.order(query, found, wish, k)
        return [harmless.hit(hit) for hit in hits]

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors `[len(texts), 384]`."""
        return self.encoder.embed(texts)

    def ask(
        self,
        question: str,
        version: int | None = None,
        k: int = 0,
        mode: str = "auto",
        on_delta: Delta = lambda text: None,
        check: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Answer a question. `auto` rests on the files and cites; `raw` is the model alone.

        In `auto` the text is shown once it was checked. `check` may raise to cancel.
        """
        if not question.strip():
            raise UsageError("The question is empty.", "Ask something.")
        if mode == "raw":
            own = Request((("user", question),), version=version, mode=mode, traced=True)
            return talk(self, own, on_delta, check).answer
        if mode not in MODES:
            raise UsageError(f"Unknown mode {mode!r}.", f"One of: {', '.join(MODES)}.")
        self.require_room(question)
        answer = self.answering().answer(question, self.serve(version), k=k, check=check)
        answer = harmless.answer(answer)
        _emit(answer.text, on_delta)
        return with_note(answer, self.searcher.note)

    def chat(
        self,
        messages: Sequence[tuple[str, str]],
        version: int | None = None,
        mode: str = "auto",
        *,
        max_tokens: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        on_delta: Delta = lambda text: None,
        check: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Continue a chat. In `auto` the last user message is answered from the files.

        What the files do not answer falls to the model's own words if it passed the chat exam;
        the note says so. Raises UsageError when the messages make no sense or do not fit.
        """
        sampling = Sampling(
            max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=tuple(stop)
        )
        wanted = Request(tuple(messages), version=version, mode=mode, sampling=sampling)
        return talk(self, wanted, on_delta, check).answer

    def talk(
        self,
        wanted: Request,
        on_delta: Delta = lambda text: None,
        check: Callable[[], None] = lambda: None,
    ) -> Reply:
        """One request of a dialect (see `talking`)."""
        return talk(self, wanted, on_delta, check)

    def nll(self, prompt: str, completion: str, version: int | None = None) -> tuple[float, int]:
        """Negative log-likelihood of a completion: nats and tokens."""
        self.serve(version)
        return self.llama.nll(prompt, completion)

    def examine(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Any:
        """Set the base model's exam and remember what it found (as `exam.Abilities`)."""
        self.llama.activate(None)

        def point(question: str, note: str) -> str:
            spans = self.reader.read(question, [note])
            return spans[0].text if spans else ""

        self.abilities = exam.examine(self.llama, progress, point)
        abilities.save(self.store, self.model.sha256, self.abilities)
        return self.abilities

    def status(self) -> dict[str, Any]:
        """What is loaded and served, for `nightschool status` and `doctor`."""
        served = self.serve()
        return {
            "model": self.model.name,
            "title": self.model.title,
            "base_sha": self.model.sha256,
            "architecture": self.model.architecture,
            "parameters": self.model.parameters,
            "context": self.llama.context,
            "cache": self.llama.room.cache,
            "tools": self.llama.tool_style,
            "version": served.version,
            "adapter": served.adapted,
            "scale": self.llama.active[1],
            "note": served.note,
            "abilities": asdict(self.abilities),
            "leads": "model" if self.abilities.leads else "reader",
            "loaded": [part for part in ("encoder", "searcher", "reader") if part in self.__dict__],
            "seconds": time.monotonic() - self._began,
        }

    def require_room(self, question: str) -> None:
        """Raises UsageError when a question is longer than the context, passages or not."""
        count = len(self.llama.tokenize(question))
        if count >= self.llama.context:
            raise UsageError(
                f"The question has {count} tokens; the limit is {self.llama.context - 1}.",
                "Shorten it, or raise engine.context if the model allows more.",
            )

    def answering(
        self, retriever: Retriever | None = None, reader: SpanReader | None = None
    ) -> Answering:
        """The answer path, over this runtime's own search and reader unless others are given."""
        return Answering(
            self.llama,
            retriever or self.searcher,
            reader or self.reader,
            self.abilities,
            passages=self.config.engine.passages or READ,
            max_tokens=self.config.engine.max_tokens,
            rules=Rules.of(self.config.engine),
        )

    def close(self) -> None:
        """Free all memory."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.llama.close)
            for part in ("encoder", "reader", "reranking"):
                if part in self.__dict__:
                    stack.callback(self.__dict__[part].close)


def _emit(text: str, on_delta: Delta) -> None:
    for piece in re.findall(r"\S+\s*|\s+", text):
        on_delta(piece)
