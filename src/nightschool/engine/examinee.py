"""A candidate under examination: the served artefact, in the same code that serves users.

It is a `evaluate.subject.Subject`: llama.cpp with the quantised base and the exported adapter at
one scale; `served` goes through retrieval, reader and support check like any user's question.
Retrieval and reader do not depend on the adapter, so their results are kept between examinees.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightschool.engine.answering import Answering, Served
from nightschool.engine.runtime import Runtime
from nightschool.records import Hit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nightschool.engine.evidence import SpanReader

Messages = Sequence[tuple[str, str]]


class Examinee:
    """`adapter` None is the base; `scale` multiplies the adapter."""

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        adapter: Path | None,
        scale: float,
        answering: Answering,
    ) -> None:
        self.name = name
        self._llama = runtime.llama
        self._adapter = None if adapter is None else runtime.llama.adapter(adapter)
        self._scale = scale
        self._answering = answering
        self._as = Served(runtime.model.name, 0, adapter is not None)

    def _activate(self) -> None:
        self._llama.activate(self._adapter, self._scale)

    def generate(self, messages: Messages, *, max_tokens: int = 64) -> str:
        self._activate()
        return self._llama.generate(messages, max_tokens=max_tokens)

    def served(self, question: str) -> str:
        self._activate()
        return self._answering.answer(question, self._as).text

    def nll_text(self, text: str) -> tuple[float, int]:
        self._activate()
        return self._llama.nll_text(text)

    def prompt(self, messages: Messages) -> list[int]:
        return self._llama.prompt(messages)

    def tokenize(self, text: str) -> list[int]:
        return self._llama.tokenize(text)

    def logprobs(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        self._activate()
        return self._llama.logprobs(ids)


class Remembered:
    """Retriever and span reader whose results are kept, so that each question is found once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._hits: dict[tuple[str, int], list[Hit]] = {}
        self._spans: dict[tuple[str, tuple[str, ...]], Any] = {}

    def search(self, query: str, k: int = 8) -> list[Hit]:
        if (query, k) not in self._hits:
            self._hits[query, k] = self._runtime.searcher.search(query, k)
        return self._hits[query, k]

    def files(self, query: str) -> tuple[int, ...]:
        """The ids of the files whose passages were found for a question; nothing is searched."""
        hits = [hit for (asked, _), found in self._hits.items() if asked == query for hit in found]
        return tuple(sorted({hit.document_id for hit in hits}))

    def read(self, question: str, passages: Sequence[str]) -> Any:
        key = question, tuple(passages)
        if key not in self._spans:
            self._spans[key] = self._runtime.reader.read(question, passages)
        return self._spans[key]

    @property
    def threshold(self) -> float:
        return self._runtime.reader.threshold

    def best(self, question: str, passages: Sequence[str]) -> tuple[str, float]:
        """A `ports.PassageReader`: the best span and its probability."""
        spans = self.read(question, passages)
        if not spans:
            return "", 0.0
        return spans[0].text, float(spans[0].probability)

    def answering(self) -> Answering:
        """The answer path of the runtime, over the remembered parts."""
        reader: SpanReader = self
        return self._runtime.answering(self, reader)
