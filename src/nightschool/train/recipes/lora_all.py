"""LoRA on every linear layer: attention (q, k, v, o) as well as the MLP.

More targets learn more and forget more (2405.09673: all > MLP > attention). llama.cpp stores the
rows of q and k of Llama-family models permuted for its rotary kernel; the export permutes B alike.
"""

from __future__ import annotations

from typing import Any

from nightschool.records import Plan
from nightschool.train.adapt import ATTENTION, MLP, wrap


def build(model: Any, plan: Plan) -> Any:
    """As `lora`, over all linear layers but embeddings and head."""
    import peft

    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=[*ATTENTION, *MLP],
        bias="none",
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)
