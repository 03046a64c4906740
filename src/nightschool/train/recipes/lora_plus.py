"""LoRA+: B learns faster than A (Hayou et al., 2402.12354).

B starts at zero and feeds the output directly; at one rate for both, A hardly moves in wide
models. PEFT sorts the parameters into groups; the schedule of the loop keeps the ratio. The paper
advises a ratio near 16 with a rate below LoRA's.
"""

from __future__ import annotations

from typing import Any

import torch

from nightschool.records import Plan
from nightschool.train.adapt import BETAS, MLP, WEIGHT_DECAY, wrap

RATE = 0.125
"""A's rate; B's is `RATIO` times that, twice the plan's."""
RATIO = 16.0


def build(model: Any, plan: Plan) -> Any:
    """The same adapter as `lora`."""
    import peft

    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=list(MLP),
        bias="none",
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)


def optimizer(model: Any, plan: Plan) -> torch.optim.Optimizer:
    """AdamW with A at `RATE` times the plan's rate and B at `RATIO` times that."""
    from peft.optimizers import create_loraplus_optimizer

    found: torch.optim.Optimizer = create_loraplus_optimizer(
        model,
        torch.optim.AdamW,
        lr=plan.learning_rate * RATE,
        loraplus_lr_ratio=RATIO,
        betas=BETAS,
        weight_decay=WEIGHT_DECAY,
        loraplus_weight_decay=WEIGHT_DECAY,
    )
    found.param_groups[:] = [group for group in found.param_groups if group["params"]]
    for group in found.param_groups:
        group["times"] = group["lr"] / plan.learning_rate
    return found
