"""Carry a run between machines: half-size weights in pieces of at most 15 MB, each with its hash.

The optimiser's moments stay behind (they are twice the weights); the next step warms them up again
over its first updates. `gather` makes the small folder of real text that goes along.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from nightschool.errors import ModelError
from starter.chats import CORPUS
from starter.checkpoint import FORMAT, VERSION, Standing

PIECE = 15 * 1000 * 1000


def split(weights: dict[str, torch.Tensor], standing: Standing, folder: Path) -> list[Path]:
    """Write the weights (float16) and where training stands; the manifest comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    manifest.unlink(missing_ok=True)
    half = {n: t.detach().cpu().half().contiguous() for n, t in weights.items()}
    blob = save(half)
    parts = [blob[at : at + PIECE] for at in range(0, len(blob), PIECE)]
    paths = []
    for number, part in enumerate(parts):
        path = folder / f"weights-{number:02d}.bin"
        path.write_bytes(part)
        paths.append(path)
    facts = {
        "format": FORMAT, "version": VERSION, "standing": asdict(standing),
        "pieces": [hashlib.sha256(part).hexdigest() for part in parts],
    }  # fmt: skip
    manifest.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return [*paths, manifest]


def join(folder: Path) -> tuple[dict[str, torch.Tensor], Standing]:
    """What `split` wrote. Raises ModelError when a piece is missing, damaged, foreign or newer."""
    try:
        facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if facts["format"] != FORMAT or facts["version"] > VERSION:
            raise ModelError(
                f"{folder} is no run of this recipe (version {facts['version']}).",
                "Use the recipe that wrote it.",
            )
        blob = b""
        for number, digest in enumerate(facts["pieces"]):
            part = (folder / f"weights-{number:02d}.bin").read_bytes()
            if hashlib.sha256(part).hexdigest() != digest:
                raise ModelError(f"Piece {number} of {folder} is damaged.", "Copy it again.")
            blob += part
        return {n: t.float() for n, t in load(blob).items()}, Standing(**facts["standing"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"The pieces in {folder} cannot be read: {error!r}.", "Copy all of them again."
        ) from error


def gather(source: Path, target: Path, megabytes: float) -> int:
    """Copy `qa/` and a random part of `corpus/` to a folder of about `megabytes`; its bytes."""
    (target / "qa").mkdir(parents=True, exist_ok=True)
    (target / "corpus").mkdir(exist_ok=True)
    name = "qa/squad_span_qa.jsonl.xz"
    (target / name).write_bytes((source / name).read_bytes())
    room = int(megabytes * 1e6) - (target / name).stat().st_size
    share = room / sum((source / f"corpus/{n}.jsonl.xz").stat().st_size for n in CORPUS)
    for group in CORPUS:
        with lzma.open(source / f"corpus/{group}.jsonl.xz", "rt", encoding="utf-8") as file:
            lines = _sample(file, min(1.0, 0.9 * share))
        with lzma.open(target / f"corpus/{group}.jsonl.xz", "wt", encoding="utf-8") as file:
            file.writelines(lines)
    return sum(path.stat().st_size for path in target.rglob("*.xz"))


def _sample(lines: Iterable[str], share: float) -> list[str]:
    rng = Random(0)
    return [line for line in lines if rng.random() < share]
