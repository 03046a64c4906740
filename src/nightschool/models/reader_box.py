"""The reader's two files, `box/reader.safetensors` and `box/reader.json`: checked and converted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nightschool.errors import ModelError
from nightschool.models.built import sha256
from nightschool.models.minilm import SOURCE_SHA256, WIDTH, lora_to_gguf

BOX = Path(__file__).with_name("box")
FORMAT = "nightschool-reader"
VERSION = 1
CONVERTER = 1

#: names in reader.safetensors (`layer.N.NAME.a` and `.b`) and in llama.cpp's bert blocks
MATRICES = {
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "attn_out": "attn_output",
    "up": "ffn_up",
    "down": "ffn_down",
}
LAYERS = 6


@dataclass(frozen=True)
class Settings:
    """What reader.json fixes: lengths in tokens, the calibration, the threshold."""

    rank: int
    alpha: float
    window: int
    overlap: int
    question: int
    max_answer: int
    slope: float
    intercept: float
    threshold: float
    """A span is an answer from this probability on."""

    def chance(self, score: float) -> float:
        """Probability that belongs to a margin over "no answer"."""
        return 1 / (1 + math.exp(min(700.0, -self.slope * score - self.intercept)))


def settings_of(box: Path) -> tuple[Settings, str]:
    """reader.json's settings and the hash it demands of reader.safetensors."""
    path = box / "reader.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r}")
        if facts["version"] > VERSION:
            raise ModelError(
                f"The reader {path} has version {facts['version']}; this program knows {VERSION}.",
                "Update nightschool, or put back the reader that came with it.",
            )
        if facts["encoder_sha256"] != SOURCE_SHA256:
            raise ValueError("it was trained for another encoder")
        settings = Settings(**facts["settings"])
        if not 0 < settings.overlap < settings.window - settings.question - 3 <= 509:
            raise ValueError("its window does not fit")
        return settings, str(facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def tensors_of(path: Path, digest: str, rank: int) -> dict[str, NDArray[Any]]:
    """Checked content of reader.safetensors. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if sha256(path) != digest:
            raise ValueError("its SHA-256 is not the one in reader.json")
        tensors = load_file(path)
        if tensors["head.weight"].shape != (2, WIDTH) or tensors["head.bias"].shape != (2,):
            raise ValueError("its head has another shape")
        if tensors["layer.0.query.a"].shape != (rank, WIDTH):
            raise ValueError("its matrices have another shape")
        return tensors
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"The reader {path} cannot be used: {error}.",
        "Reinstall nightschool: pip install --force-reinstall --no-deps nightschool",
    )


def write_adapter(tensors: dict[str, NDArray[Any]], alpha: float, target: Path) -> None:
    """The LoRA of reader.safetensors as llama.cpp's GGUF adapter."""
    matrices = {
        f"blk.{layer}.{theirs}.weight.lora_{part}": tensors[f"layer.{layer}.{ours}.{part}"]
        for layer in range(LAYERS)
        for ours, theirs in MATRICES.items()
        for part in ("a", "b")
    }
    lora_to_gguf(target, matrices, alpha, "nightschool reader")
