"""Checkpoints: one safetensors file, replaced atomically, with its own digest.

It holds weights, the optimiser's moments, and where training stands. A file that is damaged, of
another shape or recipe, or of a newer version is refused with the reason.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nightschool.errors import ModelError

FORMAT, VERSION = "nightschool-starter", 1


@dataclass(frozen=True, slots=True)
class Standing:
    """Where training stands: `step` steps done of `stage`, `tokens` in all, `seconds` worked.

    `fingerprint` names everything the next step depends on besides: shape, source, batch size.
    """

    stage: str
    step: int
    tokens: int
    seconds: float
    stages: dict[str, float]
    """Stage → seconds worked in it so far."""
    fingerprint: str


def save(path: Path, model: Any, optimizer: Any, standing: Standing) -> None:
    """Write beside the old one, then replace it."""
    tensors = {f"weight.{n}": p.detach().cpu().contiguous() for n, p in model.named_parameters()}
    for number, entry in optimizer.state_dict()["state"].items():
        for key, value in entry.items():
            tensors[f"moment.{number}.{key}"] = torch.as_tensor(value).cpu().contiguous()
    facts = {
        "format": FORMAT, "version": str(VERSION), "digest": _digest(tensors),
        "standing": json.dumps(asdict(standing)),
    }  # fmt: skip
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=facts)
    temporary.replace(path)


def load(path: Path, fingerprint: str = "") -> tuple[dict[str, torch.Tensor], Standing]:
    """Tensors and standing. Raises ModelError, saying why, when the file must not be used."""

    def refuse(why: str, remedy: str) -> ModelError:
        return ModelError(f"{path} cannot be resumed: {why}.", remedy)

    anew = "Remove it to start this run anew, or give another --run folder."
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != FORMAT:
                raise refuse("it is no checkpoint of this recipe", anew)
            if int(facts["version"]) > VERSION:
                raise refuse(f"version {facts['version']} is newer than {VERSION}",
                             "Use the newer recipe.")  # fmt: skip
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            standing = Standing(**json.loads(facts["standing"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise refuse(f"it is damaged ({type(error).__name__}: {error})", anew) from error
    if _digest(tensors) != facts.get("digest"):
        raise refuse("it is damaged (its digest differs)", anew)
    if fingerprint:
        check(standing, fingerprint, path)
    return tensors, standing


def check(standing: Standing, fingerprint: str, path: Path) -> None:
    """Raises ModelError when the standing belongs to another shape, batch size, seed or start."""
    if standing.fingerprint != fingerprint:
        raise ModelError(
            f"{path} belongs to another run ({standing.fingerprint}, not {fingerprint}).",
            "Give the settings it was made with, or another --run folder.",
        )


def restore(tensors: dict[str, torch.Tensor], model: Any, optimizer: Any = None) -> None:
    """Put the tensors where they came from."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"weight.{name}"])
    if optimizer is None:
        return
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("moment."):
            _, number, name = key.split(".")
            state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def started(standing: Standing, stage: str) -> Standing:
    """The standing at the beginning of the next stage."""
    return replace(standing, stage=stage, step=0)


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
