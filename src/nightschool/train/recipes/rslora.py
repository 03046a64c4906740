"""rsLoRA: LoRA scaled by alpha / √rank instead of alpha / rank (Kalajdzievski, 2312.03732).

Keeps the size of an update from shrinking as the rank grows. A GGUF adapter has no such switch
(llama.cpp divides by the rank), so the export bakes the scale into B. Alpha is chosen so that at
rank 16 both scales agree: what differs is how they move with the rank.
"""

from __future__ import annotations

from typing import Any

from nightschool.records import Plan
from nightschool.train.adapt import MLP, wrap


def build(model: Any, plan: Plan) -> Any:
    """As `lora`, with `use_rslora` and alpha / 4, so that rank 16 has the same scale."""
    import peft

    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha / 4,
        use_rslora=True,
        target_modules=list(MLP),
        bias="none",
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)
