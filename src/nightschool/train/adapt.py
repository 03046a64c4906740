"""What recipes share: where adapters go, how they are put in, and the optimiser.

Pure functions only; a recipe page says in full what its method does beyond them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from nightschool.records import Plan
from nightschool.train import lean, packed, rotary

MLP = ("gate_proj", "up_proj", "down_proj")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
WEIGHT_DECAY = 0.01
BETAS = (0.9, 0.99)

_PLACE = re.compile(r"layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)$")


def wrap(model: Any, config: Any, seed: int) -> Any:
    """Put the adapter that `config` (a PEFT configuration) describes into `model`, seeded, and let
    both compute fast: items packed, a layer in few passes (`packed`, `lean`, `rotary`)."""
    import peft

    packed.prepare(model)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        # peft 0.21 still asks transformers 5.23 by a name that it deprecates
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        wrapped = peft.get_peft_model(model, config)
    lean.prepare(wrapped)
    rotary.prepare(wrapped)
    return wrapped


def adapted(model: Any) -> Iterator[tuple[tuple[int, str], Any]]:
    """`(layer, projection), module` for every linear layer that carries an adapter, in order."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in model.named_modules():
        found = _PLACE.search(name)
        if found is not None and isinstance(module, BaseTunerLayer):
            yield (int(found[1]), found[2]), module


def adamw(parameters: Iterable[torch.Tensor], plan: Plan, times: float = 1.0) -> Any:
    """AdamW; the loop sets the rate of a group to `times` that of the plan's schedule."""
    return torch.optim.AdamW(
        [{"params": list(parameters), "times": times}],
        lr=plan.learning_rate * times,
        betas=BETAS,
        weight_decay=WEIGHT_DECAY,
        fused=True,
    )


def freeze(linear: torch.nn.Linear) -> None:
    """Turn a weight into a buffer, for good: PEFT makes parameters of an active adapter trainable
    again whenever it was switched off and on."""
    weight = linear.weight.detach().clone()
    del linear.weight
    linear.register_buffer("weight", weight)
