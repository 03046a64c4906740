"""Survive a kill: adapter, optimiser, step and RNG, at most a minute apart, atomically replaced.

Safetensors and JSON only, never pickle. A checkpoint belongs to one plan and one set of items
(`fingerprint`); another night's checkpoint is not resumed but ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nightschool.errors import TrainError

STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a night stands: `step` done of `total`, seconds trained, and the loss curve."""

    step: int
    total: int
    seconds: float
    losses: tuple[float, ...]
    fingerprint: str


def of(model: Any) -> dict[str, torch.Tensor]:
    """The parameters that are trained, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save(
    folder: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    state: Mapping[str, torch.Tensor] | None = None,
    rng: torch.Tensor | None = None,
    trained: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a checkpoint beside the old one, then swap. `state` is what a recipe keeps besides.

    For a checkpoint that is written in the middle of a step: `rng` is torch's generator after the
    last whole one (default: as it is now), `trained` the parameters by name (default: those that
    want gradients now; while the base is asked, none does).

    Raises TrainError when the disk is full.
    """
    temporary = folder.with_name(folder.name + ".tmp")
    old = folder.with_name(folder.name + ".old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        chosen = of(model) if trained is None else trained
        tensors = {name: tensor.detach().clone() for name, tensor in chosen.items()}
        save_file(tensors, temporary / "adapter.safetensors")
        moments: dict[str, torch.Tensor] = {}
        for position, (_, entry) in enumerate(sorted(optimizer.state_dict()["state"].items())):
            for key, value in entry.items():
                moments[f"{position}.{key}"] = torch.as_tensor(value).clone()
        save_file(moments, temporary / "optimizer.safetensors")
        if state:
            save_file(dict(state), temporary / "recipe.safetensors")
        facts = {
            "step": progress.step,
            "total": progress.total,
            "seconds": progress.seconds,
            "losses": list(progress.losses),
            "fingerprint": progress.fingerprint,
            "rng": (torch.get_rng_state() if rng is None else rng).tolist(),
        }
        (temporary / STATE).write_text(json.dumps(facts), encoding="utf-8")
        for path in temporary.iterdir():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise TrainError(
            f"Cannot write the checkpoint: {error.strerror or error}.",
            "Free some space and run `nightschool learn` again; it resumes.",
        ) from error


Restore = Callable[[Mapping[str, torch.Tensor]], None]


def load(
    folder: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    fingerprint: str,
    restore: Restore = lambda tensors: None,
) -> Progress | None:
    """Restore the newest complete checkpoint of this very night, or None.

    `restore` gets back what was saved as `state`.

    A kill between the two renames of `save` leaves only the `.old` one: it is used. A damaged one
    is passed over; both files are read before anything is changed.
    """
    for candidate in (folder, folder.with_name(folder.name + ".old")):
        with contextlib.suppress(OSError, ValueError, KeyError, SafetensorError):
            return _load(candidate, model, optimizer, fingerprint, restore)
    return None


def _load(
    folder: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    fingerprint: str,
    restore: Restore,
) -> Progress:
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if state["fingerprint"] != fingerprint:
        raise ValueError("the checkpoint of another night")
    tensors = load_file(folder / "adapter.safetensors")
    moments = load_file(folder / "optimizer.safetensors")
    kept = folder / "recipe.safetensors"
    besides = load_file(kept) if kept.exists() else {}
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
        restore(besides)
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in moments.items():
        position, key = name.split(".", 1)
        entries.setdefault(int(position), {})[key] = tensor
    inner = optimizer.state_dict()
    inner["state"] = entries
    optimizer.load_state_dict(inner)
    torch.set_rng_state(torch.tensor(state["rng"], dtype=torch.uint8))
    return Progress(
        state["step"], state["total"], state["seconds"], tuple(state["losses"]), fingerprint
    )
