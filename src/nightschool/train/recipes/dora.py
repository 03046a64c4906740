"""DoRA: direction by LoRA, length of every row apart (Liu et al., 2402.09353). Refused.

    W′ = m · (W + s B A) / ‖W + s B A‖        (norm of each row, m learned)

W′ − W holds a multiple of W in every row whose length changed, so it has full rank: a GGUF adapter
has low-rank matrices only, and dropping m (as PEFT's own conversion does, silently) gives another
model. `matrices` tries the best low-rank export and says how far off it is; at four times the rank
it is still off by tens of per cent (docs/experiments.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, wrap
from nightschool.train.export import Matrices
from nightschool.train.lowrank import exactly

REFUSED = (
    "its change to the weights has full rank (every row is rescaled), which a llama.cpp adapter "
    "cannot carry; what would be served is not what was trained."
)
TIMES = 4


def build(model: Any, plan: Plan) -> Any:
    """As `lora`, with `use_dora`."""
    import peft

    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        use_dora=True,
        target_modules=list(MLP),
        bias="none",
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)


@torch.no_grad()
def difference(module: Any) -> torch.Tensor:
    """W′ − W [out, in] of one adapted layer."""
    weight = module.get_base_layer().weight
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    moved = weight + module.scaling["default"] * (b @ a)
    length = module.lora_magnitude_vector["default"].weight / moved.norm(dim=1)
    found: torch.Tensor = length[:, None] * moved - weight
    return found


def matrices(model: Any) -> Matrices:
    """The best export at `TIMES` the rank. Raises TrainError with its error when that is not it."""
    found: Matrices = {}
    for place, module in adapted(model):
        a, b = exactly(difference(module), TIMES * module.r["default"])
        found[place] = (a.numpy().astype(np.float32), b.numpy().astype(np.float32))
    return found
