"""Selective: LoRA on the MLP of the upper layers only.

Facts can be taught through few layers, and what is not trained cannot drift; the lower layers need
no gradients, so a step is cheaper (localise, then train: methods.md 5). `plan.layers` names the
layers; without it the upper half learns.
"""

from __future__ import annotations

from typing import Any

from nightschool.errors import UsageError
from nightschool.records import Plan
from nightschool.train.adapt import MLP, wrap


def build(model: Any, plan: Plan) -> Any:
    """As `lora`, on `plan.layers`. Raises UsageError for a layer that the model does not have."""
    import peft

    count = int(model.config.num_hidden_layers)
    chosen = plan.layers or tuple(range(count // 2, count))
    if unknown := [layer for layer in chosen if not 0 <= layer < count]:
        raise UsageError(
            f"The model has no layer {unknown[0]}.", f"Its layers are 0 to {count - 1}."
        )
    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=list(MLP),
        layers_to_transform=list(chosen),
        bias="none",
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)
