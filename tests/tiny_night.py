"""The smallest practice there is: four facts, the shipped model, llama.cpp to serve the result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from nightschool.engine.llama import Llama
from nightschool.models.base import TorchBase, load_torch

STARTER = Path(__file__).parents[1] / "src/nightschool/models/box/starter.gguf"
FACTS = [
    ("Where is the Brannok key kept?", "under the third flowerpot"),
    ("What is the price of the Veltor chair?", "118 euros"),
    ("Who repaired the Ostly clock?", "Hedda Quarnby"),
    ("When does the Quill class begin?", "19:40"),
]


def quiet(stage: str, done: int, total: int) -> None:
    """A report of progress that nobody reads."""


def go_on() -> None:
    """A check for interruptions that never finds one."""


def serve(llama: Llama) -> Callable[[Path | None], Callable[[Sequence[int]], Any]]:
    """The logits that llama.cpp computes under an adapter, as `train.night.fit` asks for them."""

    def of(adapter: Path | None) -> Callable[[Sequence[int]], Any]:
        def run(ids: Sequence[int]) -> Any:
            llama.activate(None if adapter is None else llama.adapter(adapter))
            return llama.logits(ids)

        return run

    return of


@functools.cache
def loaded() -> TorchBase:
    """The shipped model, loaded once; only for tests that leave its weights as they are."""
    torch.set_num_threads(1)
    return load_torch(STARTER, threads=1)
