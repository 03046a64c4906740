"""LoRA-FA: A stays frozen, only B learns (Zhang et al., 2308.03303).

Half the trainable weights, and no gradient through A. The gradient of B is projected so that the
step of BA is the closest to full fine-tuning's: g′ = g (A Aᵀ)⁻¹ / scale². PEFT has an optimiser
for it; ours is a hook, because PEFT's rounds the projection to bfloat16 and keeps its moments by
name, so that a night could not resume exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, freeze, wrap


def build(model: Any, plan: Plan) -> Any:
    """As `lora`, with A frozen and the gradient of B projected."""
    import peft

    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=list(MLP),
        bias="none",
        task_type="CAUSAL_LM",
    )
    wrapped = wrap(model, config, plan.seed)
    for _, module in adapted(wrapped):
        freeze(module.lora_A["default"])
        a = module.lora_A["default"].weight
        inverse = torch.linalg.pinv(a @ a.T) / module.scaling["default"] ** 2
        module.lora_B["default"].weight.register_hook(_projection(inverse))
    return wrapped


def _projection(inverse: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda gradient: gradient @ inverse
