"""all-MiniLM-L6-v2 in torch, for long backlogs: the fastest way that gives the same vectors.

A passage costs what its tokens cost, so texts of one length share a batch and hardly any padding is
computed; and where the processor multiplies bfloat16 in hardware (AMX, AVX512-BF16) that is used,
which changes a vector by less than 0.001 of its cosine (tested). Whether it does is measured, for
what a processor says it can and what it does well are two things.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nightschool.errors import ModelError
from nightschool.models.minilm import MAX_TOKENS, WIDTH, package_dir

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

NAME = "all-minilm-l6-v2"
BATCH_TOKENS = 4_096
"""Tokens of one call, with padding."""
WORTH = 1.3
"""So much faster bfloat16 must be: below, the published precision is the better bargain."""


class BulkMiniLM:
    """The encoder in torch: for long backlogs, on a GPU where there is one. Not thread-safe."""

    name = NAME
    dim = WIDTH

    def __init__(self, threads: int = 0) -> None:
        """`threads` 0 leaves the number to torch. Reads local files only.

        Raises ModelError when torch or the encoder's package is missing.
        """
        # Said before the import: without it the library asks a hub for newer files.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        folder = package_dir()
        try:
            import torch
            from tokenizers import Tokenizer
            from transformers import BertModel
            from transformers.utils import logging
        except (ImportError, OSError) as error:
            raise ModelError(
                f"torch and transformers cannot be loaded: {error}.",
                "Install them: pip install torch transformers",
            ) from error
        logging.disable_progress_bar()
        logging.set_verbosity_error()  # it would name the pooler that is left out
        if threads:
            torch.set_num_threads(threads)
        self._torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.half = self.device == "cpu" and _halves(torch)
        kind = torch.bfloat16 if self.half else torch.float32
        model: Any = BertModel.from_pretrained(
            str(folder), add_pooling_layer=False, local_files_only=True, dtype=kind
        )
        self._model = model.eval().to(self.device)
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> Floats:
        """float32 `[len(texts), 384]`, rows of length 1. Texts are cut at 256 tokens."""
        out = np.zeros((len(texts), WIDTH), dtype=np.float32)
        tokens = [item.ids for item in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda number: -len(tokens[number]))
        start = 0
        while start < len(order):
            longest = len(tokens[order[start]])
            chosen = order[start : start + max(1, BATCH_TOKENS // longest)]
            out[chosen] = self._encode([tokens[number] for number in chosen], longest)
            start += len(chosen)
        return out

    def _encode(self, inputs: Sequence[Sequence[int]], longest: int) -> Floats:
        """One call: the mean over the tokens of each input, of length 1."""
        torch = self._torch
        ids = torch.zeros((len(inputs), longest), dtype=torch.long)
        mask = torch.zeros((len(inputs), longest), dtype=torch.long)
        for row, found in enumerate(inputs):
            ids[row, : len(found)] = torch.tensor(found)
            mask[row, : len(found)] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            mean = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
            rows: Floats = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return rows

    def close(self) -> None:
        """Nothing to give back before the process ends."""


def _halves(torch: Any) -> bool:
    """Whether a product of the encoder's size is really faster in bfloat16 here (0.1 s)."""
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        left, right = torch.ones((1024, WIDTH), dtype=kind), torch.ones((WIDTH, 1536), dtype=kind)
        with torch.inference_mode():
            torch.mm(left, right)
            took = []
            for _ in range(5):
                began = time.perf_counter()
                torch.mm(left, right)
                took.append(time.perf_counter() - began)
        seconds[kind] = min(took)
    return bool(seconds[torch.float32] > WORTH * seconds[torch.bfloat16])
