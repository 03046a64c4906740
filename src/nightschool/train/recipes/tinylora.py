"""TinyLoRA: a handful of numbers per layer steer the top singular directions (2602.04118).

    W′ = W + B R A,   B A = the top r of W's own SVD (frozen),   R = Σ vᵢ Pᵢ (P random, frozen)

Made for reinforcement learning; under supervised learning PEFT's own table shows 1 %. It is here
as the lower end of the scale. Exact as plain LoRA of rank r: A′ = R A.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, wrap
from nightschool.train.export import Matrices

RATE = 5.0


def build(model: Any, plan: Plan) -> Any:
    """`plan.rank` directions and 4·rank numbers in each adapted matrix; zero at the start."""
    import peft

    config = peft.TinyLoraConfig(
        r=plan.rank,
        u=4 * plan.rank,
        projection_seed=plan.seed,
        target_modules=list(MLP),
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)


def matrices(model: Any) -> Matrices:
    """A [r, in] with R folded in, B [out, r] as it was."""
    found: Matrices = {}
    for place, module in adapted(model):
        a = module._compute_R("default").detach() @ module.tinylora_A["default"]
        b = module.tinylora_B["default"]
        found[place] = (a.numpy().astype(np.float32), b.numpy().astype(np.float32))
    return found
