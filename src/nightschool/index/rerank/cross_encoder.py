"""A cross-encoder of the user's own as a reranker, through sentence-transformers.

It lives in a process of its own, because the engine holds no torch: loading costs some 8 processor
seconds and 500 MB, which only who sets it pays. A folder or a model that the hub's own tool has
fetched before; nothing is downloaded here, no code of a model is run, and pickles are not opened.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nightschool.children.child import Child
from nightschool.children.worker import Job, Worker
from nightschool.errors import ModelError, NotFound, UsageError

START_S = 180.0
"""Loading a large model from a slow disk takes long; a hung one is ended then."""
BATCH = 8
"""Passages of one call: the budget is looked at between two."""
LONGEST = 512
"""Tokens of query and passage together, unless the model takes fewer."""
KIND = "ForSequenceClassification"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class CrossEncoder:
    """Implements `ports.Reranker`, in a child process. `name` is a folder or OWNER/NAME.

    Raises NotFound when there is no such folder or the model was not fetched, ModelError when it
    is no cross-encoder or sentence-transformers is missing.
    """

    def __init__(self, name: str, log: Path, threads: int = 0) -> None:
        self.name = name
        self._child = Child(__name__, [name, str(threads)], log=log)
        try:
            self._child.wait_ready(START_S)
        except BaseException:
            self._child.stop()
            raise

    def score(self, query: str, passages: Sequence[str], budget_s: float) -> list[float | None]:
        """Its raw output for each pair. The first batch of 8 is read whatever the budget."""
        params = {"query": query, "passages": list(passages), "budget_s": budget_s}
        found: list[float | None] = self._child.call("score", params)
        return found

    def close(self) -> None:
        self._child.stop()


class Loaded:
    """The model itself, in the process that holds torch. Raises ModelError."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        facts = checked(folder)
        if find_spec("sentence_transformers") is None:
            raise ModelError(
                "A cross-encoder needs the package sentence-transformers, which is not installed.",
                "Install it: pip install 'nightschool[rerank]'",
            )
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported
        import sentence_transformers
        import torch
        from safetensors import SafetensorError
        from transformers.utils import logging

        logging.set_verbosity_error()
        if threads:
            torch.set_num_threads(threads)
        try:
            self._model: Any = sentence_transformers.CrossEncoder(
                str(folder),
                max_length=min(LONGEST, int(facts.get("max_position_embeddings") or LONGEST)),
                activation_fn=torch.nn.Identity(),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
            outputs = int(self._model.num_labels)
        except (
            OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError,
            SafetensorError,
        ) as error:  # fmt: skip
            reason = " ".join(str(error).split())[:300]
            raise _unusable(folder, f"it cannot be loaded: {reason}") from error
        if outputs != 1:
            raise _unusable(folder, f"it gives {outputs} numbers for a passage, not one")

    def score(
        self, query: str, passages: Sequence[str], until: float, job: Job | None = None
    ) -> list[float | None]:
        """One number each, batch by batch in their order while `time.monotonic()` is below `until`.

        Raises ModelError when the model's output is no number.
        """
        out: list[float | None] = [None] * len(passages)
        took = 0.0
        for first in range(0, len(passages), BATCH):
            began = time.monotonic()
            if first and began + took > until:
                break
            if job is not None:
                job.check()
            part = passages[first : first + BATCH]
            rows = self._model.predict(
                [(query, passage) for passage in part], batch_size=BATCH, show_progress_bar=False
            )
            scores = [float(row) for row in rows]
            if not all(map(math.isfinite, scores)):
                raise ModelError(
                    "The cross-encoder's output is no number: its weights are damaged.",
                    "Fetch it again, or set search.rerank to another: off, reader.",
                )
            out[first : first + len(part)] = scores
            took = time.monotonic() - began
        return out


def located(name: str) -> Path:
    """The folder of a path or of a fetched OWNER/NAME. Raises NotFound, UsageError."""
    path = Path(name).expanduser()
    if path.is_absolute():
        if not path.is_dir():
            raise NotFound(f"There is no folder {path}.", "Check search.rerank, or --rerank.")
        return path
    if not HUB_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no reranker.", "off, reader, a folder's absolute path, or OWNER/NAME."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise NotFound(
            f"The model {name} is not on this machine, and searching downloads nothing.",
            f"Fetch it once with `hf download {name}`, or name a folder that holds it.",
        ) from error


def checked(folder: Path) -> Mapping[str, Any]:
    """The model's config.json, when the folder holds a cross-encoder. Raises ModelError."""
    try:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kinds = [str(kind) for kind in facts.get("architectures") or []]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _unusable(folder, "it has no config.json that can be read") from error
    if not any(kind.endswith(KIND) for kind in kinds):
        # Loaded all the same it would rank by a head of random numbers.
        raise _unusable(
            folder, f"its architecture is {', '.join(kinds) or 'not said'}, not …{KIND}"
        )
    names = ("model.safetensors", "model.safetensors.index.json")
    if not any((folder / name).is_file() for name in names):
        raise _unusable(folder, "it has no model.safetensors, and pickled weights are not opened")
    found: Mapping[str, Any] = facts
    return found


def _unusable(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"{folder} cannot rerank: {why}.",
        "Name a cross-encoder, or set search.rerank to reader or off.",
    )


def main(arguments: Sequence[str]) -> None:
    """`NAME THREADS`; serves `score {"query", "passages", "budget_s"}` → `[number | null]`."""
    name, threads = arguments
    loaded = Loaded(located(name), int(threads))

    def score(params: dict[str, Any], job: Job) -> list[float | None]:
        until = time.monotonic() + float(params["budget_s"])
        return loaded.score(params["query"], params["passages"], until, job)

    Worker({"score": score}).run({"pid": os.getpid()})
